import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { simplify } from "../../../src/program/simplify.ts";
import { add, cast, multiply, reshape, sum } from "../../../src/tensor/core.ts";
import { grad } from "../../../src/tensor/grad.ts";
import type { Tensor } from "../../../src/tensor/graph.ts";
import { reachableNodes } from "../../../src/tensor/graph.ts";
import { constant, input } from "../../../src/tensor/leaves.ts";
import { square } from "../../../src/tensor/operations/elementwise.ts";
import {
  concat,
  flip,
  type PadMode,
  pad,
  repeat,
  slice,
  sliceRanges,
  split,
  squeeze,
  stack,
  tile,
  transpose,
  unsqueeze,
} from "../../../src/tensor/operations/shaping.ts";
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

/** The values with one axis rebuilt: element i of the new axis is element `from[i]` of the old one. */
function take(x: Values, axis: number, from: readonly number[]): Values {
  return build(
    x.shape.map((size, k) => (k === axis ? from.length : size)),
    (position) =>
      at(
        x,
        position.map((value, k) => (k === axis ? (from[value] ?? -1) : value)),
      ),
  );
}

/** The positions x[start:end:step] of a list of `size`, as an array of JavaScript gives them. */
function sliced(size: number, start: number | undefined, end: number | undefined, step: number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  if (step > 0) return all.slice(start, end).filter((_, i) => i % step === 0);
  // Backwards: walk from start down to, not including, end.
  const first = start === undefined ? size - 1 : Math.min(start < 0 ? start + size : start, size - 1);
  const last = end === undefined ? -1 : Math.max(end < 0 ? end + size : end, -1);
  const result: number[] = [];
  for (let i = first; i > last && i >= 0; i += step) result.push(i);
  return result;
}

const axisOf = (shape: readonly number[], n: number): number => n % shape.length;

describe("transpose", () => {
  it("reorders axes", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(), cases, async (shape, rest) => {
        const random = generator(rest.seed);
        const keys = shape.map(() => random());
        const permutation = shape.map((_, i) => i).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0));
        const subject: Subject = {
          name: `transpose [${permutation}]`,
          apply: (x) => transpose(x, permutation),
          reference: (x) =>
            build(
              permutation.map((axis) => x.shape[axis] ?? -1),
              (position) =>
                at(
                  x,
                  x.shape.map((_, axis) => position[permutation.indexOf(axis)] ?? -1),
                ),
            ),
        };
        await checkOperation(subject, [randomValues(shape, random)], rest);
      }),
      few(8),
    );
  });

  it("swaps the last two axes unless told", () => {
    expect(transpose(input("x", [2, 3])).shape).toEqual([3, 2]);
    expect(transpose(input("x", ["batch", 5, 2, 3])).shape).toEqual(["batch", 5, 3, 2]);
  });
});

const bound = fc.option(fc.integer({ min: -6, max: 6 }), { nil: undefined });

describe("slice", () => {
  it("takes what Python's x[start:end:step] takes", async () => {
    const step = fc.constantFrom(1, 1, 2, 3, -1, -2);
    await fc.assert(
      fc.asyncProperty(
        shapes(1),
        fc.nat(2),
        bound,
        bound,
        step,
        cases,
        async (shape, n, start, end, by, rest) => {
          const axis = axisOf(shape, n);
          const from = sliced(shape[axis] ?? 0, start, end, by);
          const subject: Subject = {
            name: `slice ${axis}: ${start}:${end}:${by}`,
            apply: (x) => slice(x, axis - shape.length, start, end, by),
            reference: (x) => take(x, axis, from),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        },
      ),
      few(40),
    );
  });

  it("takes parts of several axes at once", async () => {
    const subject: Subject = {
      name: "sliceRanges",
      apply: (x) =>
        sliceRanges(x, [
          { axis: 2, start: 1, end: 6, step: 2 },
          { axis: 0, end: 2 },
        ]),
      reference: (x) => take(take(x, 0, [0, 1]), 2, [1, 3, 5]),
    };
    await checkOperation(subject, [randomValues([3, 2, 6], generator(1))]);
  });

  it("flip reverses axes", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), fc.nat(2), fc.boolean(), cases, async (shape, n, every, rest) => {
        const axes = every ? shape.map((_, i) => i) : [axisOf(shape, n)];
        const reversed = (x: Values, axis: number): Values =>
          take(x, axis, Array.from({ length: x.shape[axis] ?? 0 }, (_, i) => i).reverse());
        const subject: Subject = {
          name: `flip [${axes}]`,
          apply: (x) => flip(x, every ? undefined : axes),
          reference: (x) => axes.reduce(reversed, x),
        };
        await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
      }),
      few(6),
    );
  });
});

