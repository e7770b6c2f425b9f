import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { conv1d, conv2d, convTranspose2d } from "../../../src/tensor/convolution/convolution.ts";
import { vjp } from "../../../src/tensor/grad.ts";
import { outputAt, type Tensor } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
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

interface Geometry {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

const PLAIN: Geometry = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };

/** Every product x · w that goes into y: calls back with the offsets of all three. */
function eachProduct(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  { stride, padding, dilation, groups }: Geometry,
  visit: (x: readonly number[], w: readonly number[], y: readonly number[]) => void,
): void {
  const [, , height = 0, width = 0] = x;
  const [, channels = 0, kh = 0, kw = 0] = w;
  const [samples = 0, filters = 0, rows = 0, columns = 0] = y;
  for (let n = 0; n < samples; n++)
    for (let o = 0; o < filters; o++)
      for (let i = 0; i < channels; i++)
        for (let r = 0; r < rows; r++)
          for (let c = 0; c < columns; c++)
            for (let a = 0; a < kh; a++)
              for (let b = 0; b < kw; b++) {
                const p = r * stride[0] + a * dilation[0] - padding[0];
                const q = c * stride[1] + b * dilation[1] - padding[1];
                if (p < 0 || q < 0 || p >= height || q >= width) continue;
                const channel = Math.floor(o / (filters / groups)) * channels + i;
                visit([n, channel, p, q], [o, i, a, b], [n, o, r, c]);
              }
}

const flatten = (shape: readonly number[], position: readonly number[]): number =>
  shape.reduce((offset, size, axis) => offset * size + (position[axis] ?? 0), 0);

function outputShape(
  x: readonly number[],
  w: readonly number[],
  { stride, padding, dilation }: Geometry,
): number[] {
  const size = (axis: 0 | 1): number => {
    const padded = (x[2 + axis] ?? 0) + padding[axis] + (padding[axis + 2] ?? 0);
    return Math.floor((padded - dilation[axis] * ((w[2 + axis] ?? 0) - 1) - 1) / stride[axis]) + 1;
  };
  return [x[0] ?? 0, w[0] ?? 0, size(0), size(1)];
}

function reference(x: Values, w: Values, geometry: Geometry, bias?: Values): Values {
  const shape = outputShape(x.shape, w.shape, geometry);
  const { data } = build(shape, ([, o = 0]) => (bias === undefined ? 0 : at(bias, [o])));
  const totals = [...data];
  eachProduct(x.shape, w.shape, shape, geometry, (p, q, r) => {
    const k = flatten(shape, r);
    totals[k] = (totals[k] ?? 0) + at(x, p) * at(w, q);
  });
  return { shape, data: totals };
}

/** The adjoint in the input: what convTranspose2d computes. */
function transposedReference(y: Values, w: Values, shape: readonly number[], geometry: Geometry): Values {
  const totals = new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0);
  eachProduct(shape, w.shape, y.shape, geometry, (p, q, r) => {
    const k = flatten(shape, p);
    totals[k] = (totals[k] ?? 0) + at(y, r) * at(w, q);
  });
  return { shape, data: totals };
}

function kernelReference(x: Values, y: Values, shape: readonly number[], geometry: Geometry): Values {
  const totals = new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0);
  eachProduct(x.shape, shape, y.shape, geometry, (p, q, r) => {
    const k = flatten(shape, q);
    totals[k] = (totals[k] ?? 0) + at(x, p) * at(y, r);
  });
  return { shape, data: totals };
}

interface Case {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly geometry: Geometry;
}

