import { describe, expect, it } from "vitest";
import type { CellGrid } from "../../../src/detection/boxes/anchors.ts";
import { pickedDetections } from "../../../src/detection/models/detector.ts";
import {
  fasterRcnnOptions,
  regionGeometry,
  TwoStageHead,
  type TwoStageOptions,
} from "../../../src/detection/models/faster-rcnn.ts";
import {
  type RegionTargets,
  regionLosses,
  regionTargets,
} from "../../../src/detection/models/region-head.ts";
import { OptionError } from "../../../src/errors.ts";
import { Conv2d } from "../../../src/nn/convolution.ts";
import { nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  slice,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";
import { runAll, testRuntime } from "../../tensor/support.ts";
import { noise, regionCases } from "../regions/support.ts";

const cases = await regionCases();

/** Enough anchors and regions for nothing to be left to chance, and the geometry of torchvision. */
const OPTIONS: TwoStageOptions = fasterRcnnOptions.parse({
  anchorSides: [3],
  anchorOrigin: "corner",
  aligned: false,
  sampledAnchors: 10_000,
  candidates: 60,
  proposals: 50,
  sampledRegions: 10_000,
  positiveRegions: 1,
  hidden: 16,
});

const STRIDES = [8, 16];
const LEVELS = STRIDES.map((stride) => ({ channels: 8, stride }));

function gridsOf(width: number, height: number): readonly CellGrid[] {
  return STRIDES.map((stride) => ({ rows: height / stride, columns: width / stride, stride }));
}

/** The network of regions.py. */
class Small {
  readonly conv1 = new Conv2d(3, 8, 8, { stride: 8 });
  readonly conv2 = new Conv2d(8, 8, 3, { stride: 2, padding: 1 });
  readonly head = new TwoStageHead(LEVELS, 3, OPTIONS);

  forward(x: Tensor) {
    const fine = this.conv1.forward(x).relu();
    return this.head.forward([fine, this.conv2.forward(fine).relu()]);
  }
}

/** torchvision's name of a parameter. */
function theirName(name: string): string {
  const heads: Readonly<Record<string, string>> = {
    "head.rpn.conv": "rpn.head.conv.0.0",
    "head.rpn.objectness": "rpn.head.cls_logits",
    "head.rpn.deltas": "rpn.head.bbox_pred",
    "head.stages.0.fc6": "roi_heads.box_head.fc6",
    "head.stages.0.fc7": "roi_heads.box_head.fc7",
    "head.stages.0.classes": "roi_heads.box_predictor.cls_score",
    "head.stages.0.deltas": "roi_heads.box_predictor.bbox_pred",
    conv1: "backbone.conv1",
    conv2: "backbone.conv2",
  };
  const at = name.lastIndexOf(".");
  return `${present(heads[name.slice(0, at)], name)}${name.slice(at)}`;
}

const small = nameParameters(new Small());
const weights = new Map(
  parametersOf(small).map(({ name }) => {
    const { shape, scale, phase } = present(cases.whole.parameters[theirName(name)]);
    return [name, noise(shape, scale, 0, phase)] as const;
  }),
);

/** Rows of the objects of both images: one between them is none, and so are all of the second image. */
function objects() {
  const edges = cases["rpn losses"].boxes;
  const boxes = new Float32Array(2 * 5 * 4);
  boxes.set(edges.slice(0, 8), 0);
  boxes.set([1, 1, 30, 30], 8);
  boxes.set(edges.slice(8), 12);
  return {
    boxes: constant(float32(boxes, [2, 5, 4])),
    labels: constant(int64([0, 2, -1, 1, 0, -1, -1, -1, -1, -1], [2, 5])),
  };
}

describe("a whole Faster R-CNN with torchvision's weights", () => {
  it.each(cases.whole.images)("finds what torchvision finds in $width × $height pixels", async (expected) => {
    const { width, height } = expected;
    const geometry = regionGeometry(gridsOf(width, height), { width, height }, OPTIONS);
    const x = input("x", [1, 3, height, width]);
    const { boxes, scores } = small.head.decode(small.forward(x), geometry);
    const program = await Program.build(
      new Map(Object.entries({ boxes, scores })),
      await testRuntime(),
      weights,
    );
    const values = await program.run({ x: noise([1, 3, height, width], 0.5, 0.5, 0.2) });
    await program.release();
    const [found] = pickedDetections(
      { imageSize: { width, height }, needsSuppression: true },
      { boxes: values.boxes as NdArray<"float32">, scores: values.scores as NdArray<"float32"> },
      { confidence: 0.05, iou: 0.5, maximum: 30 },
    );
    expect(found?.scores.length).toBe(expected.scores.length);
    expect(largestDifference(found?.scores ?? [], expected.scores)).toBeLessThan(1e-4);
    // Of equal scores either may come first.
    const left = new Set(expected.scores.keys());
    for (const [i, label] of Array.from(found?.classes ?? []).entries()) {
      const edges = found?.boxes.slice(4 * i, 4 * i + 4) ?? [];
      const same = [...left].find(
        (j) =>
          expected.labels[j] === label &&
          largestDifference(edges, expected.boxes.slice(4 * j, 4 * j + 4)) < 1e-3 &&
          Math.abs((expected.scores[j] ?? 0) - (found?.scores[i] ?? 1)) < 1e-4,
      );
      expect(same, `detection ${i}`).not.toBe(undefined);
      if (same !== undefined) left.delete(same);
    }
  });

  it("has its losses and their gradients, with an image without objects in the batch", async () => {
    const size = { width: 96, height: 64 };
    const geometry = regionGeometry(gridsOf(96, 64), size, OPTIONS);
    const x = input("x", [2, 3, 64, 96]);
    const { total, ...parts } = small.head.losses(small.forward(x), objects(), geometry);
    // torchvision divides by the number of samples, which differs from image to image; here it is the number there can be.
    const { anchors, regions } = cases.whole.sampled;
    const all = 2 * Number(geometry.all.shape[0]);
    const [first, second] = [all / (anchors[0] + anchors[1]), (2 * (50 + 5)) / (regions[0] + regions[1])];
    const wanted = {
      objectness: present(parts.objectness).mul(first),
      proposal: present(parts.proposal).mul(first),
      class: present(parts.class).mul(second),
      box: present(parts.box).mul(second),
    };
    const sum = Object.values(wanted).reduce((losses, loss) => losses.add(loss));
    const parameters = parametersOf(small).filter(({ name }) => theirName(name) in cases.whole.gradients);
    const gradients = grad(sum, [...parameters]);
    const outputs: Record<string, Tensor> = { total, ...wanted };
    for (const [i, { name }] of parameters.entries()) outputs[name] = present(gradients[i]);
    const program = await Program.build(new Map(Object.entries(outputs)), await testRuntime(), weights);
    const values = await program.run({ x: noise([2, 3, 64, 96], 0.5, 0.5, 0.2) }, { random: new Random(1) });
    await program.release();
    const names = {
      objectness: "loss_objectness",
      proposal: "loss_rpn_box_reg",
      class: "loss_classifier",
      box: "loss_box_reg",
    } as const;
    for (const [own, theirs] of Object.entries(names)) {
      expect(numbers(values[own])[0], own).toBeCloseTo(present(cases.whole.losses[theirs]), 5);
    }
    expect(parameters.length).toBe(5);
    for (const { name } of parameters) {
      const expected = present(cases.whole.gradients[theirName(name)]);
      expect(largestDifference(numbers(values[name]), expected), name).toBeLessThan(2e-5);
    }
  });
});

describe("losses", () => {
  it("of anchors are torchvision's", async () => {
    const { losses, sampled } = cases["rpn losses"];
    const geometry = regionGeometry(gridsOf(96, 64), { width: 96, height: 64 }, OPTIONS);
    const counts = geometry.anchors.map(({ shape }) => Number(shape[0]));
    const total = Number(geometry.all.shape[0]);
    const logits = constant(noise([2, total], 3, 0, 0.3));
    const deltas = constant(noise([2, total, 4], 0.6, 0, 1.1));
    const predictions = counts.map((count, level) => {
      const from = level === 0 ? 0 : (counts[0] ?? 0);
      return {
        objectness: slice(logits, 1, from, from + count),
        deltas: slice(deltas, 1, from, from + count),
      };
    });
    const found = small.head.proposalLosses(predictions, objects(), geometry);
    const program = await Program.build(new Map(Object.entries(found)), await testRuntime());
    const values = await program.run({}, { random: new Random(3) });
    await program.release();
    const factor = (2 * total) / sampled;
    expect(present(numbers(values.objectness)[0]) * factor).toBeCloseTo(losses[0] ?? Number.NaN, 5);
    expect(present(numbers(values.proposal)[0]) * factor).toBeCloseTo(losses[1] ?? Number.NaN, 6);
  });

  it("of regions are torchvision's", async () => {
    const { classes, losses } = cases["region losses"];
    // Positive rows stand in front here: rows of both images are put in that order.
    const order = [0, 1, 2, 5, 8, 10, 3, 4, 6, 7, 9, 11];
    const pick = (array: NdArray<"float32">, width: number) =>
      constant(
        float32(
          order.flatMap((row) => [...array.data.slice(width * row, width * (row + 1))]),
          [1, 12, ...array.shape.slice(1)],
        ),
      );
    const deltas = pick(noise([12, 16], 1, 0, 0.9), 16).reshape([1, 12, 4, 4]);
    // Objects whose deltas from regions of one size are those that are right.
    const right = noise([12, 4], 0.8, 0, 2).data;
    const edges = order.flatMap((row) => {
      const [dx = 0, dy = 0, dw = 0, dh = 0] = right.slice(4 * row, 4 * row + 4);
      const [x, y, w, h] = [50 + 2 * dx, 50 + 2 * dy, 20 * Math.exp(dw / 5), 20 * Math.exp(dh / 5)];
      return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
    });
    const found = regionLosses(
      { classes: pick(noise([12, 4], 2, 0, 0.4), 4), deltas },
      {
        regions: constant(
          float32(
            order.flatMap(() => [40, 40, 60, 60]),
            [1, 12, 4],
          ),
        ),
        owner: constant(int64([...order.keys()], [1, 12])),
        positive: constant({
          dtype: "bool",
          shape: [1, 12],
          data: Uint8Array.from(order, (_, i) => Number(i < 6)),
        }),
        taken: constant({ dtype: "bool", shape: [1, 12], data: new Uint8Array(12).fill(1) }),
        positives: 6,
      },
      {
        boxes: constant(float32(edges, [1, 12, 4])),
        labels: constant(
          int64(
            order.map((row) => Math.max(0, (classes[row] ?? 0) - 1)),
            [1, 12],
          ),
        ),
      },
      [10, 10, 5, 5],
    );
    const [result] = await runAll({ ...found }, [{}]);
    expect(result?.class?.data[0]).toBeCloseTo(losses[0] ?? Number.NaN, 5);
    expect(result?.box?.data[0]).toBeCloseTo(losses[1] ?? Number.NaN, 4);
  });
});

describe("regions to learn from", () => {
  const far = constant(float32([80, 50, 90, 60, 70, 40, 95, 63, 0, 0, 0, 0], [1, 3, 4]));
  const own = {
    boxes: constant(float32([5, 5, 30, 40, 1, 1, 9, 9], [1, 2, 4])),
    labels: constant(int64([1, -1], [1, 2])),
  };
  const choose = (boxes: Tensor, rows = own) =>
    regionTargets({ boxes, scores: slice(boxes, 2, 0, 1).squeeze(2) }, rows, {
      iou: 0.5,
      count: 4,
      positives: 2,
    });

  async function valuesOf({ regions, positive, taken, owner }: RegionTargets) {
    const outputs = new Map(Object.entries({ regions, positive, taken, owner }));
    const program = await Program.build(outputs, await testRuntime());
    const values = await program.run({}, { random: new Random(5) });
    await program.release();
    return {
      regions: numbers(values.regions),
      positive: numbers(values.positive),
      taken: numbers(values.taken),
      owner: numbers(values.owner),
    };
  }

  it("have the objects among them, where no proposal hits one", async () => {
    const result = await valuesOf(choose(far));
    expect(result.positive).toEqual([1, 0, 0, 0]);
    expect(result.regions.slice(0, 4)).toEqual([5, 5, 30, 40]);
    // Two proposals, and rows of no area that count for nothing.
    expect(result.taken).toEqual([1, 1, 1, 0]);
  });

  it("are none but objects where there is no proposal at all", async () => {
    const result = await valuesOf(choose(constant(float32(new Float32Array(12), [1, 3, 4]))));
    expect(result.positive).toEqual([1, 0, 0, 0]);
    expect(result.taken).toEqual([1, 0, 0, 0]);
    expect(result.owner[0]).toBe(0);
  });

  it("are background alone in an image without objects", async () => {
    const none = { ...own, labels: constant(int64([-1, -1], [1, 2])) };
    const result = await valuesOf(choose(far, none));
    expect(result.positive).toEqual([0, 0, 0, 0]);
    expect(result.taken).toEqual([1, 1, 0, 0]);
  });
});

describe("anchors", () => {
  it("that reach beyond a small image take part: with the rule of the paper there would be none", async () => {
    const size = { width: 32, height: 32 };
    const options = { anchorSides: [8], anchorRatios: [0.5, 1, 2], anchorOrigin: "center" as const };
    const { anchors, all } = regionGeometry(gridsOf(32, 32), size, options);
    const [result] = await runAll({ all }, [{}]);
    const rows = result?.all?.data ?? [];
    const inside = (i: number) => rows.slice(4 * i, 4 * i + 4).every((edge) => edge >= 0 && edge <= 32);
    const count = Number(all.shape[0]);
    expect(count).toBe(3 * (16 + 4));
    expect(anchors.map(({ shape }) => shape[0])).toEqual([48, 12]);
    expect(Array.from({ length: count }, (_, i) => inside(i)).some(Boolean)).toBe(false);

    const head = nameParameters(
      new TwoStageHead(LEVELS, 3, fasterRcnnOptions.parse({ ...options, hidden: 8 })),
    );
    const maps = [4, 2].map((side) => constant(noise([1, 8, side, side], 1)));
    const rowsOf = {
      boxes: constant(float32([3, 4, 20, 25], [1, 1, 4])),
      labels: constant(int64([2], [1, 1])),
    };
    const losses = head.losses(head.forward(maps), rowsOf, { size, anchors, all });
    const state = new Map(
      parametersOf(head).map(({ name, shape }, i) => [name, noise(shape, 0.1, 0, i)] as const),
    );
    const program = await Program.build(new Map(Object.entries(losses)), await testRuntime(), state);
    const values = await program.run({}, { random: new Random(2) });
    await program.release();
    for (const part of ["objectness", "proposal", "class", "box"]) {
      expect(numbers(values[part])[0], part).toBeGreaterThan(1e-4);
    }
  });
});

describe("maps beyond stride 32", () => {
  it("have anchors, but no region is read from them", async () => {
    const levels = [32, 64].map((stride) => ({ channels: 8, stride }));
    const size = { width: 128, height: 128 };
    const grids = levels.map(({ stride }) => ({ rows: 128 / stride, columns: 128 / stride, stride }));
    const options = fasterRcnnOptions.parse({ anchorSides: [1], hidden: 8 });
    const head = nameParameters(new TwoStageHead(levels, 3, options));
    const maps = [4, 2].map((side, i) => input(`map${i}`, [1, 8, side, side]));
    const rows = {
      // Of the size that the level of stride 64 is for.
      boxes: constant(float32([3, 4, 120, 125], [1, 1, 4])),
      labels: constant(int64([1], [1, 1])),
    };
    const losses = head.losses(head.forward(maps), rows, regionGeometry(grids, size, options));
    const slopes = (part: string) => grad(present(losses[part]), maps);
    const outputs = new Map<string, Tensor>();
    for (const part of ["objectness", "class"]) {
      for (const [i, slope] of slopes(part).entries()) outputs.set(`${part} ${i}`, slope);
    }
    const state = new Map(
      parametersOf(head).map(({ name, shape }, i) => [name, noise(shape, 0.2, 0, i)] as const),
    );
    const program = await Program.build(outputs, await testRuntime(), state);
    const feeds = { map0: noise([1, 8, 4, 4], 1), map1: noise([1, 8, 2, 2], 1) };
    const values = await program.run(feeds, { random: new Random(3) });
    await program.release();
    const moves = (name: string) => numbers(values[name]).some((value) => value !== 0);
    expect(["objectness 0", "objectness 1", "class 0", "class 1"].map(moves)).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});

describe("options", () => {
  it.each([
    [{ foreground: 0.2 }, /option background: 0.3 must not be above foreground, 0.2/],
    [{ cascade: [0.6, 0.5] }, /option cascade: 0.6,0.5 must rise/],
  ])("that do not fit each other are named: %j", (given, message) => {
    expect(() => new TwoStageHead(LEVELS, 3, fasterRcnnOptions.parse(given))).toThrow(OptionError);
    expect(() => new TwoStageHead(LEVELS, 3, fasterRcnnOptions.parse(given))).toThrow(message);
  });
});
