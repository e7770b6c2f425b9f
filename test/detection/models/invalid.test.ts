import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorGrid, anchorShapes } from "../../../src/detection/boxes/anchors.ts";
import { type Box, boxAt, iou } from "../../../src/detection/boxes/boxes.ts";
import { overlapsInvalid } from "../../../src/detection/loss/assignment.ts";
import { centerNetLosses, centerNetOptions } from "../../../src/detection/models/center-net.ts";
import {
  fasterRcnnOptions,
  regionGeometry,
  TwoStageHead,
} from "../../../src/detection/models/faster-rcnn.ts";
import { fcosLosses, fcosOptions, sizeRanges } from "../../../src/detection/models/fcos.ts";
import { regionLosses, regionTargets, stageWeights } from "../../../src/detection/models/region-head.ts";
import { retinaNetLosses, retinaNetOptions } from "../../../src/detection/models/retina-net.ts";
import { slidingWindowLosses, slidingWindowOptions } from "../../../src/detection/models/sliding-window.ts";
import { yoloLosses, yoloOptions } from "../../../src/detection/models/yolo.ts";
import { yoloV1Losses, yoloV1Options } from "../../../src/detection/models/yolo-v1.ts";
import { yoloV3Anchors, yoloV3Losses, yoloV3Options } from "../../../src/detection/models/yolo-v3.ts";
import { featurePoints } from "../../../src/detection/network/feature-network.ts";
import { Program } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, grad, input, int64, type Tensor } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { runAll, testRuntime } from "../../tensor/support.ts";
import { box, SEEDED } from "../arbitrary.ts";

// Objects of a size that is not learnt at a scale are neither found nor background: what predicts there has no gradient.

const GRID = { rows: 8, columns: 8, stride: 8 };
const CELLS = 64;
const CLASSES = 2;

/** A small object, and a large one of a size that is not learnt, which holds the first one's center. */
const SMALL: Box = [15, 15, 27, 27];
const LARGE: Box = [10, 10, 42, 40];

const objects = (box: Box, label: number, invalid: readonly Box[]) => ({
  boxes: constant(float32([...box, 0, 0, 0, 0], [1, 2, 4])),
  labels: constant(int64([label, -1], [1, 2])),
  ...(invalid.length > 0 && {
    invalid: constant(float32([...invalid.flat(), 0, 0, 0, 0], [1, invalid.length + 1, 4])),
  }),
});

/** Sums over all but the first `kept` axes of the absolute gradient of a loss by what the head predicts. */
async function gradients<N extends string>(
  shapes: Readonly<Record<N, readonly number[]>>,
  loss: (outputs: Readonly<Record<N, Tensor>>) => Tensor,
): Promise<Readonly<Record<N, readonly number[]>>> {
  const names = Object.keys(shapes) as N[];
  const random = new Random(3);
  const values = Object.fromEntries(
    names.map((name) => {
      const count = shapes[name].reduce((product, side) => product * side, 1);
      return [
        name,
        float32(
          Array.from({ length: count }, () => 0.5 * random.normal()),
          [...shapes[name]],
        ),
      ];
    }),
  );
  const inputs = Object.fromEntries(names.map((name) => [name, input(name, [...shapes[name]])])) as Record<
    N,
    Tensor
  >;
  const found = grad(
    loss(inputs),
    names.map((name) => inputs[name]),
  );
  const [result] = await runAll(Object.fromEntries(names.map((name, i) => [name, found[i] as Tensor])), [
    values,
  ]);
  return Object.fromEntries(names.map((name) => [name, result?.[name]?.data ?? []])) as Record<
    N,
    readonly number[]
  >;
}

/** Whether any of the numbers of row k is not 0, for k rows one after another. */
const moved = (values: readonly number[], rows: number): readonly boolean[] => {
  const each = values.length / rows;
  return Array.from({ length: rows }, (_, k) =>
    values.slice(k * each, (k + 1) * each).some((value) => value !== 0),
  );
};