describe("pad", () => {
  const amounts = fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: 3, maxLength: 3 });

  /** Where in the old axis element i of the padded axis comes from; −1 for the constant. */
  const source = (i: number, before: number, size: number, mode: PadMode): number => {
    const k = i - before;
    if (k >= 0 && k < size) return k;
    if (mode === "constant") return -1;
    if (mode === "edge") return k < 0 ? 0 : size - 1;
    return k < 0 ? -k : 2 * (size - 1) - k;
  };

  for (const mode of ["constant", "edge", "reflect"] as const) {
    it(mode, async () => {
      await fc.assert(
        fc.asyncProperty(shapes(1), amounts, cases, async (shape, wanted, rest) => {
          const padding = shape.map((size, axis): readonly [number, number] => {
            const room =
              mode === "constant" ? 3 : mode === "edge" ? (size === 0 ? 0 : 3) : Math.max(size - 1, 0);
            const [before, after] = wanted[axis] ?? [0, 0];
            return [Math.min(before, room), Math.min(after, room)];
          });
          const value = rest.seed % 2 === 0 ? 0 : -1.5;
          const subject: Subject = {
            name: `pad ${JSON.stringify(padding)} ${mode}`,
            apply: (x) => pad(x, padding, { mode, value }),
            reference: (x) =>
              build(
                shape.map((size, axis) => size + (padding[axis]?.[0] ?? 0) + (padding[axis]?.[1] ?? 0)),
                (position) => {
                  const from = position.map((i, axis) =>
                    source(i, padding[axis]?.[0] ?? 0, shape[axis] ?? 0, mode),
                  );
                  return from.includes(-1) ? value : at(x, from);
                },
              ),
          };
          await checkOperation(subject, [randomValues(shape, generator(rest.seed))], rest);
        }),
        few(6),
      );
    });
  }

  it("pads the last axes, other dtypes, and keeps paddings of −∞ and +∞ apart", async () => {
    const x: Values = { shape: [2, 1], data: [1, 0] };
    expect((await runOnce((v) => pad(v, [[0, 1]], { value: 1 }), [x], "int64")).data).toEqual([1, 1, 0, 1]);
    expect((await runOnce((v) => pad(v, [[1, 0]]), [x], "bool")).data).toEqual([0, 1, 0, 0]);
    const v = input("x", [1]);
    const outputs = {
      low: pad(v, [[0, 1]], { value: Number.NEGATIVE_INFINITY }),
      high: pad(v, [[0, 1]], { value: Number.POSITIVE_INFINITY }),
    };
    const [result] = await runAll(outputs, [{ x: toArray({ shape: [1], data: [2] }, "float32") }]);
    expect(result?.low?.data).toEqual([2, Number.NEGATIVE_INFINITY]);
    expect(result?.high?.data).toEqual([2, Number.POSITIVE_INFINITY]);
  });
});

