import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GradientError, ShapeError } from "../../../src/errors.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { cast, multiply, sum } from "../../../src/tensor/core.ts";
import { grad, jacobian } from "../../../src/tensor/grad.ts";
import type { Tensor } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
import { greater, square } from "../../../src/tensor/operations/elementwise.ts";
import * as reduce from "../../../src/tensor/operations/reduce.ts";
import {
  at,
  build,
  cases,
  checkOperation,
  expectClose,
  few,
  filledShapes,
  generator,
  randomValues,
  reduceValues,
  runAll,
  runOnce,
  type Subject,
  shapes,
  toArray,
  type Values,
} from "../support.ts";

const total = (items: readonly number[]): number => items.reduce((a, b) => a + b, 0);
const average = (items: readonly number[]): number => total(items) / items.length;
const logSumExp = (items: readonly number[]): number => Math.log(total(items.map(Math.exp)));
const variance =
  (correction: number) =>
  (items: readonly number[]): number => {
    const center = average(items);
    return total(items.map((item) => (item - center) ** 2)) / (items.length - correction);
  };

type Reduction = (x: Tensor, axes?: number | readonly number[], keepDims?: boolean) => Tensor;

const reductions: readonly {
  readonly name: string;
  readonly apply: Reduction;
  readonly of: (items: readonly number[]) => number;
  readonly empty: boolean;
}[] = [
  { name: "mean", apply: reduce.mean, of: average, empty: false },
  { name: "max", apply: reduce.max, of: (items) => Math.max(...items), empty: false },
  { name: "min", apply: reduce.min, of: (items) => Math.min(...items), empty: false },
  { name: "logSumExp", apply: reduce.logSumExp, of: logSumExp, empty: true },
  { name: "variance", apply: reduce.variance, of: variance(0), empty: false },
];

/** A subset of the axes of a shape, perhaps empty. */
function chosenAxes(shape: readonly number[], chosen: readonly boolean[]): number[] {
  return shape.flatMap((_, axis) => (chosen[axis] ? [axis] : []));
}

const choice = fc.array(fc.boolean(), { minLength: 3, maxLength: 3 });