describe("anchors", () => {
  it("overlap an invalid object as a plain loop has it; rows without an area overlap none", async () => {
    const cases = fc.sample(
      fc.tuple(fc.array(box, { minLength: 4, maxLength: 4 }), fc.array(box, { minLength: 3, maxLength: 3 })),
      { seed: SEEDED.seed, numRuns: 40 },
    );
    const near = ([x1, y1, x2, y2]: Box): Box => [x1 + 0.2 * (x2 - x1), y1, x2 + 0.2 * (x2 - x1), y2];
    for (const [anchors, invalid] of cases) {
      const all = [...anchors, ...invalid.map(near)];
      const [result] = await runAll(
        {
          found: overlapsInvalid(
            constant(float32(all.flat(), [all.length, 4])),
            constant(float32([...invalid.flat(), 0, 0, 0, 0], [1, 4, 4])),
          ).cast("float32"),
        },
        [{}],
      );
      expect(result?.found?.data).toEqual(all.map((a) => Number(invalid.some((b) => iou(a, b) > 0.3))));
    }
  });

  const shapes = anchorShapes([12, 30], [0.5, 1]);
  const boxes = anchorGrid({ ...GRID, shapes });
  const count = boxes.length / 4;
  const spared = (invalid: readonly Box[]) =>
    Array.from({ length: count }, (_, k) => invalid.some((b) => iou(boxAt(boxes, k), b) > 0.3));

  it("of RetinaNet that overlap one by more than 0.3 have no gradient at all, all others keep theirs", async () => {
    const options = retinaNetOptions.parse({});
    const placed = { anchors: constant(float32(boxes, [count, 4])), levels: [] };
    const found = (invalid: readonly Box[]) =>
      gradients({ classes: [1, count, CLASSES], deltas: [1, count, 4] }, ({ classes, deltas }) =>
        retinaNetLosses({ classes, deltas }, placed, objects(SMALL, 1, invalid), options).total.mul(1e3),
      );
    const [without, withLarge] = [await found([]), await found([LARGE])];
    const spare = spared([LARGE]);
    expect(spare.filter(Boolean).length).toBeGreaterThan(4);
    const usual = moved(without.classes, count);
    expect(moved(withLarge.classes, count)).toEqual(usual.map((moves, k) => moves && spare[k] !== true));
    const deltas = moved(without.deltas, count);
    expect(deltas.filter(Boolean).length).toBeGreaterThan(0);
    expect(moved(withLarge.deltas, count)).toEqual(deltas.map((moves, k) => moves && spare[k] !== true));
    // One that is assigned to an object is spared all the same, where it overlaps an invalid one.
    const same = await found([SMALL]);
    expect(same.deltas.every((value) => value === 0)).toBe(true);
  });

  it("of YOLOv3 likewise", async () => {
    const options = yoloV3Options.parse({ ignore: 0.9 });
    const anchors = yoloV3Anchors([{ ...GRID, shapes }]);
    const found = (invalid: readonly Box[]) =>
      gradients(
        { codes: [1, count, 4], objectness: [1, count], classes: [1, count, CLASSES] },
        (outputs) =>
          yoloV3Losses(outputs, anchors, objects(SMALL, 1, invalid), { width: 64, height: 64 }, options)
            .total,
      );
    const [without, withLarge, same] = [await found([]), await found([LARGE]), await found([SMALL])];
    expect(moved(without.objectness, count).every(Boolean)).toBe(true);
    expect(moved(withLarge.objectness, count)).toEqual(spared([LARGE]).map((spare) => !spare));
    expect(moved(without.codes, count).filter(Boolean)).toHaveLength(1);
    expect(moved(withLarge.codes, count)).toEqual(moved(without.codes, count));
    expect([...same.codes, ...same.classes].every((value) => value === 0)).toBe(true);
  });
});

/** Values of outputs that draw by chance. */
async function drawn(
  outputs: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const program = await Program.build(outputs, await testRuntime());
  const values = await program.run({}, { random: new Random(7) });
  await program.release();
  return Object.fromEntries(
    Object.entries(values).map(([name, { data }]) => [name, Array.from(data, Number)]),
  );
}

const wobble = (shape: readonly number[]): Tensor => {
  const random = new Random(11);
  const count = shape.reduce((product, side) => product * side, 1);
  return constant(
    float32(
      Array.from({ length: count }, () => 0.5 * random.normal()),
      [...shape],
    ),
  );
};

