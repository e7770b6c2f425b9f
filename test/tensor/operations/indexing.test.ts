import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { cast, multiply, sum } from "../../../src/tensor/core.ts";
import { grad, jacobian } from "../../../src/tensor/grad.ts";
import type { Tensor } from "../../../src/tensor/graph.ts";
import { constant, input } from "../../../src/tensor/leaves.ts";
import * as indexing from "../../../src/tensor/operations/indexing.ts";
import {
  at,
  build,
  cases,
  checkOperation,
  expectClose,
  few,
  generator,
  randomValues,
  runAll,
  runOnce,
  type Subject,
  shapes,
  toArray,
  type Values,
} from "../support.ts";

/** Random indices into an axis, some of them counted from the end. */
function randomIndices(shape: readonly number[], size: number, random: () => number): Values {
  return build(shape, () => Math.floor(random() * 2 * size) - size);
}

const ints = (x: Values): Tensor => constant(toArray(x, "int64"));
const fromFront = (index: number, size: number): number => (index < 0 ? index + size : index);

/** gather(x, indices, axis) by its definition. */
function gathered(x: Values, indices: Values, axis: number): Values {
  const rank = indices.shape.length;
  return build([...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], (position) => {
    const index = at(indices, position.slice(axis, axis + rank));
    const size = x.shape[axis] ?? 0;
    return at(x, [...position.slice(0, axis), fromFront(index, size), ...position.slice(axis + rank)]);
  });
}

/** x with every element of the updates added where `place` says. */
function scattered(
  x: Values,
  updates: Values,
  place: (position: readonly number[]) => readonly number[],
): Values {
  const touched = build(updates.shape, () => 0);
  const targets: (readonly number[])[] = [];
  build(updates.shape, (position) => targets.push(place(position)));
  return build(x.shape, (position) =>
    touched.data.reduce(
      (value, _, i) =>
        targets[i]?.every((p, axis) => p === position[axis]) ? value + (updates.data[i] ?? 0) : value,
      at(x, position),
    ),
  );
}

const indexShapes = shapes(0, 2);

describe("gather and scatterAdd", () => {
  it("gather takes slices", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), indexShapes, fc.nat(2), cases, async (shape, picks, n, rest) => {
        const axis = n % shape.length;
        fc.pre(shape[axis] !== 0 || picks.includes(0));
        const random = generator(rest.seed);
        const indices = randomIndices(picks, shape[axis] ?? 0, random);
        const subject: Subject = {
          name: `gather [${indices.data}] of axis ${axis}`,
          apply: (x) => indexing.gather(x, ints(indices), axis - shape.length),
          reference: (x) => gathered(x, indices, axis),
        };
        await checkOperation(subject, [randomValues(shape, random)], rest);
      }),
      few(6),
    );
  });

  it("scatterAdd adds slices, equal indices several times", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), indexShapes, fc.nat(2), cases, async (shape, picks, n, rest) => {
        const axis = n % shape.length;
        fc.pre(shape[axis] !== 0 || picks.includes(0));
        const random = generator(rest.seed);
        const indices = randomIndices(picks, shape[axis] ?? 0, random);
        const whole = [...shape.slice(0, axis), ...picks, ...shape.slice(axis + 1)];
        const subject: Subject = {
          name: `scatterAdd at [${indices.data}] of axis ${axis}`,
          apply: (x, updates) => indexing.scatterAdd(x, ints(indices), updates, axis),
          reference: (x, updates) =>
            scattered(x, updates, (position) => [
              ...position.slice(0, axis),
              fromFront(at(indices, position.slice(axis, axis + picks.length)), shape[axis] ?? 0),
              ...position.slice(axis + picks.length),
            ]),
        };
        await checkOperation(subject, [randomValues(shape, random), randomValues(whole, random)], rest);
      }),
      few(6),
    );
  });

  it("adds up exactly where thousands of updates meet, with several threads", async () => {
    const [rows, width] = [20_000, 16];
    const indices = build([rows], ([i = 0]) => i % 3);
    const table = input("table", [3, width]);
    const [gradient] = grad(sum(indexing.gather(table, input("indices", [rows], "int64"))), [table]);
    if (gradient === undefined) throw new Error("no gradient");
    const feed = {
      indices: toArray(indices, "int64"),
      table: toArray(
        build([3, width], () => 0),
        "float32",
      ),
    };
    const expected = build([3, width], ([row = 0]) => indices.data.filter((index) => index === row).length);
    const runtime = await nodeRuntime({ threads: 2 });
    for (const result of await runAll({ gradient }, [feed, feed, feed, feed], runtime)) {
      expect(result.gradient).toEqual(expected);
    }
  });
});

