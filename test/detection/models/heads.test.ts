import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorLevels, anchorShapes } from "../../../src/detection/boxes/anchors.ts";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import { boxesOfDeltas, boxesOfYolo } from "../../../src/detection/boxes/decoding.ts";
import { rowsAt } from "../../../src/detection/loss/assignment.ts";
import { binaryCrossEntropy, focalLoss } from "../../../src/detection/loss/losses.ts";
import { heatTargets, peaks } from "../../../src/detection/models/center-net.ts";
import { deltasOf, smoothL1 } from "../../../src/detection/models/retina-net.ts";
import { boxesOfDistributions, distancesOf, distributionLoss } from "../../../src/detection/models/yolo.ts";
import { assignCells, boxesOfCodes, cornersOf } from "../../../src/detection/models/yolo-v1.ts";
import { assignAnchors, yoloV3Anchors } from "../../../src/detection/models/yolo-v3.ts";
import { featurePoints, featureRows, levelGrids } from "../../../src/detection/network/feature-network.ts";
import {
  arange,
  concat,
  constant,
  float32,
  grad,
  input,
  int64,
  split,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { runAll } from "../../tensor/support.ts";
import { SEEDED } from "../arbitrary.ts";

// Decoding is the inverse of what assignments encode; losses of single numbers.

const size = { width: 128, height: 96 };
const grids = levelGrids(
  size,
  [8, 16, 32].map((stride) => ({ channels: 1, stride })),
);
const points = featurePoints(grids);

/** Boxes within the image, with sides from 4 to 64 pixels. */
const inside: fc.Arbitrary<Box> = fc
  .tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 4, max: 64, noNaN: true }),
    fc.double({ min: 4, max: 64, noNaN: true }),
  )
  .map(([u, v, w, h]) => {
    const [x, y] = [u * (size.width - w), v * (size.height - h)];
    return [x, y, x + w, y + h];
  });

const samples = fc.sample(inside, { ...SEEDED, numRuns: 40 });

/** One object an image, so that none is in another's way. */
const feeds = samples.map((box) => ({ boxes: float32(box, [1, 1, 4]), labels: int64([0], [1, 1]) }));
const boxes = input("boxes", [1, 1, 4]);
const labels = input("labels", [1, 1], "int64");

async function expectBoxes(decoded: Tensor): Promise<void> {
  const results = await runAll({ decoded }, feeds);
  for (const [i, result] of results.entries()) {
    const found = result.decoded?.data ?? [];
    expect(found.length).toBeGreaterThan(0);
    for (const [side, value] of found.entries()) expect(value).toBeCloseTo(samples[i]?.[side % 4] ?? 0, 3);
  }
}

/** log(s / (1 − s)), away from the ends. */
function logit(share: Tensor): Tensor {
  const within = share.clamp(1e-6, 1 - 1e-6);
  return within.log().sub(within.neg().add(1).log());
}

