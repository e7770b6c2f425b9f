import { afterEach, describe, expect, it, vi } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { NormalizedConv2d } from "../../src/flows/images/index.ts";
import { glow, glowOptions } from "../../src/flows/index.ts";
import {
  ActNorm,
  Composition,
  InvertibleLinear,
  triangularInverse,
} from "../../src/flows/transforms/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { traceInitialization } from "../../src/tensor/index.operations.ts";
import { constant, float32, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { logAbsDeterminant, normals, transformErrors, withRandomParameters } from "./check-transform.ts";
import { expectTame, startOf } from "./deep-glow.ts";

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

const image = (sampleShape: readonly number[], classes?: number): DataInfo => ({
  kind: "image",
  sampleShape,
  ...(classes !== undefined && { classes }),
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe("actnorm", () => {
  it("is a scale and a shift of columns or channels, with its log-determinant and inverse", async () => {
    for (const shape of [[3], [4, 2, 3]]) {
      const errors = await transformErrors(new ActNorm(shape[0] ?? 1), shape);
      expect(errors.logDet).toBeLessThan(1e-4);
      expect(errors.inverse).toBeLessThan(1e-5);
      expect(errors.inverseLogDet).toBeLessThan(1e-5);
      expect(errors.change).toBeGreaterThan(0.1);
    }
  });

  it("takes mean 0 and variance 1 from its first batch, and only moves constant columns", async () => {
    const rows = 64;
    // Ordinary; far from 0; always 0; always 1000.3; a black pixel with dequantization noise.
    const noise = normals(1, [rows, 5]).data;
    const x = constant(
      float32(
        noise.map((value, i) => {
          const column = i % 5;
          if (column === 0) return 3 * value - 1;
          if (column === 1) return 500 + value;
          if (column === 2) return 0;
          return column === 3 ? 1000.3 : 0.002 + 0.001 * value;
        }),
        [rows, 5],
      ),
    );
    const norm = new ActNorm(5);
    const starts = traceInitialization(() => norm.forward(x));
    const [scale, bias] = [starts.get(norm.logScale), starts.get(norm.bias)];
    if (scale === undefined || bias === undefined) throw new Error("nothing starts from the batch");
    const after = substitute(
      [norm.forward(x).y],
      new Map([
        [norm.logScale, scale],
        [norm.bias, bias],
      ]),
    );
    const [y, logScale] = await evaluate([...after, scale]);
    const column = (k: number): number[] => numbers(y).filter((_, i) => i % 5 === k);
    for (const k of [0, 1, 4]) {
      const mean = column(k).reduce((a, b) => a + b) / rows;
      const variance = column(k).reduce((a, b) => a + (b - mean) ** 2, 0) / rows;
      expect(Math.abs(mean)).toBeLessThan(k === 1 ? 1e-3 : 1e-4);
      expect(Math.abs(variance - 1)).toBeLessThan(1e-3);
    }
    for (const k of [2, 3]) {
      expect(largest(column(k))).toBeLessThan(2e-3);
      expect(numbers(logScale)[k]).toBe(0);
    }
  });
});

describe("invertible linear map", () => {
  it("inverts triangular matrices of any size by blocks", async () => {
    for (const size of [1, 2, 5, 12, 64]) {
      for (const part of ["lower", "upper"] as const) {
        const below = (i: number, j: number): boolean => (part === "lower" ? i > j : i < j);
        const drawn = normals(size, [size, size], 0.3).data;
        const element = (k: number): number => {
          const [i, j] = [Math.floor(k / size), k % size];
          if (i === j) return 1 + 0.5 * Math.cos(i);
          return below(i, j) ? (drawn[k] ?? 0) : 0;
        };
        const all = Array.from({ length: size * size }, (_, k) => element(k));
        const diagonal = all.map((value, k) => (k % (size + 1) === 0 ? 1 / value : 0));
        const inverse = triangularInverse(
          constant(float32(drawn, [size, size])),
          constant(float32(diagonal, [size, size])),
          part,
        );
        const product = inverse.matmul(constant(float32(all, [size, size])));
        const [identity] = await evaluate([product]);
        const errors = numbers(identity).map((value, k) => value - (k % (size + 1) === 0 ? 1 : 0));
        expect(largest(errors)).toBeLessThan(1e-3);
      }
    }
  });

  it("starts as a random rotation of which the factors are triangular", async () => {
    for (const size of [2, 12, 48]) {
      const linear = new InvertibleLinear(size);
      const { weight, inverseWeight } = linear;
      const [w, gram, identity] = await evaluate(
        substitute(
          [weight, weight.matmul(weight.transpose()), inverseWeight.matmul(weight)],
          startOf({ linear }),
        ),
      );
      for (const product of [gram, identity]) {
        const errors = numbers(product).map((value, k) => value - (k % (size + 1) === 0 ? 1 : 0));
        expect(largest(errors)).toBeLessThan(2e-5);
      }
      // A rotation of general position: no element is 0 or ±1.
      const elements = numbers(w).map(Math.abs);
      expect(Math.max(...elements)).toBeLessThan(0.9999);
      expect(Math.min(...elements)).toBeGreaterThan(0);
    }
  });

  it("has its log-determinant and inverse with any factors, on rows and at each pixel", async () => {
    for (const shape of [[5], [4, 2, 3]]) {
      const linear = new InvertibleLinear(shape[0] ?? 1);
      const errors = await transformErrors(linear, shape, { deviation: 0.6 });
      expect(errors.logDet).toBeLessThan(1e-3);
      expect(errors.inverse).toBeLessThan(1e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-4);
    }
  });

  it("has a log-determinant of Σ log U_ii a position", async () => {
    const linear = new InvertibleLinear(3);
    const x = constant(normals(2, [1, 3, 2, 2]));
    const [weight, logDet] = await evaluate(
      withRandomParameters(linear, [linear.weight, linear.forward(x).logDet], 4),
    );
    const w = numbers(weight);
    const rows = [0, 1, 2].map((i) => w.slice(3 * i, 3 * i + 3));
    expect(numbers(logDet)[0]).toBeCloseTo(4 * logAbsDeterminant(rows), 4);
  });
});

describe("Glow", () => {
  it("has the log-determinant of its Jacobian and is inverted, for images of 1, 2 and 3 channels", async () => {
    for (const [shape, levels] of [
      [[1, 4, 4], 2],
      [[2, 2, 4], 1],
      [[3, 2, 4], 1],
    ] as const) {
      const flow = new Composition(
        glow({ width: 4, flowSteps: levels, levels, logit: false }, image(shape)).transforms,
      );
      const errors = await transformErrors(flow, shape, { deviation: 0.15 });
      expect(errors.logDet).toBeLessThan(2e-3);
      expect(errors.inverse).toBeLessThan(2e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-3);
      expect(errors.change).toBeGreaterThan(0.1);
    }
  });

  it("has them under a context, for images and rows", async () => {
    for (const data of [image([1, 4, 4], 3), { kind: "table", sampleShape: [5], classes: 3 } as const]) {
      const options = glowOptions.parse({ width: 4, flowSteps: 2, conditional: true, logit: false });
      const model = glow(options, data);
      const flow = new Composition(model.transforms);
      const errors = await transformErrors(flow, data.sampleShape, { deviation: 0.15, contextSize: 3 });
      expect(errors.logDet).toBeLessThan(2e-3);
      expect(errors.inverse).toBeLessThan(2e-4);
      const x = constant(normals(7, [2, ...data.sampleShape]));
      const contexts = [0, 1].map((k) => constant(float32([k, 1 - k, 0, k, 1 - k, 0], [2, 3])));
      const [first, second] = await evaluate(
        withRandomParameters(
          model,
          contexts.map((context) => flow.forward(x, context).y),
          3,
          0.3,
        ),
      );
      const other = numbers(second);
      expect(largest(numbers(first).map((value, i) => value - (other[i] ?? 0)))).toBeGreaterThan(1e-3);
    }
  });

  it("normalizes by the first batch after each actnorm, in the flow and in the networks", async () => {
    const model = glow({ width: 8, flowSteps: 3 }, image([1, 8, 8]));
    nameParameters(model);
    const bytes = normals(1, [32, 1, 8, 8]).data.map((value, i) => (i % 64 < 20 ? 0 : 128 + 30 * value));
    const x = constant(float32(bytes, [32, 1, 8, 8]));
    const starts = traceInitialization(() => model.encode(x));
    const actnorms = vi.spyOn(ActNorm.prototype, "forward");
    const convolutions = vi.spyOn(NormalizedConv2d.prototype, "forward");
    model.encode(x);
    const outputs = [
      ...actnorms.mock.results.map(({ value }) => value.y as Tensor),
      ...convolutions.mock.results.map(({ value }) => value as Tensor),
    ];
    expect(outputs.length).toBe(3 * 3 * (1 + 2));
    const moments = outputs.flatMap((y) => {
      const mean = y.mean([0, 2, 3], true);
      return [mean, y.sub(mean).square().mean([0, 2, 3])];
    });
    const values = await evaluate(substitute(moments, startOf(model, starts)));
    values.forEach((value, i) => {
      for (const number of numbers(value)) expect(Math.abs(number - (i % 2))).toBeLessThan(2e-3);
    });
  });

  it("of 32 steps does not explode, far from the data either, and is inverted", async () => {
    await expectTame({ kind: "table", sampleShape: [6] }, 32);
    // Of 32 steps in glow.slow.test.ts.
    await expectTame(image([1, 4, 4]), 6);
  });

  it("draws less varied samples at a lower temperature", async () => {
    const model = nameParameters(glow({ width: 4, flowSteps: 2, logit: false }, image([3, 4, 4])));
    const session = new Session(await nodeRuntime(), initialState(model, 0));
    const deviation = async (temperature: number): Promise<number> => {
      const { data, shape } = await model.sample(session, { count: 64, seed: 0, temperature });
      expect(shape).toEqual([64, 3, 4, 4]);
      const mean = data.reduce((a, b) => a + b, 0) / data.length;
      return Math.sqrt(data.reduce((a, b) => a + (b - mean) ** 2, 0) / data.length);
    };
    // At its start, with couplings of zero, the flow is a rotation: deviations are those of the code, times 256.
    expect((await deviation(1)) / 256).toBeCloseTo(1, 1);
    expect((await deviation(0.5)) / 256).toBeCloseTo(0.5, 1);
    await session.release();
  });

  it("says what to do with images that cannot be halved, or not so often", () => {
    expect(() => glow({}, image([1, 9, 9]))).toThrow(OptionError);
    expect(() => glow({}, image([1, 9, 9]))).toThrow(/even.*9×9.*--size/);
    expect(() => glow({ levels: 4 }, image([3, 32, 24]))).toThrow(/levels.*32×24 allows 3/);
    expect(() => glow({}, { kind: "points", sampleShape: [1] })).toThrow(OptionError);
  });

  it("exports a graph with a symbolic batch", () => {
    for (const data of [image([1, 4, 4]), { kind: "points", sampleShape: [2] } as const]) {
      const { outputs } = glow({ width: 4, flowSteps: 1 }, data).exported();
      expect(outputs.logProb?.shape).toEqual(["batch"]);
      expect(outputs.z?.shape).toEqual(["batch", data.kind === "image" ? 16 : 2]);
    }
  });
});