describe("gatherElements and scatterElementsAdd", () => {
  const sizes = fc.nat(4);

  it("gatherElements takes elements, each row its own", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), sizes, fc.nat(2), cases, async (shape, size, n, rest) => {
        const axis = n % shape.length;
        const random = generator(rest.seed);
        const picks = shape.map((own, k) => (k === axis ? size : own));
        fc.pre(shape[axis] !== 0 || picks.includes(0));
        const indices = randomIndices(picks, shape[axis] ?? 0, random);
        const subject: Subject = {
          name: `gatherElements [${indices.data}] of axis ${axis}`,
          apply: (x) => indexing.gatherElements(x, ints(indices), axis - shape.length),
          reference: (x) =>
            build(picks, (position) =>
              at(
                x,
                position.map((value, k) =>
                  k === axis ? fromFront(at(indices, position), shape[axis] ?? 0) : value,
                ),
              ),
            ),
        };
        await checkOperation(subject, [randomValues(shape, random)], rest);
      }),
      few(6),
    );
  });

  it("scatterElementsAdd adds elements", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), sizes, fc.nat(2), cases, async (shape, size, n, rest) => {
        const axis = n % shape.length;
        const random = generator(rest.seed);
        const picks = shape.map((own, k) => (k === axis ? size : own));
        fc.pre(shape[axis] !== 0 || picks.includes(0));
        const indices = randomIndices(picks, shape[axis] ?? 0, random);
        const subject: Subject = {
          name: `scatterElementsAdd at [${indices.data}] of axis ${axis}`,
          apply: (x, updates) => indexing.scatterElementsAdd(x, ints(indices), updates, axis),
          reference: (x, updates) =>
            scattered(x, updates, (position) =>
              position.map((value, k) =>
                k === axis ? fromFront(at(indices, position), shape[axis] ?? 0) : value,
              ),
            ),
        };
        await checkOperation(subject, [randomValues(shape, random), randomValues(picks, random)], rest);
      }),
      few(6),
    );
  });
});

