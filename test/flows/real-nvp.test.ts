import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import {
  Composition,
  ExchangeQuarters,
  MultiScale,
  realNvp,
  realNvpOptions,
  Squeeze,
} from "../../src/flows/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, grad, input, int64, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

const image = (sampleShape: readonly number[], classes?: number): DataInfo => ({
  kind: "image",
  sampleShape,
  ...(classes !== undefined && { classes }),
});

/** Points inside the unit cube. */
const insideCube = (x: NdArray<"float32">): NdArray<"float32"> =>
  float32(
    x.data.map((value) => 1 / (1 + Math.exp(-value))),
    x.shape,
  );

describe("squeeze", () => {
  // Rows of a 4×4 image: 0 1 2 3 / 4 5 6 7 / 8 9 10 11 / 12 13 14 15; the second channel is 100 more.
  const x = constant(
    float32(
      Array.from({ length: 32 }, (_, i) => (i < 16 ? i : 84 + i)),
      [1, 2, 4, 4],
    ),
  );

  it("makes the four pixels of a block four groups of channels, in rows or as a checkerboard", async () => {
    const [rows, board] = await evaluate([
      new Squeeze().forward(x).y,
      new Squeeze("checkerboard").forward(x).y,
    ]);
    const upperLeft = [0, 2, 8, 10];
    const group = (shift: number): number[] => [
      ...upperLeft.map((value) => value + shift),
      ...upperLeft.map((value) => value + shift + 100),
    ];
    expect(rows?.shape).toEqual([1, 8, 2, 2]);
    expect(numbers(rows)).toEqual([...group(0), ...group(1), ...group(4), ...group(5)]);
    expect(numbers(board)).toEqual([...group(0), ...group(5), ...group(1), ...group(4)]);
    // The halves are the two colors of a checkerboard: all of a half have the same parity of row + column.
    numbers(board).forEach((value, i) => {
      const pixel = value % 100;
      expect((Math.floor(pixel / 4) + (pixel % 4)) % 2).toBe(i < 16 ? 0 : 1);
    });
  });

  it("is undone by its inverse, as is the exchange of quarters", async () => {
    for (const transform of [
      new Squeeze(),
      new Squeeze("checkerboard"),
      new Composition([new Squeeze("checkerboard"), new ExchangeQuarters()]),
    ]) {
      const [back] = await evaluate([transform.inverse(transform.forward(x).y).x]);
      expect(numbers(back)).toEqual(numbers((await evaluate([x]))[0]));
    }
  });

  it("multi-scale: half of each level's channels leaves, and comes back", async () => {
    const flow = new MultiScale([
      { transform: new Squeeze(), shape: [8, 2, 2] },
      { transform: new Squeeze(), shape: [16, 1, 1] },
    ]);
    const { y, logDet } = flow.forward(x);
    const [code, back, change] = await evaluate([y, flow.inverse(y).x, logDet]);
    expect(code?.shape).toEqual([1, 32]);
    // First what left the first level: the lower two pixels of each block.
    expect(numbers(code).slice(0, 4)).toEqual([4, 6, 12, 14]);
    expect(numbers(back)).toEqual(numbers((await evaluate([x]))[0]));
    expect(numbers(change)).toEqual([0]);
  });
});