const fixedCases: Readonly<Record<string, Case>> = {
  "3×3 same": { x: [2, 2, 3, 4], w: [2, 2, 3, 3], geometry: { ...PLAIN, padding: [1, 1, 1, 1] } },
  "1×1": { x: [2, 3, 2, 3], w: [4, 3, 1, 1], geometry: PLAIN },
  "stride 2": {
    x: [1, 2, 5, 6],
    w: [3, 2, 3, 3],
    geometry: { ...PLAIN, stride: [2, 2], padding: [1, 1, 1, 1] },
  },
  "stride 2 that leaves a rest": { x: [1, 2, 6, 7], w: [2, 2, 2, 3], geometry: { ...PLAIN, stride: [3, 2] } },
  "asymmetric padding": { x: [1, 2, 3, 4], w: [2, 2, 2, 2], geometry: { ...PLAIN, padding: [1, 0, 0, 2] } },
  "padding beyond the kernel": {
    x: [1, 2, 3, 3],
    w: [2, 2, 2, 1],
    geometry: { ...PLAIN, padding: [2, 1, 2, 1] },
  },
  dilation: {
    x: [1, 2, 6, 5],
    w: [2, 2, 3, 2],
    geometry: { ...PLAIN, dilation: [2, 3], padding: [1, 2, 2, 1] },
  },
  "dilation and stride": {
    x: [1, 2, 7, 6],
    w: [2, 2, 2, 2],
    geometry: { ...PLAIN, dilation: [2, 1], stride: [2, 2], padding: [1, 0, 0, 1] },
  },
  groups: { x: [2, 4, 3, 2], w: [4, 2, 2, 2], geometry: { ...PLAIN, groups: 2, padding: [1, 1, 0, 0] } },
  depthwise: { x: [2, 2, 3, 3], w: [2, 1, 3, 3], geometry: { ...PLAIN, groups: 2, padding: [1, 1, 1, 1] } },
  "depthwise, stride 2": {
    x: [2, 3, 6, 7],
    w: [3, 1, 3, 3],
    geometry: { ...PLAIN, groups: 3, stride: [2, 2], padding: [1, 1, 1, 1] },
  },
  "depthwise, stride 3 that leaves a rest": {
    x: [2, 3, 9, 8],
    w: [3, 1, 2, 2],
    geometry: { ...PLAIN, groups: 3, stride: [3, 3] },
  },
  "depthwise with two filters a channel": {
    x: [2, 2, 4, 3],
    w: [4, 1, 3, 3],
    geometry: { ...PLAIN, groups: 2, padding: [1, 1, 1, 1] },
  },
};

const randomCase: fc.Arbitrary<Case> = fc
  .record({
    groups: fc.integer({ min: 1, max: 2 }),
    each: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
    kernel: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    stride: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 3 })),
    dilation: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
    padding: fc.tuple(
      ...([0, 1, 2, 3].map(() => fc.nat(2)) as [
        fc.Arbitrary<number>,
        fc.Arbitrary<number>,
        fc.Arbitrary<number>,
        fc.Arbitrary<number>,
      ]),
    ),
    room: fc.tuple(fc.nat(3), fc.nat(3)),
    samples: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ groups, each, kernel, stride, dilation, padding, room, samples }) => {
    const size = (axis: 0 | 1): number => dilation[axis] * (kernel[axis] - 1) + 1 + room[axis];
    return {
      x: [samples, groups * each[0], size(0), size(1)],
      w: [groups * each[1], each[0], ...kernel],
      geometry: { stride, padding, dilation, groups },
    };
  });

