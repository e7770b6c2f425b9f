import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { BatchNormTransform, Permutation } from "../../../src/flows/index.ts";
import { evaluate } from "../../../src/program/node.ts";
import { substitute } from "../../../src/tensor/graph.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import { constant, float32, grad, type Tensor } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { logAbsDeterminant, normals, transformErrors } from "../check-transform.ts";

/** Running statistics and parameters by name; a variance must not be negative. */
function withState(
  transform: BatchNormTransform,
  outputs: readonly Tensor[],
  values: {
    readonly scale: number[];
    readonly shift: number[];
    readonly mean: number[];
    readonly variance: number[];
  },
): Tensor[] {
  const vector = (data: readonly number[]): Tensor => constant(float32(data, [data.length]));
  const entries = [
    [transform.scale, vector(values.scale)],
    [transform.shift, vector(values.shift)],
    [transform.running_mean, vector(values.mean)],
    [transform.running_var, vector(values.variance)],
  ] as const;
  return substitute(outputs, new Map(entries.flatMap(([from, to]) => (from ? [[from, to] as const] : []))));
}

const STATE = { scale: [0.3, -0.2], shift: [1, -1], mean: [0.5, 2], variance: [4, 0.25] };

describe("batch normalization as a transform", () => {
  it("outside of training uses running statistics, with the determinant of a diagonal map", async () => {
    const transform = new BatchNormTransform(2);
    const x = constant(float32([1, 2, -3, 4], [2, 2]));
    const { y, logDet } = transform.forward(x);
    const back = transform.inverse(y);
    const [values = [], changes = [], preimage = [], inverse = []] = (
      await evaluate(withState(transform, [y, logDet, back.x, back.logDet], STATE))
    ).map(numbers);
    const factors = [Math.exp(0.3) / Math.sqrt(4 + 1e-5), Math.exp(-0.2) / Math.sqrt(0.25 + 1e-5)];
    [1, 2, -3, 4].forEach((value, i) => {
      const j = i % 2;
      const expected = (value - (STATE.mean[j] ?? 0)) * (factors[j] ?? 0) + (STATE.shift[j] ?? 0);
      expect(values[i]).toBeCloseTo(expected, 4);
      expect(preimage[i]).toBeCloseTo(value, 4);
    });
    for (const i of [0, 1]) {
      expect(changes[i]).toBeCloseTo(Math.log((factors[0] ?? 0) * (factors[1] ?? 0)), 4);
      expect(inverse[i]).toBeCloseTo(-(changes[i] ?? 0), 5);
    }
  });

  it("maps of channels: every place counts in the determinant", async () => {
    const transform = new BatchNormTransform(2);
    const x = constant(normals(1, [3, 2, 4, 5]));
    const { y, logDet } = transform.forward(x);
    const back = transform.inverse(y);
    const [points = [], changes = [], preimage = []] = (
      await evaluate(withState(transform, [x, logDet, back.x], STATE))
    ).map(numbers);
    const expected = 20 * (0.1 - 0.5 * Math.log((4 + 1e-5) * (0.25 + 1e-5)));
    for (const value of changes) expect(value).toBeCloseTo(expected, 3);
    points.forEach((value, i) => {
      expect(preimage[i]).toBeCloseTo(value, 4);
    });
  });

  it("in training uses the batch, lets gradients through its statistics and moves the running ones", async () => {
    const transform = new BatchNormTransform(2, { momentum: 0.25 });
    const points = [1, 2, -3, 4, 0.5, 6, 2, -1];
    const x = constant(float32(points, [4, 2]));
    const weights = constant(normals(2, [4, 2]));
    const lossOf = (at: Tensor): Tensor => {
      const { y, logDet } = transform.forward(at);
      return y.square().mul(weights).sum().add(logDet.sum());
    };
    const { result: trained, updates } = traceTraining(() => transform.forward(x));
    const { result } = traceTraining(() => ({
      slope: grad(lossOf(x), [x])[0],
      moved: points.flatMap((_, i) =>
        [1e-2, -1e-2].map((step) => {
          const shifted = points.map((value, j) => (i === j ? value + step : value));
          return lossOf(constant(float32(shifted, [4, 2])));
        }),
      ),
    }));
    const mean = updates.get(transform.running_mean) as Tensor;
    const variance = updates.get(transform.running_var) as Tensor;
    expect(updates.size).toBe(2);
    const found = (
      await evaluate(
        withState(transform, [trained.y, trained.logDet, result.slope, mean, variance, ...result.moved], {
          ...STATE,
          scale: [0, 0],
          shift: [0, 0],
        }),
      )
    ).map(numbers);
    const [y = [], logDet = [], slope = [], , , ...moved] = found;
    for (const j of [0, 1]) {
      const column = [0, 1, 2, 3].map((i) => y[2 * i + j] ?? Number.NaN);
      expect(column.reduce((a, b) => a + b)).toBeCloseTo(0, 5);
      expect(column.reduce((a, b) => a + b * b, 0) / 4).toBeCloseTo(1, 4);
    }
    const columns = [0, 1].map((j) => points.filter((_, i) => i % 2 === j));
    const means = columns.map((column) => column.reduce((a, b) => a + b) / 4);
    const variances = columns.map((column, j) =>
      column.reduce((total, value) => total + (value - (means[j] ?? 0)) ** 2 / 4, 0),
    );
    for (const value of logDet) {
      expect(value).toBeCloseTo(
        variances.reduce((total, v) => total - 0.5 * Math.log(v + 1e-5), 0),
        5,
      );
    }
    [0, 1].forEach((j) => {
      expect(found[3]?.[j]).toBeCloseTo(0.75 * (STATE.mean[j] ?? 0) + 0.25 * (means[j] ?? 0), 5);
      expect(found[4]?.[j]).toBeCloseTo(
        0.75 * (STATE.variance[j] ?? 0) + (0.25 * 4 * (variances[j] ?? 0)) / 3,
        4,
      );
    });
    slope.forEach((value, i) => {
      const difference = ((moved[2 * i]?.[0] ?? 0) - (moved[2 * i + 1]?.[0] ?? 0)) / 2e-2;
      expect(Math.abs(value - difference)).toBeLessThan(2e-3 + 2e-3 * Math.abs(difference));
    });
  });

  it("refuses to train on one value a channel", () => {
    const transform = new BatchNormTransform(3);
    const x = constant(float32([1, 2, 3], [1, 3]));
    expect(() => traceTraining(() => transform.forward(x))).toThrow(ShapeError);
    expect(() => transform.forward(x)).not.toThrow();
  });
});