describe("decoding is the inverse of encoding", () => {
  it("of distances by distributions", async () => {
    const bins = 20;
    const edges = distancesOf(boxes, points);
    // Distances of places in the box, as weights of two neighboring bins; logits of the others are low.
    const weights = edges
      .unsqueeze(3)
      .sub(arange(0, bins, 1, "float32"))
      .abs()
      .neg()
      .add(1)
      .relu();
    const decoded = boxesOfDistributions(weights.maximum(1e-12).log(), points);
    const results = await runAll({ decoded, edges }, feeds);
    let count = 0;
    for (const [i, result] of results.entries()) {
      const distances = result.edges?.data ?? [];
      for (let k = 0; k < points.count; k++) {
        const own = distances.slice(4 * k, 4 * k + 4);
        if (own.some((distance) => distance < 0 || distance > bins - 1)) continue;
        count++;
        for (const side of [0, 1, 2, 3]) {
          expect(result.decoded?.data[4 * k + side]).toBeCloseTo(samples[i]?.[side] ?? 0, 3);
        }
      }
    }
    expect(count).toBeGreaterThan(100);
  });

  it("of deltas", async () => {
    const { boxes: all } = anchorLevels(
      grids.map((grid) => ({ ...grid, shapes: anchorShapes([3 * grid.stride], [0.5, 2]) })),
    );
    const anchors = constant(float32(all, [all.length / 4, 4]));
    await expectBoxes(boxesOfDeltas(deltasOf(boxes, anchors), anchors));
  });

  it("of YOLOv1's codes", async () => {
    const [grid = { rows: 1, columns: 1, stride: 1 }] = grids.slice(2);
    const { codes, places } = assignCells(boxes, labels, grid);
    await expectBoxes(boxesOfCodes(codes, cornersOf(places, grid), grid));
  });

  it("of YOLOv3's codes", async () => {
    const anchors = yoloV3Anchors(
      grids.map((grid) => ({ ...grid, shapes: anchorShapes([2 * grid.stride], [1, 2]) })),
    );
    const { codes, places } = assignAnchors(boxes, labels, anchors.levels);
    const [offsets = codes, logarithms = codes] = split(codes, 2, 2);
    const at = (rows: Tensor): Tensor => rowsAt(rows.unsqueeze(0), places);
    await expectBoxes(
      boxesOfYolo(concat([logit(offsets), logarithms], 2), at(anchors.boxes), at(anchors.strides)),
    );
  });

  it("of CenterNet's maps: peaks are the objects", async () => {
    const [grid = { rows: 1, columns: 1, stride: 1 }] = grids;
    const { heat, offsets, sizes, places } = heatTargets(boxes, labels, grid, 2);
    const cells = grid.rows * grid.columns;
    // What is wanted at the object's cell, put on the whole map.
    const here = arange(0, cells)
      .equal(places.reshape([1, 1]))
      .cast("float32")
      .reshape([1, cells, 1]);
    const outputs = { heat: logit(heat), offsets: here.mul(offsets), sizes: here.mul(sizes) };
    const found = peaks(outputs, grid, 1);
    await expectBoxes(found.boxes);
    const [scores] = await runAll({ scores: found.scores }, feeds.slice(0, 1));
    expect(scores?.scores?.data).toEqual([expect.closeTo(1, 5), 0]);
  });
});

describe("peaks", () => {
  it("are picked from all classes, best first, and never beside a higher one", async () => {
    const grid = { rows: 3, columns: 4, stride: 8 };
    const heat = new Float32Array(24).fill(-9);
    heat[5] = 2;
    heat[6] = 1.5; // beside the one before
    heat[11] = 1; // diagonal to that, lower
    heat[12 + 3] = 3;
    const found = peaks(
      {
        heat: constant(float32(heat, [1, 2, 3, 4])),
        offsets: constant(float32(new Float32Array(24).fill(0.5), [1, 12, 2])),
        sizes: constant(float32(new Float32Array(24).fill(2), [1, 12, 2])),
      },
      grid,
      2,
    );
    const [result] = await runAll({ ...found }, [{}]);
    expect(result?.boxes?.data).toEqual([20, -4, 36, 12, 4, 4, 20, 20]);
    const sigmoid = (x: number) => expect.closeTo(1 / (1 + Math.exp(-x)), 6);
    expect(result?.scores?.data).toEqual([0, sigmoid(3), sigmoid(2), 0]);
  });
});

