import { describe, expect, it } from "vitest";
import { planePoints } from "../../../src/data/sources/toy.ts";
import {
  diffusionSampleOptions,
  RectifiedFlow,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
} from "../../../src/diffusion/index.ts";
import { sampleTimes } from "../../../src/diffusion/objective/index.ts";
import { linearPath } from "../../../src/diffusion/path/index.ts";
import { OptionError, SolverError } from "../../../src/errors.ts";
import { slicedWasserstein } from "../../../src/metrics/index.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { adam } from "../../../src/nn/optimizer.ts";
import { evenTimes, integrate, rk4, type Velocity } from "../../../src/ode/index.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { compile, Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { trainingBatches } from "../../../src/train/batches.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { initialVectors, Trainer } from "../../../src/train/trainer.ts";
import { numbers } from "../../support.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const CLASSES: DataInfo = { kind: "points", sampleShape: [2], classes: 3 };
const IMAGES: DataInfo = { kind: "image", sampleShape: [1, 8, 8], classes: 10 };

const small = (data: DataInfo, options: Record<string, unknown> = {}): RectifiedFlow =>
  nameParameters(
    new RectifiedFlow(rectifiedFlowOptions.parse({ width: 32, depth: 2, channels: 16, ...options }), data),
  );

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

async function sessionOf(model: RectifiedFlow): Promise<Session> {
  return new Session(await nodeRuntime(), initialState(model, 0));
}

describe("linear path", () => {
  it("is data at 0 and noise at 1, and its velocity is the derivative of its state", async () => {
    const data = constant(float32([1, -2, 3], [3]));
    const noise = constant(float32([0.5, 4, -1], [3]));
    const t = input("t", [3]);
    const state = linearPath.state(data, noise, t);
    const [derivative] = grad(state.sum(), [t]);
    if (derivative === undefined) throw new Error("no derivative");
    const at = (values: readonly number[]) => new Map([[t, float32(values, [3])]]);
    const velocity = linearPath.velocity(data, noise, t);
    const [start, slope, expected] = await evaluate([state, derivative, velocity], at([0, 0, 0]));
    expect(numbers(start)).toEqual([1, -2, 3]);
    expect(numbers(slope)).toEqual(numbers(expected));
    expect(numbers((await evaluate([state], at([1, 1, 1])))[0])).toEqual([0.5, 4, -1]);
    expect(numbers((await evaluate([state], at([0.25, 0.25, 0.25])))[0])).toEqual([0.875, -0.5, 2]);
  });

  it("for Gaussian data of deviation s carries noise ε to s ε", async () => {
    // E[ε − x₀ | x_t = x] = x (t − (1 − t) s²) / ((1 − t)² s² + t²) for x₀ ~ N(0, s²).
    const s = 0.3;
    const field: Velocity<"float64"> = async (x, t) => ({
      ...x,
      data: x.data.map((value) => (value * (t - (1 - t) * s * s)) / ((1 - t) ** 2 * s * s + t * t)),
    });
    const noise: NdArray<"float64"> = { dtype: "float64", shape: [3], data: Float64Array.of(1, -0.4, 2.5) };
    const end = await integrate(rk4, field, noise, evenTimes(100));
    numbers(end).forEach((value, i) => {
      expect(value).toBeCloseTo(s * (noise.data[i] ?? 0), 5);
    });
  });
});

describe("training times", () => {
  const draw = async (times: Tensor): Promise<number[]> => {
    const compiled = compile([], () => ({ times }), { runtime: await nodeRuntime() });
    return numbers((await compiled.run({}, { random: new Random(5) })).times);
  };

  it("are uniform", async () => {
    const times = await draw(sampleTimes("uniform", 20_000));
    expect(Math.abs(mean(times) - 1 / 2)).toBeLessThan(0.01);
    expect(Math.abs(mean(times.map((t) => t * t)) - 1 / 3)).toBeLessThan(0.01);
  });

  it("are logit-normal with the mean and deviation of their logits", async () => {
    const times = await draw(sampleTimes("logit-normal", 20_000, { mean: -0.5, deviation: 0.8 }));
    const logits = times.map((t) => Math.log(t / (1 - t)));
    expect(Math.abs(mean(logits) + 0.5)).toBeLessThan(0.03);
    expect(Math.abs(Math.sqrt(mean(logits.map((z) => (z + 0.5) ** 2))) - 0.8)).toBeLessThan(0.03);
  });
});

