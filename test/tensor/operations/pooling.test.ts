import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { vjp } from "../../../src/tensor/grad.ts";
import { outputAt, type Tensor } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
import {
  averagePool2d,
  maxPool2d,
  type PoolingOptions,
  upsampleNearest,
} from "../../../src/tensor/operations/pooling.ts";
import {
  at,
  build,
  checkOperation,
  expectClose,
  few,
  generator,
  randomValues,
  runAll,
  toArray,
  type Values,
} from "../support.ts";

interface Windows {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}

/** The elements of every window; those of the border are undefined. */
function pooled(
  x: Values,
  { kernel, stride, padding }: Windows,
  reduce: (items: (number | undefined)[]) => number,
): Values {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const size = (length: number, axis: 0 | 1): number =>
    Math.floor((length + padding[axis] + (padding[axis + 2] ?? 0) - kernel[axis]) / stride[axis]) + 1;
  return build([n, c, size(h, 0), size(w, 1)], ([i = 0, j = 0, r = 0, s = 0]) => {
    const items: (number | undefined)[] = [];
    for (let a = 0; a < kernel[0]; a++) {
      for (let b = 0; b < kernel[1]; b++) {
        const [p, q] = [r * stride[0] + a - padding[0], s * stride[1] + b - padding[1]];
        items.push(p < 0 || q < 0 || p >= h || q >= w ? undefined : at(x, [i, j, p, q]));
      }
    }
    return reduce(items);
  });
}

const average = (x: Values, windows: Windows): Values =>
  pooled(x, windows, (items) => items.reduce<number>((sum, item) => sum + (item ?? 0), 0) / items.length);
const largest = (x: Values, windows: Windows): Values =>
  pooled(x, windows, (items) => Math.max(...items.map((item) => item ?? Number.NEGATIVE_INFINITY)));

const fixed: Readonly<Record<string, readonly [readonly number[], Windows]>> = {
  "windows that tile": [[2, 2, 4, 6], { kernel: [2, 3], stride: [2, 3], padding: [0, 0, 0, 0] }],
  "overlapping windows": [[1, 2, 5, 5], { kernel: [3, 3], stride: [2, 1], padding: [1, 1, 1, 1] }],
  "windows that leave a rest": [[2, 1, 5, 7], { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0] }],
  "gaps between windows": [[1, 1, 7, 6], { kernel: [1, 2], stride: [3, 3], padding: [0, 1, 0, 0] }],
};

const random: fc.Arbitrary<readonly [readonly number[], Windows]> = fc
  .record({
    kernel: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    stride: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    border: fc.tuple(fc.nat(1), fc.nat(1), fc.nat(1), fc.nat(1)),
    room: fc.tuple(fc.nat(3), fc.nat(3)),
    lead: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
  })
  .map(({ kernel, stride, border, room, lead }) => {
    const padding = border.map((value, i) => Math.min(value, (kernel[i % 2] ?? 1) - 1)) as [
      number,
      number,
      number,
      number,
    ];
    return [[...lead, kernel[0] + room[0], kernel[1] + room[1]], { kernel, stride, padding }];
  });

/** An operation and, as an operation of its own, its gradient: whose gradient is the second derivative. */
async function check(
  name: string,
  apply: (x: Tensor, options: PoolingOptions) => Tensor,
  reference: (x: Values, windows: Windows) => Values,
  [shape, windows]: readonly [readonly number[], Windows],
  seed: number,
): Promise<void> {
  const numbers = generator(seed);
  const x = randomValues(shape, numbers);
  await checkOperation(
    { name, float32Only: true, apply: (a) => apply(a, windows), reference: (a) => reference(a, windows) },
    [x],
    { seed },
  );
  // The gradient, for a fixed x, is linear in the incoming one: its transpose applied to g.
  const y = reference(x, windows);
  const fixedInput = input("fixed", shape);
  const incoming = input("incoming", y.shape);
  const direction = input("direction", shape);
  const output = apply(fixedInput, windows);
  const [first] = vjp([output], [incoming], [fixedInput]);
  const [back] = vjp([outputAt(first === undefined ? [] : [first], 0)], [direction], [incoming]);
  if (back === undefined) throw new Error("no second derivative");
  const along = randomValues(shape, numbers);
  const [result] = await runAll({ back }, [
    {
      fixed: toArray(x, "float32"),
      direction: toArray(along, "float32"),
      incoming: toArray(y, "float32"),
    },
  ]);
  // Its derivative along `direction` is that of the pooled output.
  const step = 1e-6;
  const moved = (by: number): Values =>
    reference({ shape, data: x.data.map((value, i) => value + by * (along.data[i] ?? 0)) }, windows);
  const [up, down] = [moved(step), moved(-step)];
  const slope = {
    shape: y.shape,
    data: up.data.map((value, i) => (value - (down.data[i] ?? 0)) / (2 * step)),
  };
  expectClose(result?.back, slope, 1e-4, `${name}: gradient of the gradient`);
}

