import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { anchorLevels, anchorShapes } from "../../../src/detection/boxes/anchors.ts";
import { centerNetLosses, centerNetOptions } from "../../../src/detection/models/center-net.ts";
import { fcosLosses, fcosOptions, sizeRanges } from "../../../src/detection/models/fcos.ts";
import { retinaNetLosses, retinaNetOptions } from "../../../src/detection/models/retina-net.ts";
import { yoloLosses, yoloOptions } from "../../../src/detection/models/yolo.ts";
import { yoloV1Losses, yoloV1Options } from "../../../src/detection/models/yolo-v1.ts";
import { yoloV3Anchors, yoloV3Losses, yoloV3Options } from "../../../src/detection/models/yolo-v3.ts";
import { featurePoints, levelGrids } from "../../../src/detection/network/feature-network.ts";
import type { Losses } from "../../../src/model/capabilities.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { runAll } from "../../tensor/support.ts";

// Losses of all detectors, assignment included, and their gradients, against PyTorch.

interface Case {
  readonly losses: Readonly<Record<string, number>>;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

const { by, width, height, objects, cases } = JSON.parse(
  await readFile(new URL("../../fixtures/detectors/losses.json", import.meta.url), "utf8"),
) as {
  readonly by: string;
  readonly width: number;
  readonly height: number;
  readonly objects: readonly (readonly (readonly [box: readonly number[], label: number])[])[];
  readonly cases: Readonly<Record<string, Case>>;
};

const size = { width, height };
const images = objects.length;
const classes = 3;
// One row more than any image has objects.
const rows = 1 + Math.max(...objects.map((list) => list.length));

const truth = {
  boxes: constant(
    float32(
      objects.flatMap((list) => Array.from({ length: rows }, (_, i) => list[i]?.[0] ?? [0, 0, 0, 0]).flat()),
      [images, rows, 4],
    ),
  ),
  labels: constant(
    int64(
      objects.flatMap((list) => Array.from({ length: rows }, (_, i) => list[i]?.[1] ?? -1)),
      [images, rows],
    ),
  ),
};

/** The numbers that losses.py calls a prediction. */
function prediction(
  shape: readonly number[],
  scale: number,
  offset: number,
  phase: number,
  slope = 0,
): NdArray<"float32"> {
  const last = shape[shape.length - 1] ?? 1;
  const count = shape.reduce((a, b) => a * b, 1);
  const at = (i: number) => offset + slope * (i % last) + scale * Math.sin(12.9898 * i + phase);
  return float32(
    Array.from({ length: count }, (_, i) => at(i)),
    shape,
  );
}

/** The American spelling of a part that losses.py names in the British one. */
const currentPart = (name: string): string => name.replace("centre", "center");

async function check(
  name: string,
  predictions: Readonly<Record<string, NdArray<"float32">>>,
  losses: (tensor: (name: string) => Tensor) => Losses,
): Promise<void> {
  const tensors = new Map(Object.entries(predictions).map(([key, { shape }]) => [key, input(key, shape)]));
  const parts = losses((key) => tensors.get(key) ?? input(key, []));
  const gradients = grad(parts.total, [...tensors.values()]);
  const outputs: Record<string, Tensor> = Object.fromEntries(
    [...tensors.keys()].map((key, i) => [`gradient ${key}`, gradients[i] ?? parts.total]),
  );
  const [result] = await runAll({ ...parts, ...outputs }, [predictions]);
  const expected = present(cases[name], `case ${name}`);
  const wanted = Object.entries(expected.losses).map(([part, value]) => [currentPart(part), value] as const);
  expect(Object.keys(parts).toSorted()).toEqual(wanted.map(([part]) => part).toSorted());
  for (const [part, value] of wanted) {
    expect(Math.abs((result?.[part]?.data[0] ?? Number.NaN) / value - 1), part).toBeLessThan(1e-5);
  }
  for (const [key, gradient] of Object.entries(expected.gradients)) {
    const got = present(result?.[`gradient ${currentPart(key)}`]).data;
    expect(got.length, key).toBe(gradient.length);
    const largest = Math.max(...gradient.map(Math.abs));
    expect(largest, key).toBeGreaterThan(1e-3);
    const errors = gradient.map((value, i) => Math.abs(value - (got[i] ?? Number.NaN)));
    expect(Math.max(...errors) / largest, `gradient of ${key}`).toBeLessThan(1e-5);
  }
}

function grids(strides: readonly number[]) {
  return levelGrids(
    size,
    strides.map((stride) => ({ channels: 1, stride })),
  );
}

describe(`losses and gradients are those of ${by}`, () => {
  it("yolo", async () => {
    const points = featurePoints(grids([16, 32]));
    const options = yoloOptions.parse({ candidates: 4 });
    await check(
      "yolo",
      {
        distances: prediction([images, points.count, 4, 6], 0.7, 0, 0.3, -0.7),
        classes: prediction([images, points.count, classes], 2, -1, 1.1),
      },
      (tensor) =>
        yoloLosses({ distances: tensor("distances"), classes: tensor("classes") }, points, truth, options),
    );
  });

  it("fcos", async () => {
    const levels = grids([8, 16, 32]);
    const points = featurePoints(levels);
    await check(
      "fcos",
      {
        classes: prediction([images, points.count, classes], 2, -1.5, 0.7),
        distances: prediction([images, points.count, 4], 1.4, 2, 2.1),
        centerness: prediction([images, points.count], 1, 0.2, 0.2),
      },
      (tensor) =>
        fcosLosses(
          {
            classes: tensor("classes"),
            distances: tensor("distances"),
            centerness: tensor("centerness"),
          },
          points,
          sizeRanges(levels),
          truth,
          fcosOptions.parse({}),
        ),
    );
  });

  it("center-net", async () => {
    const grid = { rows: height / 8, columns: width / 8, stride: 8 };
    const cells = grid.rows * grid.columns;
    await check(
      "center-net",
      {
        heat: prediction([images, classes, grid.rows, grid.columns], 2, -1.5, 0.9),
        offsets: prediction([images, cells, 2], 0.6, 0.4, 0.5),
        sizes: prediction([images, cells, 2], 2.5, 3, 1.7),
      },
      (tensor) =>
        centerNetLosses(
          { heat: tensor("heat"), offsets: tensor("offsets"), sizes: tensor("sizes") },
          grid,
          truth,
          centerNetOptions.parse({}),
        ),
    );
  });

  it("retina-net", async () => {
    const { boxes, levels } = anchorLevels(
      grids([16, 32]).map((grid) => ({
        ...grid,
        shapes: anchorShapes([1.5 * grid.stride, 1.5 * grid.stride * Math.SQRT2], [0.5, 2]),
      })),
    );
    const count = boxes.length / 4;
    await check(
      "retina-net",
      {
        classes: prediction([images, count, classes], 2, -1.5, 0.4),
        deltas: prediction([images, count, 4], 0.8, 0, 1.3),
      },
      (tensor) =>
        retinaNetLosses(
          { classes: tensor("classes"), deltas: tensor("deltas") },
          { anchors: constant(float32(boxes, [count, 4])), levels },
          truth,
          retinaNetOptions.parse({}),
        ),
    );
  });

  it("yolo-v1", async () => {
    const grid = { rows: height / 32, columns: width / 32, stride: 32 };
    const cells = grid.rows * grid.columns;
    await check(
      "yolo-v1",
      {
        codes: prediction([images, cells, 2, 4], 0.4, 0.5, 0.6),
        confidence: prediction([images, cells, 2], 0.5, 0.3, 2.2),
        classes: prediction([images, cells, classes], 0.5, 0.4, 0.8),
      },
      (tensor) =>
        yoloV1Losses(
          { codes: tensor("codes"), confidence: tensor("confidence"), classes: tensor("classes") },
          grid,
          truth,
          yoloV1Options.parse({}),
        ),
    );
  });

  it.each(["yolo-v2", "yolo-v3"])("%s", async (version) => {
    const shapes = [
      [
        { width: 10, height: 12 },
        { width: 20, height: 34 },
      ],
      [
        { width: 40, height: 30 },
        { width: 80, height: 60 },
      ],
    ];
    const anchors = yoloV3Anchors(grids([16, 32]).map((grid, i) => ({ ...grid, shapes: shapes[i] ?? [] })));
    const count = Number(anchors.strides.shape[0]);
    const options = version === "yolo-v2" ? { objectness: "iou", classLoss: "softmax" } : {};
    await check(
      version,
      {
        codes: prediction([images, count, 4], 0.9, 0, 0.1),
        objectness: prediction([images, count], 2, -1, 1.9),
        classes: prediction([images, count, classes], 1.5, 0, 2.6),
      },
      (tensor) =>
        yoloV3Losses(
          { codes: tensor("codes"), objectness: tensor("objectness"), classes: tensor("classes") },
          anchors,
          truth,
          size,
          yoloV3Options.parse(options),
        ),
    );
  });
});