/** The three operations of the closed set; the gradients of the last two are second derivatives of the first. */
async function checkAll({ x, w, geometry }: Case, seed: number): Promise<void> {
  const random = generator(seed);
  const [input0, kernel] = [randomValues(x, random), randomValues(w, random)];
  const output = randomValues(outputShape(x, w, geometry), random);
  const common = { float32Only: true };
  await checkOperation(
    {
      ...common,
      name: "conv2d",
      apply: (a, b, c) => conv2d(a, b, { ...geometry, bias: c }),
      reference: (a, b, c) => reference(a, b, geometry, c),
    },
    [input0, kernel, randomValues([w[0] ?? 1], random)],
    { seed },
  );
  const adjoint = (wrt: 0 | 1) => (a: Tensor, g: Tensor) => {
    const dummy = input("dummy", wrt === 0 ? x : w);
    const y = wrt === 0 ? conv2d(dummy, a, geometry) : conv2d(a, dummy, geometry);
    return outputAt(vjp([y], [g], [dummy]), 0);
  };
  await checkOperation(
    {
      ...common,
      name: "gradient of conv2d to its input",
      apply: adjoint(0),
      reference: (b, g) => transposedReference(g, b, x, geometry),
    },
    [kernel, output],
    { seed },
  );
  await checkOperation(
    {
      ...common,
      name: "gradient of conv2d to its weight",
      apply: adjoint(1),
      reference: (a, g) => kernelReference(a, g, w, geometry),
    },
    [input0, output],
    { seed },
  );
}

describe("conv2d", () => {
  let seed = 1;
  for (const [name, fixed] of Object.entries(fixedCases)) {
    it(`computes values, gradients and second derivatives: ${name}`, () => checkAll(fixed, seed++));
  }

  it("computes values, gradients and second derivatives for random geometries", async () => {
    await fc.assert(
      fc.asyncProperty(randomCase, fc.nat(), (random, caseSeed) => checkAll(random, caseSeed)),
      few(8),
    );
  });

  it("computes them for random depthwise geometries", async () => {
    const depthwise = randomCase.map(
      ({ x, w, geometry }): Case => ({
        x: x.with(1, 3),
        w: w.with(0, 3).with(1, 1),
        geometry: { ...geometry, groups: 3 },
      }),
    );
    await fc.assert(
      fc.asyncProperty(depthwise, fc.nat(), (random, caseSeed) => checkAll(random, caseSeed)),
      few(8),
    );
  });

  it("takes a symbolic batch", async () => {
    const random = generator(5);
    const [x, w] = [randomValues([3, 2, 4, 4], random), randomValues([2, 2, 3, 3], random)];
    const y = conv2d(input("x", ["batch", 2, 4, 4]), input("w", w.shape), { padding: 1 });
    expect(y.shape).toEqual(["batch", 2, 4, 4]);
    const [result] = await runAll({ y }, [{ x: toArray(x, "float32"), w: toArray(w, "float32") }]);
    expectClose(result?.y, reference(x, w, { ...PLAIN, padding: [1, 1, 1, 1] }), 1e-5, "symbolic batch");

    const geometry: Geometry = { ...PLAIN, stride: [2, 1], padding: [1, 0, 0, 1], groups: 2 };
    const [kernel, g] = [randomValues([2, 1, 3, 3], random), randomValues([3, 2, 2, 3], random)];
    const weight = input("w", kernel.shape);
    const depthwise = conv2d(input("x", ["batch", 2, 4, 4]), weight, geometry);
    const [gradient] = vjp([depthwise], [input("g", ["batch", 2, 2, 3])], [weight]);
    const feed = Object.fromEntries(Object.entries({ x, g }).map(([k, v]) => [k, toArray(v, "float32")]));
    const [results] = await runAll({ gradient }, [feed]);
    expectClose(results?.gradient, kernelReference(x, g, kernel.shape, geometry), 1e-5, "kernel gradient");
  });

  it("names the operation and the shapes where they do not fit", () => {
    const x = input("x", [2, 3, 8, 8]);
    const bad = () => conv2d(x, input("w", [4, 2, 3, 3]));
    expect(bad).toThrow(ShapeError);
    expect(bad).toThrow(/conv2d: \[2, 3, 8, 8\] and \[4, 2, 3, 3\].*3 channels.*takes 2/);
    expect(() => conv2d(x, input("w", [4, 3, 9, 3]))).toThrow(/does not fit/);
    expect(() => conv2d(x, input("w", [4, 1, 3, 3]), { groups: 2 })).toThrow(/divide into 2 groups/);
    expect(() => conv2d(input("x", [3, 8, 8]), input("w", [4, 3, 3, 3]))).toThrow(
      /wants an input \[N, C, H, W\]/,
    );
    expect(() => conv2d(x, input("w", [4, 3, 3, 3]), { bias: input("b", [3]) })).toThrow(
      /bias must be \[4\]/,
    );
    expect(() => conv2d(x, input("w", [4, 3, 3, 3]), { stride: 0 })).toThrow(OptionError);
  });
});