describe("reductions over any axes", () => {
  for (const { name, apply, of, empty } of reductions) {
    it(name, async () => {
      await fc.assert(
        fc.asyncProperty(shapes(), choice, fc.boolean(), cases, async (shape, chosen, keep, rest) => {
          const axes = chosenAxes(shape, chosen);
          fc.pre(empty || axes.every((axis) => shape[axis] !== 0));
          const subject: Subject = {
            name: `${name} over [${axes}]`,
            apply: (x) =>
              apply(
                x,
                axes.map((axis) => axis - shape.length),
                keep,
              ),
            reference: (x) => reduceValues(x, axes, keep, of),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        }),
        few(6),
      );
    });

    it(`${name} of everything`, async () => {
      const x = randomValues([2, 3], generator(3));
      await checkOperation(
        { name, apply: (v) => apply(v), reference: (v) => reduceValues(v, [0, 1], false, of) },
        [x],
      );
    });
  }

  it("variance with correction 1", async () => {
    const subject: Subject = {
      name: "variance",
      apply: (x) => reduce.variance(x, 1, false, 1),
      reference: (x) => reduceValues(x, [1], false, variance(1)),
    };
    await checkOperation(subject, [randomValues([3, 4], generator(5))]);
  });

  it("maxima share the gradient equally among ties", async () => {
    const x = input("x", [2, 3], "float64");
    const [high] = grad(sum(multiply(reduce.max(x, 1), 6)), [x]);
    const [low] = grad(sum(multiply(reduce.min(x), 6)), [x]);
    if (high === undefined || low === undefined) throw new Error("no gradient");
    const data = [1, 3, 3, 0, 0, 0];
    const [result] = await runAll({ high, low }, [{ x: toArray({ shape: [2, 3], data }, "float64") }]);
    expect(result?.high?.data).toEqual([0, 3, 3, 2, 2, 2]);
    expect(result?.low?.data).toEqual([0, 0, 0, 2, 2, 2]);
  });
});

describe("logSumExp, softmax and logSoftmax far from 0", () => {
  const infinite = Number.NEGATIVE_INFINITY;
  const x: Values = {
    shape: [4, 2],
    data: [1000, 1001, -1000, -1001, infinite, 3, infinite, infinite],
  };
  const one = Math.log(1 + Math.exp(-1));

  it.each([true, false])("logSumExp is stable, contrib kernels %s", async (contrib) => {
    const runtime = await nodeRuntime({ threads: 1, target: { contrib } });
    for (const dtype of ["float32", "float64"] as const) {
      const v = input("x", x.shape, dtype);
      const y = reduce.logSumExp(v, -1);
      const [gradient] = grad(sum(y), [v]);
      if (gradient === undefined) throw new Error("no gradient");
      const outputs = { y, kept: reduce.logSumExp(v, 1, true), all: reduce.logSumExp(v), gradient };
      const [result] = await runAll(outputs, [{ x: toArray(x, dtype) }], runtime);
      const expected = [1001 + one, -1000 + one, 3, infinite];
      expectClose(result?.y, { shape: [4], data: expected }, 1e-6, "y");
      expectClose(result?.kept, { shape: [4, 1], data: expected }, 1e-6, "kept");
      expectClose(result?.all, { shape: [], data: [1001 + one] }, 1e-6, "all");
      const p = 1 / (1 + Math.exp(-1));
      expectClose(
        result?.gradient,
        { shape: [4, 2], data: [1 - p, p, p, 1 - p, 0, 1, 0, 0] },
        1e-4,
        "gradient",
      );
    }
  });

  it("softmax and logSoftmax", async () => {
    const finite: Values = { shape: [2, 2], data: x.data.slice(0, 4) };
    const p = 1 / (1 + Math.exp(-1));
    const soft = await runOnce((v) => reduce.softmax(v), [finite]);
    expectClose(soft, { shape: [2, 2], data: [1 - p, p, p, 1 - p] }, 1e-6, "softmax");
    const logs = await runOnce((v) => reduce.logSoftmax(v), [finite]);
    expectClose(logs, { shape: [2, 2], data: [-1 - one, -one, -one, -1 - one] }, 1e-6, "logSoftmax");
  });
});

describe("softmax and logSoftmax", () => {
  for (const [name, apply, of] of [
    ["softmax", reduce.softmax, (item: number, row: readonly number[]) => Math.exp(item - logSumExp(row))],
    ["logSoftmax", reduce.logSoftmax, (item: number, row: readonly number[]) => item - logSumExp(row)],
  ] as const) {
    it(name, async () => {
      await fc.assert(
        fc.asyncProperty(shapes(1), fc.nat(2), cases, async (shape, number, rest) => {
          const axis = number % shape.length;
          const subject: Subject = {
            name: `${name} along ${axis}`,
            apply: (x) => apply(x, axis - shape.length),
            reference: (x) =>
              build(x.shape, (position) => {
                const row = Array.from({ length: x.shape[axis] ?? 0 }, (_, i) =>
                  at(
                    x,
                    position.map((value, k) => (k === axis ? i : value)),
                  ),
                );
                return of(at(x, position), row);
              }),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        }),
        few(8),
      );
    });
  }

  it("has the Jacobian diag(p) − p pᵀ", async () => {
    const x = input("x", [3], "float64");
    const p = reduce.softmax(x);
    const rows = jacobian(p, x);
    const [result] = await runAll({ p, ...Object.fromEntries(rows.map((row, i) => [`row${i}`, row])) }, [
      { x: toArray({ shape: [3], data: [0.3, -1, 2] }, "float64") },
    ]);
    const values = result?.p?.data ?? [];
    values.forEach((pi, i) => {
      const data = values.map((pj, j) => (i === j ? pi : 0) - pi * pj);
      expectClose(result?.[`row${i}`], { shape: [3], data }, 1e-12, `row ${i}`);
    });
  });
});

describe("cumSum", () => {
  it("with and without the element itself, in both directions", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes(1),
        fc.nat(2),
        fc.boolean(),
        fc.boolean(),
        cases,
        async (shape, n, exclusive, reverse, rest) => {
          const axis = n % shape.length;
          const subject: Subject = {
            name: `cumSum along ${axis} ${exclusive ? "exclusive" : ""} ${reverse ? "reverse" : ""}`,
            apply: (x) => reduce.cumSum(x, axis, { exclusive, reverse }),
            reference: (x) =>
              build(x.shape, (position) => {
                const own = position[axis] ?? 0;
                return total(
                  Array.from({ length: x.shape[axis] ?? 0 }, (_, i) => i)
                    .filter((i) => (reverse ? i > own : i < own) || (!exclusive && i === own))
                    .map((i) =>
                      at(
                        x,
                        position.map((value, k) => (k === axis ? i : value)),
                      ),
                    ),
                );
              }),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        },
      ),
      few(8),
    );
  });
});

