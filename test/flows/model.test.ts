import { describe, expect, it } from "vitest";
import { gaussian, logistic } from "../../src/flows/densities/index.ts";
import { type Base, FlowModel, nice, niceDefinition, niceOptions } from "../../src/flows/index.ts";
import { Reshape } from "../../src/flows/transforms/index.ts";
import { bitsPerDimension } from "../../src/metrics/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { compile, Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, input } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, withRandomParameters } from "./check-transform.ts";

const IMAGE: DataInfo = { kind: "image", sampleShape: [1, 4, 5] };
const POINTS: DataInfo = { kind: "points", sampleShape: [2] };

/** Uniform on the unit cube: log-density 0. */
const unitUniform: Base = {
  ...gaussian,
  logProb: (z) => z.sum(1).mul(0),
};

function mean(values: ArrayLike<number>): number {
  return Array.from(values).reduce((a, b) => a + b, 0) / values.length;
}

describe("base distributions", () => {
  const grid = Array.from({ length: 4001 }, (_, i) => -20 + i * 0.01);
  for (const [name, base, deviation] of [
    ["gaussian", gaussian, 1],
    ["logistic", logistic, Math.PI / Math.sqrt(3)],
  ] as const) {
    it(`${name}: integrates to 1 and draws have its moments`, async () => {
      const [logProb] = await evaluate([base.logProb(constant(float32(grid, [grid.length, 1])))]);
      const density = numbers(logProb).map(Math.exp);
      expect(density.reduce((a, b) => a + b, 0) * 0.01).toBeCloseTo(1, 4);
      const second = density.reduce((total, p, i) => total + p * (grid[i] ?? 0) ** 2, 0) * 0.01;
      expect(Math.sqrt(second)).toBeCloseTo(deviation, 3);
      const draws = new Float32Array(40_000);
      base.drawNoise(draws, new Random(1));
      expect(Math.abs(mean(draws))).toBeLessThan(0.04);
      expect(Math.abs(Math.sqrt(mean(draws.map((value) => value ** 2))) / deviation - 1)).toBeLessThan(0.02);
    });
  }

  it("matches the closed forms at a point, summed over components", async () => {
    const z = constant(float32([0.5, -2], [1, 2]));
    const [normal, log] = await evaluate([gaussian.logProb(z), logistic.logProb(z)]);
    expect(normal?.data[0]).toBeCloseTo(-Math.log(2 * Math.PI) - (0.25 + 4) / 2, 5);
    const part = (value: number): number => -Math.log1p(Math.exp(value)) - Math.log1p(Math.exp(-value));
    expect(log?.data[0]).toBeCloseTo(part(0.5) + part(-2), 5);
  });
});

describe("likelihood of images", () => {
  const bytes = float32(
    Array.from({ length: 3 * 20 }, (_, i) => (i * 37) % 256),
    [3, 1, 4, 5],
  );

  it("is exactly 8 bits per dimension for the uniform model", async () => {
    const model = new FlowModel(IMAGE, { base: unitUniform, transforms: [new Reshape([1, 4, 5], [20])] });
    const runtime = await nodeRuntime();
    const scored = compile(["x"], ({ x }) => ({ logProb: model.logProb(x), loss: model.loss({ x }).total }), {
      runtime,
    });
    const { logProb, loss } = await scored.run({ x: bytes }, { random: new Random(0) });
    for (const value of logProb.data) expect(bitsPerDimension(Number(value), 20)).toBeCloseTo(8, 5);
    expect(loss.data[0]).toBeCloseTo(8, 5);
    await scored.release();
  });

  it("of NICE at its start, with couplings of zero, is the prior's closed form", async () => {
    const model = nice({ couplings: 2, hiddenLayers: 1, width: 4 }, IMAGE);
    const [logProb] = await evaluate(
      withRandomParameters(model, [model.continuousLogProb(constant(bytes))], 1, 0),
    );
    for (let n = 0; n < 3; n++) {
      // With s = 0 and m = 0 the code is byte / 256, and log p = Σ log p_logistic(byte / 256) − D log 256.
      let expected = -20 * Math.log(256);
      for (const byte of bytes.data.subarray(20 * n, 20 * n + 20)) {
        expected -= Math.log1p(Math.exp(byte / 256)) + Math.log1p(Math.exp(-byte / 256));
      }
      expect(Number(logProb?.data[n])).toBeCloseTo(expected, 3);
    }
  });

  it("noise comes from the generator: the same seed gives the same number", async () => {
    const model = nameParameters(nice({ width: 8, hiddenLayers: 1 }, IMAGE));
    const weights = initialState(model, 0);
    const scored = compile(["x"], ({ x }) => ({ logProb: model.logProb(x) }), {
      runtime: await nodeRuntime(),
      weights,
    });
    const run = async (seed: number): Promise<number[]> => {
      const { logProb } = await scored.run({ x: bytes }, { random: new Random(seed) });
      return Array.from(logProb.data, Number);
    };
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
    await scored.release();
  });
});