describe("conv1d", () => {
  it("is conv2d on one row", async () => {
    const random = generator(6);
    const geometry: Geometry = { stride: [1, 2], padding: [0, 2, 0, 1], dilation: [1, 2], groups: 2 };
    await checkOperation(
      {
        name: "conv1d",
        float32Only: true,
        apply: (x, w) => conv1d(x, w, { stride: 2, padding: [2, 1], dilation: 2, groups: 2 }),
        reference: (x, w) => {
          const row = (v: Values): Values => ({
            ...v,
            shape: [v.shape[0] ?? 0, v.shape[1] ?? 0, 1, v.shape[2] ?? 0],
          });
          const y = reference(row(x), row(w), geometry);
          return { ...y, shape: [y.shape[0] ?? 0, y.shape[1] ?? 0, y.shape[3] ?? 0] };
        },
      },
      [randomValues([2, 4, 7], random), randomValues([2, 2, 3], random)],
    );
  });
});

describe("convTranspose2d", () => {
  it("scatters the kernel, weighted by each element, with PyTorch's sizes", async () => {
    const geometries: readonly (Geometry & { outputPadding: readonly [number, number] })[] = [
      { ...PLAIN, outputPadding: [0, 0] },
      { ...PLAIN, stride: [2, 2], padding: [1, 1, 1, 1], outputPadding: [1, 0] },
      { stride: [3, 2], padding: [0, 1, 1, 0], dilation: [2, 1], groups: 2, outputPadding: [2, 1] },
      { ...PLAIN, padding: [1, 1, 1, 1], dilation: [1, 2], outputPadding: [0, 0] },
    ];
    let seed = 11;
    for (const { outputPadding, ...geometry } of geometries) {
      const random = generator(seed++);
      const [x, w] = [randomValues([2, 4, 3, 2], random), randomValues([4, 3, 3, 2], random)];
      const size = ([0, 1] as const).map(
        (axis) =>
          ((x.shape[2 + axis] ?? 0) - 1) * geometry.stride[axis] -
          (geometry.padding[axis] + (geometry.padding[axis + 2] ?? 0)) +
          geometry.dilation[axis] * ((w.shape[2 + axis] ?? 0) - 1) +
          outputPadding[axis] +
          1,
      );
      const shape = [2, 3 * geometry.groups, ...size];
      await checkOperation(
        {
          name: `convTranspose2d ${JSON.stringify(geometry)}`,
          float32Only: true,
          apply: (a, b, bias) => convTranspose2d(a, b, { ...geometry, outputPadding, bias }),
          reference: (a, b, bias) => {
            const y = transposedReference(a, b, shape, geometry);
            return build(shape, (position) => at(y, position) + at(bias, [position[1] ?? 0]));
          },
        },
        [x, w, randomValues([3 * geometry.groups], random)],
        { seed },
      );
    }
  });

  it("names the operation and the shapes where they do not fit", () => {
    const x = input("x", [2, 3, 4, 4]);
    expect(() => convTranspose2d(x, input("w", [4, 2, 3, 3]))).toThrow(
      /convTranspose2d: \[2, 3, 4, 4\] and \[4, 2, 3, 3\]/,
    );
    expect(() => convTranspose2d(x, input("w", [3, 2, 1, 1]), { padding: 3 })).toThrow(/padding leaves/);
    expect(() => convTranspose2d(x, input("w", [3, 2, 3, 3]), { outputPadding: 1 })).toThrow(OptionError);
  });
});
