import { describe, expect, it } from "vitest";
import { iouMatrix, type OverlapKind } from "../../../src/detection/boxes/boxes.ts";
import { boxLoss, boxOverlap } from "../../../src/detection/loss/losses.ts";
import { ShapeError } from "../../../src/errors.ts";
import { constant, float32, grad, input, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { runAll } from "../../tensor/support.ts";
import { crowd, readFixture } from "../fixture.ts";

interface LossFixture {
  readonly loss: readonly number[];
  readonly predicted: readonly number[];
  readonly target: readonly number[];
}

const { by, losses } = await readFixture<{
  readonly by: string;
  readonly losses: Readonly<Record<"giou" | "diou" | "ciou", LossFixture>> &
    Readonly<Record<"predicted" | "target" | "weights", readonly number[]>>;
}>("geometry");

const count = losses.predicted.length / 4;
const boxes = { p: float32(losses.predicted, [count, 4]), t: float32(losses.target, [count, 4]) };

/** Values of the outputs for these boxes. */
async function run(
  outputs: Readonly<Record<string, Tensor>>,
  feed: Readonly<Record<string, NdArray>>,
): Promise<(name: string) => readonly number[]> {
  const [result] = await runAll(outputs, [feed]);
  return (name) => result?.[name]?.data ?? [];
}

describe("boxLoss", () => {
  it.each(["giou", "diou", "ciou"] as const)(`%s and its gradients are those of ${by}`, async (kind) => {
    const [p, t] = [input("p", [count, 4]), input("t", [count, 4])];
    const loss = boxLoss(p, t, kind);
    const [dp, dt] = grad(loss.mul(constant(float32(losses.weights, [count]))).sum(), [p, t]);
    if (dp === undefined || dt === undefined) throw new Error("no gradient");
    const value = await run({ loss, dp, dt }, boxes);
    const { loss: expected, predicted, target } = losses[kind];
    for (const [i, number] of value("loss").entries()) expect(number).toBeCloseTo(expected[i] ?? 0, 5);
    for (const [i, number] of value("dp").entries()) expect(number).toBeCloseTo(predicted[i] ?? 0, 5);
    for (const [i, number] of value("dt").entries()) expect(number).toBeCloseTo(target[i] ?? 0, 5);
    // Boxes far from their targets learn, too.
    expect(Math.max(...value("dp").slice(-4).map(Math.abs))).toBeGreaterThan(1e-4);
  });

  it("of IoU has the gradient of finite differences, and none where boxes do not touch", async () => {
    const [p, t] = [input("p", [2, 4], "float64"), input("t", [2, 4], "float64")];
    const loss = boxLoss(p, t, "iou");
    const [dp] = grad(loss.sum(), [p]);
    if (dp === undefined) throw new Error("no gradient");
    const at = [1, 2, 9, 12, 0, 0, 5, 5];
    const double = (data: readonly number[]): NdArray => ({
      dtype: "float64",
      shape: [2, 4],
      data: Float64Array.from(data),
    });
    const target = double([3, 1, 12, 10, 20, 20, 30, 30]);
    const step = 1e-5;
    const moved = (side: number, by: number) =>
      at.map((value, i) => (i === side || i === side + 4 ? value + by : value));
    const feeds = [0, 1, 2, 3].flatMap((side) => [double(moved(side, step)), double(moved(side, -step))]);
    const results = await runAll(
      { loss, dp },
      [double(at), ...feeds].map((feed) => ({ p: feed, t: target })),
    );
    for (const side of [0, 1, 2, 3]) {
      const slope =
        ((results[1 + 2 * side]?.loss?.data[0] ?? 0) - (results[2 + 2 * side]?.loss?.data[0] ?? 0)) /
        (2 * step);
      expect(results[0]?.dp?.data[side]).toBeCloseTo(slope, 7);
    }
    expect(results[0]?.dp?.data.slice(4)).toEqual([0, 0, 0, 0]);
  });
});

describe("boxOverlap", () => {
  const kinds = ["iou", "giou", "diou", "ciou"] as const satisfies readonly OverlapKind[];

  it("of rows against columns is the matrix of numbers", async () => {
    const [a, b] = [crowd(1, 40, 200).boxes, crowd(2, 30, 200).boxes];
    const [x, y] = [input("x", ["batch", 4]), input("y", [30, 4])];
    const outputs = Object.fromEntries(
      kinds.map((kind) => [kind, boxOverlap(x.unsqueeze(1), y.unsqueeze(0), kind)] as const),
    );
    const value = await run(outputs, { x: float32(a, [40, 4]), y: float32(b, [30, 4]) });
    for (const kind of kinds) {
      const matrix = iouMatrix(a, b, kind);
      const values = value(kind);
      expect(values.length).toBe(matrix.length);
      for (const [i, number] of values.entries()) expect(number).toBeCloseTo(matrix[i] ?? 0, 4);
    }
  });

  it("of equal and of empty boxes is a number with a finite gradient", async () => {
    const x = input("x", [3, 4]);
    const y = input("y", [3, 4]);
    const outputs = Object.fromEntries(
      kinds.flatMap((kind) => {
        const overlap = boxOverlap(x, y, kind);
        const [gradient = overlap] = grad(overlap.sum(), [x]);
        return [
          [kind, overlap],
          [`${kind} gradient`, gradient],
        ] as const;
      }),
    );
    const same = float32([5, 5, 20, 30, 3, 3, 3, 3, 0, 0, 4, 0], [3, 4]);
    const value = await run(outputs, { x: same, y: same });
    for (const kind of kinds) {
      expect(value(kind)[0]).toBeCloseTo(1, 6);
      expect(value(`${kind} gradient`).every(Number.isFinite), kind).toBe(true);
    }
  });

  it("names shapes that are none of boxes", () => {
    expect(() => boxOverlap(input("x", [3, 5]), input("y", [3, 4]))).toThrow(ShapeError);
    expect(() => boxOverlap(input("x", [3, 5]), input("y", [3, 4]))).toThrow(/boxOverlap: \[3, 5\].*size 4/);
    expect(() => boxLoss(input("x", [3, 4]), input("y", [2, 4]))).toThrow(ShapeError);
  });
});