describe("NICE", () => {
  it("in the plane integrates to 1, for both priors", async () => {
    for (const base of ["gaussian", "logistic"] as const) {
      const model = nice({ width: 16, couplings: 4, base, scaleGain: 1 }, POINTS);
      const [side, step] = [401, 0.15];
      const grid = new Float32Array(2 * side * side);
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++) {
          grid.set([(i - (side - 1) / 2) * step, (j - (side - 1) / 2) * step], 2 * (i * side + j));
        }
      }
      const x = constant(float32(grid, [side * side, 2]));
      const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 3, 0.3));
      const total = numbers(logProb)
        .map(Math.exp)
        .reduce((a, b) => a + b);
      expect(Math.abs(total * step * step - 1)).toBeLessThan(0.005);
    }
  });

  it("decodes what it encodes, for images and points", async () => {
    for (const data of [IMAGE, POINTS]) {
      const model = nice({ width: 16, hiddenLayers: 1 }, data);
      const x = input("x", [7, ...data.sampleShape]);
      const z = model.encode(x);
      const values = normals(3, [7, ...data.sampleShape], 2);
      const outputs = withRandomParameters(model, [z, model.decode(z)], 5, 0.2);
      const [code, back] = await evaluate(outputs, new Map([[x, values]]));
      expect(code?.shape).toEqual([7, data.kind === "image" ? 20 : 2]);
      expect(back?.shape).toEqual(values.shape);
      const errors = values.data.map((value, i) => Math.abs(value - Number(back?.data[i])));
      // 1e-4 in the units the flow works in, which for images are 256 bytes.
      expect(Math.max(...errors)).toBeLessThan(data.kind === "image" ? 256e-4 : 1e-4);
    }
  });

  it("samples are codes of the prior, decoded, and do not depend on how many are drawn", async () => {
    const model = nameParameters(nice({ width: 16 }, POINTS));
    const session = new Session(await nodeRuntime(), initialState(model, 0));
    const shares: number[] = [];
    const many = await model.sample(session, {
      count: 6000,
      seed: 4,
      onProgress: (share) => shares.push(share),
    });
    const few = await model.sample(session, { count: 5, seed: 4 });
    expect(many.shape).toEqual([6000, 2]);
    few.data.forEach((value, i) => {
      expect(value).toBeCloseTo(many.data[i] ?? Number.NaN, 4);
    });
    expect(shares.at(-1)).toBe(1);
    expect(shares.length).toBeGreaterThan(1);
    const encoder = session.compiled(model, "encode", ["x"], ({ x }) => ({ z: model.encode(x) }));
    const { z } = await encoder.run({ x: many });
    const codes = Array.from(z.data, Number);
    expect(Math.abs(mean(codes))).toBeLessThan(0.04);
    expect(Math.abs(mean(codes.map((value) => value ** 2)) - 1)).toBeLessThan(0.05);
    await session.release();
  });

  it("exports a graph with a symbolic batch", () => {
    for (const data of [IMAGE, POINTS]) {
      const { outputs, description } = nice({ width: 4 }, data).exported();
      expect(outputs.logProb?.shape).toEqual(["batch"]);
      expect(outputs.z?.shape).toEqual(["batch", data.kind === "image" ? 20 : 2]);
      expect(description).toContain("nats");
    }
  });

  it("has defaults", () => {
    expect(niceDefinition.options.parse({})).toEqual({ hiddenLayers: 2, conditional: false, given: [] });
    expect(() => niceOptions.parse({ couplings: 0 })).toThrow();
  });
});

describe("samples as the steps of a flow form them", () => {
  it("begin with codes and end with what sample draws, for points and images", async () => {
    for (const data of [POINTS, IMAGE]) {
      const model = nameParameters(
        nice(niceOptions.parse({ couplings: 3, width: 8, hiddenLayers: 1 }), data),
      );
      const session = new Session(await nodeRuntime(), initialState(model, 3));
      const samples = await model.sample(session, { count: 5, seed: 4 });
      const marks: unknown[] = [];
      const states = await model.sampleStates(session, {
        count: 5,
        seed: 4,
        states: 3,
        onState: (mark) => marks.push(mark),
      });
      expect(states).toHaveLength(3);
      for (const state of states) expect(state.shape).toEqual(samples.shape);
      samples.data.forEach((value, i) => {
        expect(states[2]?.data[i]).toBeCloseTo(value, 3);
      });
      expect(marks[0]).toMatchObject({ kind: "step", step: 0 });
      expect(marks).toHaveLength(3);
      await expect(model.sampleStates(session, { count: 1, seed: 0, states: 1 })).rejects.toThrow(/states/);
      await session.release();
    }
  });
});