describe("oneHot, arange and masks", () => {
  it("oneHot puts a 1 at the index; outside of the range a vector of zeros", async () => {
    const indices: Values = { shape: [2, 3], data: [0, 2, 1, 3, -1, 2] };
    for (const dtype of ["float32", "float64", "int64", "bool"] as const) {
      const result = await runOnce((x) => indexing.oneHot(x, 3, dtype), [indices], "int64");
      const expected = build([2, 3, 3], ([i = 0, j = 0, k = 0]) => Number(at(indices, [i, j]) === k));
      expect(result).toEqual(expected);
    }
    expect((await runOnce((x) => indexing.oneHot(x, 2), [{ shape: [0], data: [] }], "int64")).shape).toEqual([
      0, 2,
    ]);
  });

  it("arange counts", async () => {
    const values = async (x: Tensor): Promise<readonly number[]> => (await runOnce(() => x, [])).data;
    expect(await values(indexing.arange(0, 4))).toEqual([0, 1, 2, 3]);
    expect(await values(indexing.arange(5, 0, -2))).toEqual([5, 3, 1]);
    expect(await values(indexing.arange(0, 1, 0.25, "float32"))).toEqual([0, 0.25, 0.5, 0.75]);
    expect(indexing.arange(3, 3).shape).toEqual([0]);
  });

  it("triangles keep one side of a diagonal", async () => {
    const diagonal = fc.integer({ min: -3, max: 3 });
    await fc.assert(
      fc.asyncProperty(shapes(2), diagonal, fc.boolean(), cases, async (shape, k, upper, rest) => {
        const apply = upper ? indexing.upperTriangular : indexing.lowerTriangular;
        const subject: Subject = {
          name: `${apply.name} ${k}`,
          apply: (x) => apply(x, k),
          reference: (x) =>
            build(x.shape, (position) => {
              const [row = 0, column = 0] = position.slice(-2);
              return (upper ? column - row >= k : column - row <= k) ? at(x, position) : 0;
            }),
        };
        await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
      }),
      few(8),
    );
  });

  it("the causal mask is true on and below the diagonal", async () => {
    const mask = await runOnce(() => indexing.lowerTriangularMask(3), []);
    expect(mask).toEqual({ shape: [3, 3], data: [1, 0, 0, 1, 1, 0, 1, 1, 1] });
    const strict = await runOnce(() => indexing.lowerTriangularMask(2, 3, -1), []);
    expect(strict).toEqual({ shape: [2, 3], data: [0, 0, 0, 1, 0, 0] });
  });
});

describe("topK", () => {
  it("finds the largest and the smallest in order, and where", async () => {
    const order = fc.constantFrom<"largest" | "smallest">("largest", "smallest");
    await fc.assert(
      fc.asyncProperty(
        shapes(1),
        fc.nat(3),
        fc.nat(2),
        order,
        cases,
        async (shape, wanted, n, which, rest) => {
          const axis = n % shape.length;
          const count = Math.min(wanted, shape[axis] ?? 0);
          const x = randomValues(shape, generator(rest.seed));
          const ranked = (v: Values, position: readonly number[]): { value: number; place: number } => {
            const row = Array.from({ length: v.shape[axis] ?? 0 }, (_, i) => ({
              value: at(
                v,
                position.map((p, k) => (k === axis ? i : p)),
              ),
              place: i,
            }));
            row.sort((a, b) => (which === "largest" ? b.value - a.value : a.value - b.value));
            return row[position[axis] ?? 0] ?? { value: Number.NaN, place: -1 };
          };
          const result = shape.map((size, k) => (k === axis ? count : size));
          const values: Subject = {
            name: `topK ${count} ${which} of axis ${axis}`,
            apply: (v) => indexing.topK(v, count, axis - shape.length, which).values,
            reference: (v) => build(result, (position) => ranked(v, position).value),
          };
          await checkOperation(values, [x], rest);
          const indices: Subject = {
            ...values,
            apply: (v) => indexing.topK(v, count, axis, which).indices,
            reference: (v) => build(result, (position) => ranked(v, position).place),
            valueOnly: true,
          };
          await checkOperation(indices, [x], rest);
        },
      ),
      few(8),
    );
  });
});

describe("topK of nothing", () => {
  it.each([
    { shape: [0, 3], axis: 1, count: 2 },
    { shape: [2, 0, 3], axis: 2, count: 1 },
    { shape: [3, 2], axis: 0, count: 0 },
  ])("[$shape] along $axis, $count", async ({ shape, axis, count }) => {
    const x = randomValues(shape, generator(1));
    const empty = build(
      shape.map((size, k) => (k === axis ? count : size)),
      () => 0,
    );
    const subject: Subject = {
      name: "topK",
      apply: (v) => indexing.topK(v, count, axis).values,
      reference: () => empty,
    };
    await checkOperation(subject, [x]);
  });
});