describe("what overlaps an invalid object by more than 0.3 has no gradient in Faster R-CNN", () => {
  const size = { width: 64, height: 64 };
  // Nothing is left to chance: all anchors and all regions are learnt from.
  const options = fasterRcnnOptions.parse({
    anchorSides: [1.5, 3.5],
    anchorRatios: [0.5, 1],
    sampledAnchors: 10_000,
    foreground: 0.5,
    hidden: 8,
  });
  const head = new TwoStageHead([{ channels: 8, stride: 8 }], CLASSES, options);
  const geometry = regionGeometry([GRID], size, options);
  const count = Number(geometry.all.shape[0]);

  it("as an anchor", async () => {
    const found = async (invalid: readonly Box[]) => {
      const [objectness, deltas] = [wobble([1, count]), wobble([1, count, 4])];
      const losses = head.proposalLosses([{ objectness, deltas }], objects(SMALL, 1, invalid), geometry);
      const total = losses.objectness.add(losses.proposal).mul(1e3);
      const [first, second] = grad(total, [objectness, deltas]);
      return drawn({ anchors: geometry.all, objectness: present(first), deltas: present(second) });
    };
    const [without, withLarge, same] = [await found([]), await found([LARGE]), await found([SMALL])];
    const spare = (invalid: Box) =>
      Array.from({ length: count }, (_, k) => iou(boxAt(present(without.anchors), k), invalid) > 0.3);
    expect(spare(LARGE).filter(Boolean).length).toBeGreaterThan(4);
    for (const name of ["objectness", "deltas"]) {
      const usual = moved(present(without[name]), count);
      expect(usual.filter(Boolean).length).toBeGreaterThan(0);
      for (const [invalid, values] of [
        [LARGE, withLarge],
        [SMALL, same],
      ] as const) {
        const spared = spare(invalid);
        expect(moved(present(values[name]), count), name).toEqual(usual.map((is, k) => is && !spared[k]));
      }
    }
    expect(moved(present(same.deltas), count).some(Boolean)).toBe(false);
  });

  it("as a region, the object itself among them", async () => {
    const boxes: readonly Box[] = [
      [16, 15, 28, 27],
      LARGE,
      [12, 12, 40, 40],
      [30, 30, 40, 38],
      [0, 0, 12, 12],
      [44, 44, 60, 60],
    ];
    const proposals = {
      boxes: constant(float32(boxes.flat(), [1, boxes.length, 4])),
      scores: constant(float32(new Array<number>(boxes.length).fill(0.5), [1, boxes.length])),
    };
    const found = async (invalid: readonly Box[]) => {
      const own = objects(SMALL, 1, invalid);
      const targets = regionTargets(proposals, own, { iou: 0.5, count: 100, positives: 100 });
      const rows = Number(targets.regions.shape[1]);
      const outputs = {
        classes: wobble([1, rows, 1 + CLASSES]),
        deltas: wobble([1, rows, 1 + CLASSES, 4]),
      };
      const losses = regionLosses(outputs, targets, own, stageWeights(0));
      const total = losses.class.add(losses.box);
      const [classes, deltas] = grad(total, [outputs.classes, outputs.deltas]);
      const values = await drawn({
        regions: targets.regions,
        classes: present(classes),
        deltas: present(deltas),
      });
      const rowsOf = (name: string) => {
        const moves = moved(present(values[name]), rows);
        return Array.from({ length: rows }, (_, k) => boxAt(present(values.regions), k))
          .filter((_, k) => moves[k])
          .map(String)
          .sort();
      };
      return { classes: rowsOf("classes"), deltas: rowsOf("deltas") };
    };
    const all = [...boxes, SMALL];
    const texts = (those: readonly Box[]) => those.map(String).sort();
    const apart = (invalid: Box) => (one: Box) => iou(one, invalid) <= 0.3;
    expect(await found([])).toEqual({ classes: texts(all), deltas: texts([[16, 15, 28, 27], SMALL]) });
    const withLarge = await found([LARGE]);
    expect(withLarge.classes).toEqual(texts(all.filter(apart(LARGE))));
    expect(withLarge.classes).toHaveLength(5);
    expect(withLarge.deltas).toEqual(texts([[16, 15, 28, 27], SMALL]));
    expect(await found([SMALL])).toEqual({ classes: texts(all.filter(apart(SMALL))), deltas: [] });
  });
});