for (const [name, apply, reference] of [
  ["averagePool2d", averagePool2d, average],
  ["maxPool2d", maxPool2d, largest],
] as const) {
  describe(name, () => {
    let seed = 1;
    for (const [what, windows] of Object.entries(fixed)) {
      it(`computes values and derivatives of first and second order: ${what}`, () =>
        check(name, apply, reference, windows, seed++));
    }

    it("computes values and derivatives for random windows", async () => {
      await fc.assert(
        fc.asyncProperty(random, fc.nat(), (windows, caseSeed) =>
          check(name, apply, reference, windows, caseSeed),
        ),
        few(6),
      );
    });

    it("takes a symbolic batch and rejects what does not fit", async () => {
      const x = randomValues([3, 2, 4, 4], generator(3));
      const y = apply(input("x", ["batch", 2, 4, 4]), { kernel: 2 });
      expect(y.shape).toEqual(["batch", 2, 2, 2]);
      const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
      const windows: Windows = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0] };
      expectClose(result?.y, reference(x, windows), 1e-5, "symbolic batch");
      expect(() => apply(input("x", [1, 2, 2, 4]), { kernel: 3 })).toThrow(
        new RegExp(`${name}: \\[1, 2, 2, 4\\].*smaller than the window`),
      );
      expect(() => apply(input("x", [1, 2, 4, 4]), { kernel: 2, padding: 2 })).toThrow(OptionError);
    });
  });
}

describe("maxPool2d", () => {
  it("finds the places of maxima also where the runtime does not tell them", async () => {
    const runtime = await nodeRuntime({ threads: 1, target: { contrib: false, block: 0 } });
    for (const [shape, windows] of Object.values(fixed)) {
      await checkOperation(
        {
          name: "maxPool2d in plain ONNX",
          float32Only: true,
          apply: (a) => maxPool2d(a, windows),
          reference: (a) => largest(a, windows),
        },
        [randomValues(shape, generator(4))],
        { runtime },
      );
    }
  });

  it("gives the gradient of a tie to one element only", async () => {
    const x = input("x", [1, 1, 2, 2]);
    const [gradient] = vjp([maxPool2d(x, { kernel: 2 })], [input("g", [1, 1, 1, 1])], [x]);
    const zeros = { shape: [1, 1, 2, 2], data: [0, 0, 0, 0] };
    const one = { shape: [1, 1, 1, 1], data: [1] };
    const [result] = await runAll({ gradient: outputAt(gradient === undefined ? [] : [gradient], 0) }, [
      { x: toArray(zeros, "float32"), g: toArray(one, "float32") },
    ]);
    expect(result?.gradient?.data).toEqual([1, 0, 0, 0]);
  });
});

describe("upsampleNearest", () => {
  it("repeats elements; its gradient sums blocks", async () => {
    const x = randomValues([2, 3, 2, 3], generator(8));
    await checkOperation(
      {
        name: "upsampleNearest",
        float32Only: true,
        apply: (a) => upsampleNearest(a, [2, 3]),
        reference: (a) =>
          build([2, 3, 4, 9], ([n = 0, c = 0, i = 0, j = 0]) =>
            at(a, [n, c, Math.floor(i / 2), Math.floor(j / 3)]),
          ),
      },
      [x],
    );
  });

  it("takes a symbolic batch and rejects broken factors", async () => {
    const x = randomValues([3, 2, 2, 2], generator(9));
    const y = upsampleNearest(input("x", ["batch", 2, 2, 2]), 2);
    const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
    expectClose(
      result?.y,
      build([3, 2, 4, 4], ([n = 0, c = 0, i = 0, j = 0]) => at(x, [n, c, i >> 1, j >> 1])),
      1e-6,
      "symbolic batch",
    );
    expect(() => upsampleNearest(input("x", [1, 1, 2, 2]), 1.5)).toThrow(OptionError);
  });
});