describe("concat, stack and split", () => {
  const join = (parts: readonly Values[], axis: number): Values => {
    const owners = parts.flatMap((part) =>
      Array.from({ length: part.shape[axis] ?? 0 }, (_, i) => ({ part, i })),
    );
    return build(
      (parts[0]?.shape ?? []).map((size, k) => (k === axis ? owners.length : size)),
      (position) => {
        const owner = owners[position[axis] ?? 0];
        return owner === undefined
          ? Number.NaN
          : at(
              owner.part,
              position.map((value, k) => (k === axis ? owner.i : value)),
            );
      },
    );
  };
  const pieces = fc.array(fc.nat(3), { minLength: 1, maxLength: 4 });

  it("concat joins pieces of any size", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1), fc.nat(2), pieces, cases, async (shape, n, sizes, rest) => {
        const axis = axisOf(shape, n);
        const random = generator(rest.seed);
        const inputs = sizes.map((size) =>
          randomValues(
            shape.map((own, k) => (k === axis ? size : own)),
            random,
          ),
        );
        const subject: Subject = {
          name: `concat along ${axis}`,
          apply: (...parts) => concat(parts, axis - shape.length),
          reference: (...parts) => join(parts, axis),
        };
        await checkOperation(subject, inputs, rest);
      }),
      few(8),
    );
  });

  it("concat gives each its gradient where only one is asked for", async () => {
    const [a, b, c] = [input("a", [2]), input("b", [1]), input("c", [2])];
    const y = square(concat([a, b, c], 0));
    const [gradient] = grad(sum(y), [b]);
    if (gradient === undefined) throw new Error("no gradient");
    const [result] = await runAll({ gradient }, [
      {
        a: toArray({ shape: [2], data: [1, 2] }, "float32"),
        b: toArray({ shape: [1], data: [5] }, "float32"),
        c: toArray({ shape: [2], data: [3, 4] }, "float32"),
      },
    ]);
    expect(result?.gradient).toEqual({ shape: [1], data: [10] });
  });

  it("stack joins along a new axis", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(0, 2), fc.nat(2), cases, async (shape, n, rest) => {
        const place = n % (shape.length + 1);
        const random = generator(rest.seed);
        const subject: Subject = {
          name: `stack at ${place}`,
          apply: (...parts) => stack(parts, place),
          reference: (...parts) =>
            build([...shape.slice(0, place), parts.length, ...shape.slice(place)], (position) => {
              const part = parts[position[place] ?? 0];
              return part === undefined ? Number.NaN : at(part, position.toSpliced(place, 1));
            }),
        };
        await checkOperation(subject, [randomValues(shape, random), randomValues(shape, random)], rest);
      }),
      few(6),
    );
  });

  it("split cuts, and every piece carries its gradient (also when some are unused)", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes(1),
        fc.nat(2),
        pieces,
        fc.nat(15),
        cases,
        async (shape, n, sizes, mask, rest) => {
          const axis = axisOf(shape, n);
          const whole = shape.map((own, k) => (k === axis ? sizes.reduce((a, b) => a + b, 0) : own));
          // The used pieces, in reverse order and scaled, joined again.
          const used = sizes.map((_, i) => i).filter((i) => ((mask >> i) & 1) === 1 || i === 0);
          const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
          const subject: Subject = {
            name: `split ${axis} into [${sizes}], using [${used}]`,
            apply: (x) => {
              const parts = split(x, axis, sizes);
              return concat(used.map((i) => multiply(parts[i] ?? x, i + 1)).reverse(), axis);
            },
            reference: (x) =>
              join(
                used
                  .map((i) => {
                    const own = Array.from({ length: sizes[i] ?? 0 }, (_, k) => k + (starts[i] ?? 0));
                    const part = take(x, axis, own);
                    return { ...part, data: part.data.map((value) => value * (i + 1)) };
                  })
                  .reverse(),
                axis,
              ),
          };
          await checkOperation(subject, [randomValues(whole, generator(rest.seed))], rest);
        },
      ),
      few(6),
    );
  });

  it("split joins gradients of which one is full and one repeats", async () => {
    const subject: Subject = {
      name: "split",
      apply: (x) => {
        const [head = x, tail = x] = split(x, 1, [2, 3]);
        return add(sum(multiply(tail, slice(square(x), 1, 0, 3))), sum(head));
      },
      reference: (x) =>
        build([], () =>
          [0, 1].reduce((total, i) => {
            const row = [0, 1, 2, 3, 4].map((j) => at(x, [i, j]));
            const [a = 0, b = 0, c = 0, d = 0, e = 0] = row;
            return total + c * a ** 2 + d * b ** 2 + e * c ** 2 + a + b;
          }, 0),
        ),
    };
    await checkOperation(subject, [randomValues([2, 5], generator(6))]);
  });

  it("split into equal pieces is one node", () => {
    const parts = split(input("x", [2, 6]), 1, 3);
    expect(parts.map(({ shape }) => shape)).toEqual([
      [2, 2],
      [2, 2],
      [2, 2],
    ]);
    expect(new Set(parts.map(({ node }) => node.id)).size).toBe(1);
  });
});