it("windows that overlap an invalid object by more than 0.3 have no gradient, all others keep theirs", async () => {
  const boxes = anchorGrid({ ...GRID, shapes: anchorShapes([12, 30], [1]) });
  const count = boxes.length / 4;
  const windows = constant(float32(boxes, [count, 4]));
  // So many negatives that all are learnt from.
  const options = { ...slidingWindowOptions.parse({}), negatives: 1000 };
  const found = async (invalid: readonly Box[]) => {
    const { logits } = await gradients({ logits: [1, count, CLASSES + 1] }, ({ logits }) =>
      slidingWindowLosses(logits, windows, objects(SMALL, 1, invalid), options).total.mul(1e3),
    );
    return moved(logits, count);
  };
  const usual = await found([]);
  expect(usual.filter(Boolean).length).toBeGreaterThan(count / 2);
  const spare = Array.from({ length: count }, (_, k) => iou(boxAt(boxes, k), LARGE) > 0.3);
  expect(spare.filter(Boolean).length).toBeGreaterThan(4);
  expect(await found([LARGE])).toEqual(usual.map((is, k) => is && !spare[k]));
});

describe("locations in an invalid object have no gradient, but for those that are assigned to another object", () => {
  const points = featurePoints([GRID]);
  const inside = Array.from({ length: CELLS }, (_, k) => {
    const [x, y] = [(k % 8) * 8 + 4, Math.floor(k / 8) * 8 + 4];
    return x > LARGE[0] && x < LARGE[2] && y > LARGE[1] && y < LARGE[3];
  });

  /** By location: whether its classes have a gradient without the invalid object, with it, and where there is no other. */
  type Moves = Readonly<Record<"without" | "with" | "alone", readonly boolean[]>>;

  async function moves<N extends string>(
    shapes: Readonly<Record<N, readonly number[]>>,
    loss: (outputs: Readonly<Record<N, Tensor>>, given: ReturnType<typeof objects>) => Tensor,
    watched: NoInfer<N>,
    order: (values: readonly number[]) => readonly number[] = (values) => values,
  ): Promise<Moves> {
    const of = async (label: number, invalid: readonly Box[]) => {
      const found = await gradients(shapes, (outputs) => loss(outputs, objects(SMALL, label, invalid)));
      return moved(order(found[watched]), CELLS);
    };
    return { without: await of(1, []), with: await of(1, [LARGE]), alone: await of(-1, [LARGE]) };
  }

  function check({ without, with: withLarge, alone }: Moves): void {
    expect(without.every(Boolean)).toBe(true);
    expect(alone).toEqual(inside.map((is) => !is));
    const own = withLarge.flatMap((is, k) => (is && inside[k] === true ? [k] : []));
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(inside.filter(Boolean).length);
    for (const [k, is] of inside.entries()) if (!is) expect(withLarge[k]).toBe(true);
  }

  it("yolo", async () => {
    const options = yoloOptions.parse({ candidates: 2 });
    check(
      await moves(
        { distances: [1, CELLS, 4, 8], classes: [1, CELLS, CLASSES] },
        ({ distances, classes }, given) => yoloLosses({ distances, classes }, points, given, options).total,
        "classes",
      ),
    );
  });

  it("fcos", async () => {
    const options = fcosOptions.parse({ radius: 0.5 });
    check(
      await moves(
        { classes: [1, CELLS, CLASSES], distances: [1, CELLS, 4], centerness: [1, CELLS] },
        (outputs, given) => fcosLosses(outputs, points, sizeRanges([GRID]), given, options).total,
        "classes",
      ),
    );
  });

  it("center-net", async () => {
    const options = centerNetOptions.parse({});
    const byCell = (values: readonly number[]) =>
      Array.from(
        { length: values.length },
        (_, i) => values[(i % CLASSES) * CELLS + Math.floor(i / CLASSES)] ?? 0,
      );
    check(
      await moves(
        { heat: [1, CLASSES, 8, 8], offsets: [1, CELLS, 2], sizes: [1, CELLS, 2] },
        (outputs, given) => centerNetLosses(outputs, GRID, given, options).total,
        "heat",
        byCell,
      ),
    );
  });

  it("yolo-v1", async () => {
    const options = yoloV1Options.parse({});
    check(
      await moves(
        { codes: [1, CELLS, 2, 4], confidence: [1, CELLS, 2], classes: [1, CELLS, CLASSES] },
        (outputs, given) => yoloV1Losses(outputs, GRID, given, options).total,
        "confidence",
      ),
    );
  });
});