describe("RealNVP", () => {
  it("has the log-determinant of its Jacobian and is inverted, for images of 1 and 3 channels", async () => {
    for (const [shape, levels] of [
      [[1, 4, 4], 2],
      [[3, 2, 4], 1],
    ] as const) {
      const options = realNvpOptions.parse({ width: 4, blocks: 1, couplings: 2, levels });
      const flow = new Composition(realNvp(options, image(shape)).transforms);
      const errors = await transformErrors(flow, shape, { deviation: 0.15, points: insideCube });
      expect(errors.logDet).toBeLessThan(2e-3);
      expect(errors.inverse).toBeLessThan(1e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-3);
      expect(errors.change).toBeGreaterThan(0.1);
    }
  });

  it("has them for rows, of an even or odd number of columns, with and without context", async () => {
    for (const [columns, classes] of [
      [2, 0],
      [5, 3],
    ] as const) {
      const data: DataInfo = { kind: "table", sampleShape: [columns], classes: 3 };
      const options = realNvpOptions.parse({ width: 8, couplings: 4, conditional: classes > 0 });
      const flow = new Composition(realNvp(options, data).transforms);
      const errors = await transformErrors(flow, columns, { deviation: 0.3, contextSize: classes });
      expect(errors.logDet).toBeLessThan(1e-3);
      expect(errors.inverse).toBeLessThan(1e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-4);
      expect(errors.change).toBeGreaterThan(0.1);
    }
  });

  it("gives nflows' log-densities, codes and samples with the same weights", async () => {
    const fixture = JSON.parse(
      readFileSync(new URL("../fixtures/flows/real-nvp.json", import.meta.url), "utf8"),
    );
    const array = ({ data, shape }: { data: number[]; shape: number[] }) => float32(data, shape);
    const data: DataInfo = { kind: "table", sampleShape: [5], classes: fixture.classes };
    const model = nameParameters(realNvp(fixture.options, data));
    const weights = new Map<Tensor, Tensor>();
    for (const [name, tensor] of namedTensors(model)) {
      expect(fixture.weights[name]?.shape, name).toEqual(tensor.shape);
      weights.set(tensor, constant(array(fixture.weights[name])));
    }
    expect(weights.size).toBe(Object.keys(fixture.weights).length);
    const label = constant(int64(fixture.label, [fixture.label.length]));
    const x = constant(array(fixture.x));
    const { context } = model.conditioning.divide(x, label);
    const [logProb, code, samples] = await evaluate(
      substitute(
        [
          model.logProb(x, label),
          model.encode(x, label),
          model.decode(constant(array(fixture.noise)), context),
        ],
        weights,
      ),
    );
    for (const [ours, theirs] of [
      [logProb, fixture.logProb],
      [code, fixture.code],
      [samples, fixture.samples],
    ] as const) {
      expect(ours?.shape).toEqual(theirs.shape);
      numbers(ours).forEach((value, i) => {
        expect(Math.abs(value - theirs.data[i]) / Math.max(1, Math.abs(theirs.data[i]))).toBeLessThan(1e-4);
      });
    }
  });

  it("stays finite, with its gradients, a thousand deviations away and in a stack of 32 couplings", async () => {
    const options = realNvpOptions.parse({ couplings: 32, width: 16 });
    const model = nameParameters(realNvp(options, { kind: "table", sampleShape: [4] }));
    const x = constant(float32([1e3, -1e3, 1e3, 1e3, 0, 0, 0, 0, -1e3, 5, 1e3, -2], [3, 4]));
    const parameters = [...namedTensors(model).values()];
    const logProb = model.logProb(x);
    const outputs = [logProb, model.encode(x), ...grad(logProb.mean(), parameters)];
    for (const value of await evaluate(withRandomParameters(model, outputs, 3, 0.05))) {
      expect(numbers(value).every(Number.isFinite)).toBe(true);
    }
  });

  it("may use batch normalization, and samples images of each class", async () => {
    const data = image([1, 4, 4], 3);
    const options = realNvpOptions.parse({
      width: 4,
      blocks: 1,
      couplings: 1,
      conditional: true,
      normalization: "batch-norm",
    });
    const model = nameParameters(realNvp(options, data));
    const names = [...namedTensors(model).keys()];
    expect(names.some((name) => name.endsWith("running_mean"))).toBe(true);
    const session = new Session(await nodeRuntime(), initialState(model, 0));
    const samples = await model.sample(session, { count: 3, seed: 0, label: 1, temperature: 0.7 });
    expect(samples.shape).toEqual([3, 1, 4, 4]);
    expect(samples.data.every(Number.isFinite)).toBe(true);
    await session.release();
  });

  it("starts as the logit of pixels in other order, without loss of volume elsewhere", async () => {
    const model = nameParameters(realNvp({ width: 4, alpha: 0.05 }, image([1, 4, 4])));
    const x = input("x", [2, 1, 4, 4]);
    const { y, logDet } = new Composition(model.transforms).forward(x);
    const values = new Map<Tensor, Tensor>();
    const state = initialState(model, 0);
    for (const [name, tensor] of namedTensors(model)) {
      const start = state.get(name);
      if (start !== undefined) values.set(tensor, constant(start));
    }
    const pixels = insideCube(normals(5, [2, 1, 4, 4]));
    const [code, change] = await evaluate(substitute([y, logDet], values), new Map([[x, pixels]]));
    const squashed = Array.from(pixels.data, (value) => 0.05 + 0.9 * value);
    const sorted = (list: number[]): number[] => [...list].sort((a, b) => a - b);
    const logits = squashed.map((u) => Math.log(u) - Math.log1p(-u));
    const difference = sorted(numbers(code)).map((value, i) => value - (sorted(logits)[i] ?? Number.NaN));
    expect(largest(difference)).toBeLessThan(1e-5);
    const expected = squashed
      .slice(0, 16)
      .reduce((sum, u) => sum + Math.log(0.9) - Math.log(u) - Math.log1p(-u), 0);
    expect(numbers(change)[0]).toBeCloseTo(expected, 3);
  });

  it("says what to do with images that cannot be halved, or not so often", () => {
    expect(() => realNvp({}, image([1, 27, 28]))).toThrow(OptionError);
    expect(() => realNvp({}, image([1, 27, 28]))).toThrow(/even.*27×28.*--size/);
    expect(() => realNvp({ levels: 3 }, image([1, 28, 28]))).toThrow(/levels.*28×28 allows 2/);
    expect(() => realNvp({}, { kind: "table", sampleShape: [1] })).toThrow(OptionError);
  });
});