describe("argMax, argMin, any and all", () => {
  it("argMax and argMin find the place", async () => {
    await fc.assert(
      fc.asyncProperty(
        filledShapes(1),
        fc.nat(2),
        fc.boolean(),
        cases,
        async (shape, n, keep, { seed, dtype }) => {
          const axis = n % shape.length;
          const x = randomValues(shape, generator(seed));
          for (const [apply, best] of [
            [reduce.argMax, Math.max],
            [reduce.argMin, Math.min],
          ] as const) {
            const subject: Subject = {
              name: apply.name,
              apply: (v) => apply(v, axis, keep),
              reference: (v) => reduceValues(v, [axis], keep, (items) => items.indexOf(best(...items))),
              valueOnly: true,
            };
            await checkOperation(subject, [x], { dtype });
          }
        },
      ),
      few(8),
    );
  });

  it("argMax takes the first of equal elements and has no gradient", async () => {
    expect((await runOnce((v) => reduce.argMax(v, 0), [{ shape: [4], data: [0, 2, 2, 1] }])).data).toEqual([
      1,
    ]);
    const x = input("x", [4]);
    expect(reduce.argMax(x, 0).dtype).toBe("int64");
    const y = cast(reduce.argMax(x, 0), "float32");
    const [gradient] = grad(y, [x]);
    const [result] = await runAll({ g: gradient ?? x }, [{}]);
    expect(result?.g?.data).toEqual([0, 0, 0, 0]);
  });

  it("any and all, also of nothing", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(), choice, fc.boolean(), cases, async (shape, chosen, keep, { seed }) => {
        const axes = chosenAxes(shape, chosen);
        const x = randomValues(shape, generator(seed), { kinks: [0] });
        for (const [apply, of] of [
          [reduce.any, (items: readonly number[]) => items.some((item) => item > 0)],
          [reduce.all, (items: readonly number[]) => items.every((item) => item > 0)],
        ] as const) {
          const subject: Subject = {
            name: apply.name,
            apply: (v) => apply(greater(v, 0), axes, keep),
            reference: (v) => reduceValues(v, axes, keep, (items) => Number(of(items))),
            valueOnly: true,
          };
          await checkOperation(subject, [x]);
        }
      }),
      few(8),
    );
  });
});

describe("a symbolic batch", () => {
  it("is reduced like any other axis", async () => {
    const x = input("x", ["batch", 3]);
    const outputs = {
      mean: reduce.mean(x),
      rows: reduce.mean(x, 1),
      columns: reduce.max(x, 0, true),
      spread: reduce.variance(x, 0),
      log: reduce.logSumExp(x, 0),
      soft: reduce.softmax(x),
      running: reduce.cumSum(x, 0),
      place: reduce.argMax(x, 0),
    };
    expect(outputs.rows.shape).toEqual(["batch"]);
    const v = randomValues([5, 3], generator(11));
    const [result] = await runAll(outputs, [{ x: toArray(v, "float32") }]);
    const expected: Readonly<Record<string, Values>> = {
      mean: reduceValues(v, [0, 1], false, average),
      rows: reduceValues(v, [1], false, average),
      columns: reduceValues(v, [0], true, (items) => Math.max(...items)),
      spread: reduceValues(v, [0], false, variance(0)),
      log: reduceValues(v, [0], false, logSumExp),
      place: reduceValues(v, [0], false, (items) => items.indexOf(Math.max(...items))),
    };
    for (const [name, values] of Object.entries(expected)) expectClose(result?.[name], values, 1e-5, name);
    expect(result?.soft?.shape).toEqual([5, 3]);
    expect(result?.running?.shape).toEqual([5, 3]);
  });

  it("has a gradient within rows; across rows the size must be known", async () => {
    const x = input("x", ["batch", 2]);
    const [gradient] = grad(sum(square(reduce.mean(x, 1))), [x]);
    if (gradient === undefined) throw new Error("no gradient");
    const [result] = await runAll({ gradient }, [
      { x: toArray({ shape: [3, 2], data: [1, 3, 0, 2, -4, 2] }, "float32") },
    ]);
    expect(result?.gradient).toEqual({ shape: [3, 2], data: [2, 2, 1, 1, -1, -1] });
    expect(() => grad(reduce.mean(x), [x])).toThrow(/mean: \[batch, 2\]: .*known while tracing/);
  });
});

describe("errors", () => {
  const x = input("x", [2, 0, 3]);

  it("name the operation and the shape", () => {
    expect(() => reduce.mean(x, 3)).toThrow(/^mean: \[2, 0, 3\]: there is no axis 3/);
    expect(() => reduce.softmax(x, -4)).toThrow(/^softmax: \[2, 0, 3\]: there is no axis -4/);
    expect(() => reduce.cumSum(x, 5)).toThrow(/^cumSum: /);
    expect(() => reduce.max(x, [0, 0])).toThrow(/^max: .*twice/);
    expect(() => reduce.variance(input("v", [1, 2]), 0, false, 1)).toThrow(/^variance: \[1, 2\]: 1 elements/);
  });

  it("refuse what is not defined for an empty axis", () => {
    for (const apply of [reduce.mean, reduce.max, reduce.min, reduce.argMax, reduce.argMin]) {
      expect(() => apply(x, 1)).toThrow(ShapeError);
      expect(() => apply(x, 1)).toThrow(new RegExp(`^${apply.name}: \\[2, 0, 3\\]: axis 1 is empty`));
      expect(apply(x, 0).shape).toEqual([0, 3]);
    }
  });

  it("refuse other dtypes", () => {
    const truth = greater(input("v", [2]), 0);
    expect(() => reduce.mean(cast(truth, "int64"))).toThrow(/^mean: int64 \[2\]: wants floats/);
    expect(() => reduce.max(truth)).toThrow(/^max: bool \[2\]/);
    expect(() => reduce.any(input("v", [2]))).toThrow(/^any: \[2\]: wants booleans/);
    expect(() => grad(cast(sum(cast(truth, "int64")), "int64"), [])).toThrow(GradientError);
  });
});