describe("permutations", () => {
  for (const [name, transform] of [
    ["given", new Permutation([2, 0, 3, 1, 4])],
    ["reversed", Permutation.reversed(5)],
    ["random", Permutation.random(5, 3)],
  ] as const) {
    it(`${name}: inverse and volume`, async () => {
      const errors = await transformErrors(transform, 5);
      expect(errors.logDet).toBeLessThan(1e-6);
      expect(errors.inverse).toBe(0);
      expect(errors.change).toBeGreaterThan(0.1);
    });
  }

  it("takes the named components, of rows and of channels", async () => {
    const rows = constant(float32([10, 11, 12], [1, 3]));
    const maps = constant(float32([10, 20, 11, 21, 12, 22], [1, 3, 1, 2]));
    const transform = new Permutation([2, 0, 1]);
    const found = await evaluate([transform.forward(rows).y, transform.forward(maps).y]);
    expect(numbers(found[0])).toEqual([12, 10, 11]);
    expect(numbers(found[1])).toEqual([12, 22, 10, 20, 11, 21]);
  });

  it("has a determinant of ±1 and an order decided by the seed", () => {
    const { order } = Permutation.random(6, 1);
    expect(logAbsDeterminant(order.map((from) => order.map((_, j) => (j === from ? 1 : 0))))).toBe(0);
    expect(Permutation.random(6, 1).order).toEqual(order);
    expect(Permutation.random(6, 2).order).not.toEqual(order);
  });

  it("refuses lists that are no permutation", () => {
    expect(() => new Permutation([0, 2])).toThrow(OptionError);
    expect(() => new Permutation([0, 0, 1])).toThrow(OptionError);
  });
});