describe("losses of single numbers", () => {
  const logits = [-30, -4, -0.5, 0, 1.2, 6, 30];

  it("binary cross entropy with soft targets is finite and least where the probability is the target", async () => {
    const [x, t] = [input("x", [7]), input("t", [7])];
    const loss = binaryCrossEntropy(x, t);
    const [slope = loss] = grad(loss.sum(), [x]);
    const targets = [0, 1, 0.3, 0.5, 0.9, 0.2, 1];
    const [result] = await runAll({ loss, slope }, [{ x: float32(logits, [7]), t: float32(targets, [7]) }]);
    for (const [i, logarithm] of logits.entries()) {
      const p = 1 / (1 + Math.exp(-logarithm));
      const target = targets[i] ?? 0;
      if (Math.abs(logarithm) < 10) {
        const expected = -target * Math.log(p) - (1 - target) * Math.log(1 - p);
        expect(result?.loss?.data[i]).toBeCloseTo(expected, 5);
      }
      expect(result?.slope?.data[i]).toBeCloseTo(p - target, 5);
      expect(Number.isFinite(result?.loss?.data[i])).toBe(true);
    }
  });

  it.each([0, 1, 2, 3.5])("focal loss with γ = %f is its formula", async (gamma) => {
    const [x, t] = [input("x", [7]), input("t", [7])];
    const loss = focalLoss(x, t, { alpha: 0.4, gamma });
    const targets = [0, 1, 0, 1, 0, 1, 1];
    const [result] = await runAll({ loss }, [{ x: float32(logits, [7]), t: float32(targets, [7]) }]);
    for (const [i, logarithm] of logits.entries()) {
      const p = 1 / (1 + Math.exp(targets[i] === 1 ? -logarithm : logarithm));
      const wrong = 1 / (1 + Math.exp(targets[i] === 1 ? logarithm : -logarithm));
      const weight = targets[i] === 1 ? 0.4 : 0.6;
      expect(result?.loss?.data[i]).toBeCloseTo(-weight * wrong ** gamma * Math.log(p), 5);
    }
  });

  it("distribution focal loss is the cross entropy of two neighboring bins", async () => {
    const x = input("x", [4, 5]);
    const t = input("t", [4]);
    const loss = distributionLoss(x, t);
    const values = Array.from({ length: 20 }, (_, i) => Math.sin(7 * i));
    const [result] = await runAll({ loss }, [
      { x: float32(values, [4, 5]), t: float32([1.25, 0, -3, 9], [4]) },
    ]);
    const logP = (row: number, bin: number) => {
      const own = values.slice(5 * row, 5 * row + 5);
      return (own[bin] ?? 0) - Math.log(own.reduce((sum, value) => sum + Math.exp(value), 0));
    };
    expect(result?.loss?.data).toEqual([
      expect.closeTo(-0.75 * logP(0, 1) - 0.25 * logP(0, 2), 5),
      expect.closeTo(-logP(1, 0), 5),
      // Beyond the first and the last bin.
      expect.closeTo(-logP(2, 0), 5),
      expect.closeTo(-logP(3, 4), 5),
    ]);
  });

  it("smooth L1 turns from a square to a line", async () => {
    const x = input("x", [4]);
    const [result] = await runAll({ y: smoothL1(x, 0.5) }, [{ x: float32([0, 0.3, -0.5, -2], [4]) }]);
    expect(result?.y?.data).toEqual([0, expect.closeTo(0.09, 6), expect.closeTo(0.25, 6), 1.75]);
  });
});

describe("places", () => {
  it("stand in the order of the rows", async () => {
    const maps = grids.map(({ rows, columns, stride }) => {
      const x = Array.from({ length: rows * columns }, (_, i) => ((i % columns) + 0.5) * stride);
      const y = Array.from({ length: rows * columns }, (_, i) => (Math.floor(i / columns) + 0.5) * stride);
      return constant(float32([...x, ...y], [1, 2, rows, columns]));
    });
    const [result] = await runAll({ rows: featureRows(maps), centers: points.centers }, [{}]);
    expect(result?.rows?.data).toEqual(result?.centers?.data);
    expect(points.count).toBe(16 * 12 + 8 * 6 + 4 * 3);
  });

  it("reach beyond images that a stride does not divide", () => {
    expect(levelGrids({ width: 320, height: 160 }, [{ channels: 1, stride: 128 }])).toEqual([
      { rows: 2, columns: 3, stride: 128 },
    ]);
  });
});