describe("rectified flow", () => {
  it("of images starts at the loss of a network that says zero: 1 + mean square of the data", async () => {
    const model = small(IMAGES);
    const runtime = await nodeRuntime();
    const loss = compile(["x", "label"], ({ x, label }) => ({ loss: model.loss({ x, label }).total }), {
      runtime,
      weights: initialState(model, 0),
    });
    const bytes = Array.from({ length: 64 * 64 }, (_, i) => (i * 61) % 256);
    const labels = Array.from({ length: 64 }, (_, i) => i % 10);
    const result = await loss.run(
      { x: float32(bytes, [64, 1, 8, 8]), label: int64(labels, [64]) },
      { random: new Random(0) },
    );
    const expected = 1 + mean(bytes.map((byte) => (byte / 127.5 - 1) ** 2));
    expect(Math.abs(Number(result.loss.data[0]) - expected)).toBeLessThan(0.1);
  });

  it("of images draws its noise unchanged where the velocity is zero", async () => {
    const model = small(IMAGES);
    const session = await sessionOf(model);
    const { shape, data } = await model.sample(session, { count: 200, seed: 1, steps: 2, solver: "euler" });
    expect(shape).toEqual([200, 1, 8, 8]);
    const values = numbers({ dtype: "float32", shape, data });
    expect(Math.abs(mean(values) - 127.5)).toBeLessThan(5);
    expect(Math.abs(Math.sqrt(mean(values.map((value) => (value - 127.5) ** 2))) - 127.5)).toBeLessThan(5);
    await session.release();
  });

  it("draws the classes of samples without a label by their shares among the training samples", async () => {
    const weights = initialState(small(CLASSES), 0);
    const session = new Session(await nodeRuntime(), weights);
    const draw = async (classShares: readonly number[] | undefined, label?: number): Promise<number[]> =>
      numbers(
        await small({ ...CLASSES, ...(classShares && { classShares }) }).sample(session, {
          count: 400,
          seed: 1,
          steps: 2,
          ...(label !== undefined && { label }),
        }),
      );
    expect(await draw([0, 1, 0])).toEqual(await draw(undefined, 1));
    const perClass = [await draw(undefined, 0), await draw(undefined, 1), await draw(undefined, 2)];
    const counts = [0, 0, 0];
    const mixed = await draw([0.7, 0, 0.3]);
    for (let i = 0; i < 800; i += 2) {
      const found = perClass.findIndex((samples) => Math.abs((samples[i] ?? 0) - (mixed[i] ?? 0)) < 1e-6);
      counts[found] = (counts[found] ?? 0) + 1;
    }
    expect(counts[1]).toBe(0);
    // Four deviations of a binomial of 400.
    expect(Math.abs((counts[0] ?? 0) - 280)).toBeLessThan(37);
    expect((counts[0] ?? 0) + (counts[2] ?? 0)).toBe(400);
    await session.release();
  });

  it("samples do not depend on how many are drawn, but on seed, solver, class and guidance", async () => {
    const model = small(CLASSES);
    const session = await sessionOf(model);
    const shares: number[] = [];
    const base = { count: 4, seed: 3, steps: 4, label: 1 } as const;
    const draw = async (options: Parameters<RectifiedFlow["sample"]>[1]): Promise<number[]> =>
      numbers(await model.sample(session, options)).slice(0, 8);
    const first = await draw({ ...base, onProgress: (share) => shares.push(share) });
    const many = await draw({ ...base, count: 9000 });
    first.forEach((value, i) => {
      expect(value).toBeCloseTo(many[i] ?? Number.NaN, 4);
    });
    expect(shares.at(-1)).toBe(1);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
    for (const change of [
      { seed: 4 },
      { label: 2 },
      { guidance: 2 },
      { guidance: 0 },
      { solver: "euler" as const },
    ]) {
      expect(await draw({ ...base, ...change })).not.toEqual(first);
    }
    const unguided = { ...base, guidance: 0 };
    expect(await draw({ ...unguided, label: 0 })).toEqual(await draw(unguided));
    await session.release();
  });

  it("solvers agree as their steps get small", async () => {
    const model = small(POINTS);
    const session = await sessionOf(model);
    const exact = await model.sample(session, { count: 20, seed: 0, solver: "rk4", steps: 100 });
    for (const [solver, steps] of [
      ["euler", 400],
      ["midpoint", 100],
      ["heun", 100],
      ["dormand-prince", 1],
    ] as const) {
      const other = await model.sample(session, {
        count: 20,
        seed: 0,
        solver,
        steps,
        rtol: 1e-5,
        atol: 1e-5,
      });
      const errors = numbers(other).map((value, i) => Math.abs(value - (exact.data[i] ?? 0)));
      expect(Math.max(...errors)).toBeLessThan(0.02);
    }
    const stingy = {
      count: 2,
      seed: 0,
      solver: "dormand-prince",
      rtol: 1e-6,
      atol: 1e-6,
      maxEvaluations: 9,
    } as const;
    await expect(model.sample(session, stingy)).rejects.toThrow(SolverError);
    await session.release();
  });

  it("learns two moons", async () => {
    const data = planePoints("two-moons", { count: 4000 });
    const model = small(POINTS, { width: 64, depth: 3 });
    const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0.99 });
    const runtime = await nodeRuntime();
    const source = trainingBatches({ split: data.splits.train, batchSize: 256, random: new Random(0) });
    const start = { step: 0, vectors: initialVectors(tracer, source.random) };
    const trainer = await Trainer.create(tracer, source, runtime, start);
    for (let step = 0; step < 500; step++) await trainer.train(3e-3);
    const samples = await model.sample(new Session(runtime, await trainer.weights()), {
      count: 1000,
      seed: 1,
    });
    const test = data.splits.test.batch(Array.from({ length: 800 }, (_, i) => i)).x;
    const noise = new Float32Array(2000);
    new Random(2).fillNormal(noise);
    const untrained = slicedWasserstein(
      float32(
        noise.map((value) => 2 * value),
        [1000, 2],
      ),
      test,
    );
    expect(slicedWasserstein(samples, test)).toBeLessThan(0.3 * untrained);
    // Most samples lie where the data is dense; of wide noise few would.
    const likely = (points: NdArray<"float32">): number =>
      mean(
        Array.from({ length: 800 }, (_, i) =>
          (data.logDensity?.(points.data.subarray(2 * i, 2 * i + 2)) ?? 0) > -5 ? 1 : 0,
        ),
      );
    expect(likely(samples)).toBeGreaterThan(0.85);
    await trainer.release();
  });

  it("exports its velocity field with a symbolic batch", () => {
    const { outputs, description } = small(IMAGES).exported();
    expect(outputs.velocity?.shape).toEqual(["batch", 1, 8, 8]);
    expect(description).toContain("127.5");
    expect(small(POINTS).exported().outputs.velocity?.shape).toEqual(["batch", 2]);
  });

  it("names the option at fault", async () => {
    const session = await sessionOf(small(CLASSES));
    await expect(small(CLASSES).sample(session, { count: 1, seed: 0, label: 3 })).rejects.toThrow("0 to 2");
    await expect(small(POINTS).sample(session, { count: 1, seed: 0, label: 0 })).rejects.toThrow(OptionError);
    await expect(small(CLASSES).sample(session, { count: 1, seed: 0, steps: 0 })).rejects.toThrow("steps");
    await expect(small(CLASSES).sample(session, { count: 1.5, seed: 0 })).rejects.toThrow("count");
    const odd: DataInfo = { kind: "image", sampleShape: [1, 9, 9] };
    expect(small(odd).exported().outputs.velocity?.shape).toEqual(["batch", 1, 9, 9]);
    expect(() => small(odd, { multipliers: [1, 2] })).toThrow("9×9");
    expect(() => small(IMAGES, { attention: [3] })).toThrow("level 3");
  });

  it("has a description for every option", () => {
    for (const schema of [rectifiedFlowOptions, diffusionSampleOptions]) {
      for (const field of Object.values(schema.shape)) expect(field.description).toBeTruthy();
    }
    expect(rectifiedFlowDefinition.preferences?.(IMAGES).batchSize).toBe(32);
  });
});