describe("squeeze, unsqueeze, tile and repeat", () => {
  it("squeeze and unsqueeze change the shape only", async () => {
    const x = randomValues([2, 1, 3, 1], generator(2));
    for (const [apply, shape] of [
      [(v: Tensor) => squeeze(v), [2, 3]],
      [(v: Tensor) => squeeze(v, -1), [2, 1, 3]],
      [(v: Tensor) => squeeze(v, [1, 3]), [2, 3]],
      [(v: Tensor) => unsqueeze(v, 0), [1, 2, 1, 3, 1]],
      [(v: Tensor) => unsqueeze(v, -1), [2, 1, 3, 1, 1]],
      [(v: Tensor) => unsqueeze(v, 2), [2, 1, 1, 3, 1]],
    ] as const) {
      await checkOperation({ name: "squeeze", apply, reference: (v) => ({ shape, data: v.data }) }, [x]);
    }
  });

  it("tile repeats the whole, repeat each element", async () => {
    const counts = fc.array(fc.nat(3), { minLength: 3, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(shapes(1), counts, fc.nat(2), cases, async (shape, all, n, rest) => {
        const repeats = shape.map((_, axis) => all[axis] ?? 1);
        const x = randomValues(shape, generator(rest.seed));
        const tiled: Subject = {
          name: `tile [${repeats}]`,
          apply: (v) => tile(v, repeats),
          reference: (v) =>
            build(
              shape.map((size, axis) => size * (repeats[axis] ?? 1)),
              (position) =>
                at(
                  v,
                  position.map((value, axis) => value % (shape[axis] ?? 1)),
                ),
            ),
        };
        await checkOperation(tiled, [x], rest);
        const axis = axisOf(shape, n);
        const count = all[0] ?? 1;
        const repeated: Subject = {
          name: `repeat ${axis} ${count} times`,
          apply: (v) => repeat(v, axis, count),
          reference: (v) =>
            take(
              v,
              axis,
              Array.from({ length: (shape[axis] ?? 0) * count }, (_, i) => Math.floor(i / count)),
            ),
        };
        await checkOperation(repeated, [x], rest);
      }),
      few(7),
    );
  });
});

describe("simplification", () => {
  const operations = (x: Tensor): string[] => {
    const nodes = reachableNodes(simplify([x])).map((node) => node.operation.name);
    return nodes.filter((name) => name !== "input");
  };
  const x = input("x", [2, 3, 4]);

  it("drops what changes nothing", () => {
    expect(transpose(x, [0, 1, 2])).toBe(x);
    expect(slice(x, 1, 0, 3)).toBe(x);
    expect(slice(x, 1, -100, 100)).toBe(x);
    expect(pad(x, [[0, 0]])).toBe(x);
    expect(concat([x], 1)).toBe(x);
    expect(split(x, 2, 1)).toEqual([x]);
    expect(operations(transpose(transpose(x, [2, 0, 1]), [1, 2, 0]))).toEqual([]);
    expect(operations(transpose(transpose(x, [2, 0, 1]), [2, 0, 1]))).toEqual(["transpose"]);
  });

  it("makes a reshape of a transpose that only moves axes of size 1", () => {
    expect(operations(transpose(input("y", [2, 1, 3]), [1, 0, 2]))).toEqual(["reshape"]);
    expect(operations(transpose(input("y", ["batch", 1, 3]), [0, 2, 1]))).toEqual(["reshape"]);
  });

  it("folds constants", () => {
    const c = constant(toArray({ shape: [2, 2], data: [1, 2, 3, 4] }, "float32"));
    expect(operations(slice(transpose(c), 0, 1, 2))).toEqual(["constant"]);
  });
});

describe("a symbolic batch", () => {
  it("passes through", async () => {
    const x = input("x", ["batch", 2, 3]);
    const outputs = {
      transposed: transpose(x, [2, 0, 1]),
      sliced: slice(x, 2, 1),
      flipped: flip(x, 0),
      padded: pad(x, [[1, 1]]),
      joined: concat([x, x], 0),
      twice: tile(x, [2, 1, 1]),
      rows: repeat(x, 0, 2),
      piece: split(x, 2, [1, 2])[1] ?? x,
      flat: reshape(x, [-1, 3]),
    };
    expect(outputs.joined.shape).toEqual(["2*batch", 2, 3]);
    const v = randomValues([4, 2, 3], generator(4));
    const [result] = await runAll(outputs, [{ x: toArray(v, "float32") }]);
    const order = (from: readonly number[]): Values => take(v, 0, from);
    expectClose(result?.flipped, order([3, 2, 1, 0]), 1e-6, "flip");
    expectClose(result?.joined, order([0, 1, 2, 3, 0, 1, 2, 3]), 1e-6, "concat");
    expectClose(result?.twice, order([0, 1, 2, 3, 0, 1, 2, 3]), 1e-6, "tile");
    expectClose(result?.rows, order([0, 0, 1, 1, 2, 2, 3, 3]), 1e-6, "repeat");
    expectClose(result?.sliced, take(v, 2, [1, 2]), 1e-6, "slice");
    expectClose(result?.piece, take(v, 2, [1, 2]), 1e-6, "split");
    expect(result?.padded?.shape).toEqual([4, 2, 5]);
    expect(result?.transposed?.shape).toEqual([3, 4, 2]);
    expect(result?.flat?.shape).toEqual([8, 3]);
  });

  it("cannot be cut at a number", () => {
    const x = input("x", ["batch", 2]);
    expect(() => slice(x, 0, 0, 3)).toThrow(/^slice: \[batch, 2\]: axis 0 must have a size/);
    expect(() => split(x, 0, 2)).toThrow(/^split: \[batch, 2\]/);
    expect(() =>
      pad(x, [
        [1, 0],
        [0, 0],
      ]),
    ).toThrow(/^pad: \[batch, 2\]/);
  });
});

describe("errors name the operation and the shapes", () => {
  const x = input("x", [2, 3]);

  const failures: readonly (readonly [() => unknown, RegExp])[] = [
    [() => transpose(x, [0, 0]), /^transpose: \[2, 3\]: \[0,0\] is not a permutation/],
    [() => transpose(input("v", [3])), /^transpose: \[3\]/],
    [() => slice(x, 2, 0, 1), /^slice: \[2, 3\]: there is no axis 2/],
    [() => slice(x, 0, 0, 1, 0), /^slice: \[2, 3\]: step 0/],
    [() => slice(x, 0, 0.5), /^slice: \[2, 3\]: 0.5 is no whole position/],
    [
      () =>
        sliceRanges(x, [
          { axis: 0, end: 1 },
          { axis: -2, end: 1 },
        ]),
      /^slice: .*twice/,
    ],
    [() => flip(x, 3), /^flip: \[2, 3\]/],
    [() => pad(x, [[-1, 0]]), /^pad: \[2, 3\]: axis 1 cannot be padded by \[-1, 0\]/],
    [
      () => pad(x, [[3, 0]], { mode: "reflect" }),
      /^pad: \[2, 3\]: axis 1 cannot be padded by \[3, 0\] \(reflect\)/,
    ],
    [
      () =>
        pad(x, [
          [0, 0],
          [0, 0],
          [1, 1],
        ]),
      /^pad: \[2, 3\]: 3 pairs/,
    ],
    [
      () => concat([x, input("y", [3, 4])], 0),
      /^concat: \[2, 3\] and \[3, 4\]: shapes differ in more than axis 0/,
    ],
    [() => concat([x, cast(x, "int64")], 0), /^concat: \[2, 3\] and int64 \[2, 3\]: dtypes differ/],
    [() => concat([input("b", ["batch", 3]), x], 0), /^concat: \[batch, 3\] and \[2, 3\]/],
    [() => concat([], 0), /^concat: /],
    [() => stack([x, input("y", [3, 2])]), /^stack: \[2, 3\] and \[3, 2\]: shapes differ/],
    [() => split(x, 1, 2), /^split: \[2, 3\]: axis 1 cannot be cut into 2 equal pieces/],
    [() => split(x, 1, [1, 1]), /^split: \[2, 3\]: axis 1 cannot be cut into pieces of \[1,1\]/],
    [() => squeeze(x, 0), /^squeeze: \[2, 3\]: axis 0 has not size 1/],
    [() => unsqueeze(x, 4), /^unsqueeze: \[2, 3\]/],
    [() => tile(x, [2]), /^tile: \[2, 3\]/],
    [() => repeat(x, 0, -1), /^repeat: \[2, 3\]/],
  ];
  it.each(failures.map(([call, message]) => ({ call, message })))("$message", ({ call, message }) => {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  });
});
