import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorGrid, anchorShapes } from "../../../src/detection/boxes/anchors.ts";
import { type Box, boxAt, iou } from "../../../src/detection/boxes/boxes.ts";
import { overlapsInvalid } from "../../../src/detection/loss/assignment.ts";
import { centerNetLosses, centerNetOptions } from "../../../src/detection/models/center-net.ts";
import { fcosLosses, fcosOptions, sizeRanges } from "../../../src/detection/models/fcos.ts";
import { retinaNetLosses, retinaNetOptions } from "../../../src/detection/models/retina-net.ts";
import { yoloLosses, yoloOptions } from "../../../src/detection/models/yolo.ts";
import { yoloV1Losses, yoloV1Options } from "../../../src/detection/models/yolo-v1.ts";
import { yoloV3Anchors, yoloV3Losses, yoloV3Options } from "../../../src/detection/models/yolo-v3.ts";
import { featurePoints } from "../../../src/detection/network/feature-network.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, grad, input, int64, type Tensor } from "../../../src/tensor/index.ts";
import { runAll } from "../../tensor/support.ts";
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
    const anchors = constant(float32(boxes, [count, 4]));
    const found = (invalid: readonly Box[]) =>
      gradients({ classes: [1, count, CLASSES], deltas: [1, count, 4] }, ({ classes, deltas }) =>
        retinaNetLosses({ classes, deltas }, anchors, objects(SMALL, 1, invalid), options).total.mul(1e3),
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