describe("derivatives", () => {
  it("the Jacobian of gather holds ones at the indices", async () => {
    const x = input("x", [3], "float64");
    const rows = jacobian(indexing.gather(x, ints({ shape: [3], data: [2, 0, 2] })), x);
    const [result] = await runAll(Object.fromEntries(rows.map((row, i) => [`row${i}`, row])), [{}]);
    expect([0, 1, 2].map((i) => result?.[`row${i}`]?.data)).toEqual([
      [0, 0, 1],
      [1, 0, 0],
      [0, 0, 1],
    ]);
  });

  it("an embedding's gradient counts how often a row was used", async () => {
    const table = input("table", [4, 2]);
    const weights = constant(toArray({ shape: [3, 2], data: [1, 2, 3, 4, 5, 6] }, "float32"));
    const rows = indexing.gather(table, ints({ shape: [3], data: [1, 3, 1] }));
    const [gradient] = grad(sum(multiply(rows, weights)), [table]);
    if (gradient === undefined) throw new Error("no gradient");
    const [result] = await runAll({ gradient }, [{}]);
    expect(result?.gradient?.data).toEqual([0, 0, 6, 8, 0, 0, 3, 4]);
  });
});

describe("a symbolic batch", () => {
  it("passes through", async () => {
    const x = input("x", ["batch", 3]);
    const labels = input("labels", ["batch"], "int64");
    const table = constant(
      toArray(
        build([3, 2], ([i = 0, j = 0]) => 10 * i + j),
        "float32",
      ),
    );
    const outputs = {
      rows: indexing.gather(table, labels),
      picked: indexing.gatherElements(x, cast(indexing.oneHot(labels, 1), "int64"), 1),
      hot: indexing.oneHot(labels, 3),
      best: indexing.topK(x, 2).values,
      counts: indexing.scatterAdd(
        constant(
          toArray(
            build([3], () => 0),
            "float32",
          ),
        ),
        labels,
        sum(x, 1),
      ),
    };
    const v = randomValues([4, 3], generator(8));
    const given: Values = { shape: [4], data: [2, 0, 1, 2] };
    const [result] = await runAll(outputs, [{ x: toArray(v, "float32"), labels: toArray(given, "int64") }]);
    expect(result?.rows?.data).toEqual([20, 21, 0, 1, 10, 11, 20, 21]);
    expect(result?.hot?.data).toEqual([0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
    expect(result?.picked?.shape).toEqual([4, 1]);
    expect(result?.best?.shape).toEqual([4, 2]);
    const row = (i: number): number => at(v, [i, 0]) + at(v, [i, 1]) + at(v, [i, 2]);
    expectClose(result?.counts, { shape: [3], data: [row(1), row(2), row(0) + row(3)] }, 1e-5, "scatterAdd");
  });
});

describe("errors name the operation and the shapes", () => {
  const x = input("x", [2, 3]);
  const indices = ints({ shape: [2], data: [0, 1] });
  const failures: readonly (readonly [() => unknown, RegExp])[] = [
    [() => indexing.gather(x, x), /^gather: \[2, 3\] and \[2, 3\]: the indices must be int64/],
    [() => indexing.gather(x, indices, 2), /^gather: \[2, 3\]: there is no axis 2/],
    [
      () => indexing.gather(input("e", [0, 3]), indices),
      /^gather: \[0, 3\] and int64 \[2\]: axis 0 has no elements/,
    ],
    [
      () => indexing.scatterAdd(x, indices, input("u", [3, 3])),
      /^scatterAdd: .*the updates must be \[2, 3\]/,
    ],
    [
      () => indexing.gatherElements(x, indices),
      /^gatherElements: \[2, 3\] and int64 \[2\]: data and indices/,
    ],
    [() => indexing.scatterElementsAdd(x, cast(x, "int64"), cast(x, "int64")), /^scatterElementsAdd: /],
    [() => indexing.oneHot(x, 3), /^oneHot: \[2, 3\]: the indices must be int64/],
    [() => indexing.lowerTriangular(input("v", [3])), /^triangle: \[3\]: needs two axes/],
    [() => indexing.topK(x, 4), /^topK: \[2, 3\]: axis 1 does not hold 4/],
  ];
  it.each(failures.map(([call, message]) => ({ call, message })))("$message", ({ call, message }) => {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  });
});
