import { describe, expect, it } from "vitest";
import {
  Edm,
  edmOptions,
  RectifiedFlow,
  rectifiedFlowOptions,
  ScoreSde,
  scoreSdeOptions,
} from "../../../src/diffusion/index.ts";
import { convertPrediction, type Predicted } from "../../../src/diffusion/objective/index.ts";
import type { Density } from "../../../src/model/capabilities.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, int64, type Tensor, zeros } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { float64, normals, triangle, triangleDenoiser } from "../support.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const SMALL = { width: 16, depth: 2, channels: 16, multipliers: [1, 2] };

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** A model whose network is the best there is for the triangle, in what its own network would say. */
function knowing<M extends new (...args: never[]) => ScoreSde | Edm | RectifiedFlow>(
  model: InstanceType<M>,
  prediction: "noise" | "edm" | "velocity",
): InstanceType<M> {
  model.predict = (x: Tensor, time: Tensor): Predicted => {
    // A velocity from a denoiser divides by the noise, of which there is none at time 0.
    const t = time.clamp(1e-4, 1);
    const data = triangleDenoiser(x, model.process, t);
    const point = model.process.symbolic(t.unsqueeze(1));
    const options = { dataDeviation: 1, from: "data", to: prediction } as const;
    return { output: convertPrediction(x, data, point, options) };
  };
  return nameParameters(model);
}

const sde = (options: Record<string, unknown>): ScoreSde =>
  new ScoreSde(scoreSdeOptions.parse({ ...SMALL, prediction: "noise", ...options }), POINTS);

const models = {
  vp: () => knowing(sde({}), "noise"),
  "sub-vp": () => knowing(sde({ path: "sub-vp" }), "noise"),
  ve: () => knowing(sde({ path: "ve", sigmaMin: 0.002, sigmaMax: 50 }), "noise"),
  edm: () => knowing(new Edm(edmOptions.parse(SMALL), POINTS), "edm"),
  trigonometric: () =>
    knowing(
      new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, path: "trigonometric" }), POINTS),
      "velocity",
    ),
} as const;

async function sessionOf(model: object, scale = 0.1): Promise<Session> {
  const random = new Random(7);
  const weights = new Map(
    [...initialState(model, 0)].map(([name, array]) => {
      const data = new Float32Array(array.data.length);
      random.split(name).fillNormal(data);
      return [
        name,
        float32(
          data.map((value) => scale * value),
          array.shape,
        ),
      ] as const;
    }),
  );
  return new Session(await nodeRuntime(), weights);
}

describe("log-density by the probability flow", () => {
  const inside = triangle.sample(12, new Random(2));
  // Points are halved on their way into a model.
  const x = float32(
    inside.data.map((value) => 2 * value),
    inside.shape,
  );
  const exact = Array.from(triangle.logDensity(inside), (value) => value - 2 * Math.log(2));

  it.each(Object.keys(models) as (keyof typeof models)[])(
    "of the exact score on the %s path is that of the mixture to 1e-3",
    async (name) => {
      const model = models[name]();
      const session = await sessionOf(model);
      const found = await model.score(session, x, { tolerance: 1e-5 });
      numbers(found).forEach((value, i) => {
        expect(Math.abs(value - (exact[i] ?? 0)), `sample ${i}`).toBeLessThan(1e-3);
      });
      await session.release();
    },
  );

  it("inside a graph is close to it, and Hutchinson's estimate is right on average", async () => {
    const model = models.vp();
    const session = await sessionOf(model);
    const graph = session.compiled(model, "logProb", ["x"], ({ x: given }) => ({
      logProb: model.logProb(given),
    }));
    const { logProb } = await graph.run({ x }, { random: new Random(0) });
    numbers(logProb).forEach((value, i) => {
      expect(Math.abs(value - (exact[i] ?? 0))).toBeLessThan(0.05);
    });
    const draws = await Promise.all(
      Array.from({ length: 24 }, (_, seed) =>
        model.score(session, x, { trace: "hutchinson", seed, tolerance: 1e-4 }),
      ),
    );
    exact.forEach((value, i) => {
      const estimates = draws.map(({ data }) => data[i] ?? 0);
      const spread = Math.sqrt(mean(estimates.map((estimate) => (estimate - mean(estimates)) ** 2)) / 24);
      expect(Math.abs(mean(estimates) - value)).toBeLessThan(5 * spread + 2e-3);
    });
    await session.release();
  });

  it("integrates to 1 for any network", async () => {
    const model = nameParameters(new RectifiedFlow(rectifiedFlowOptions.parse(SMALL), POINTS));
    const session = await sessionOf(model, 0.2);
    const [cells, half] = [48, 14];
    const at = (cell: number): number => -half + (2 * half * (cell + 0.5)) / cells;
    const grid = float32(
      Array.from({ length: cells * cells }, (_, i) => [at(i % cells), at(Math.floor(i / cells))]).flat(),
      [cells * cells, 2],
    );
    const { data } = await model.score(session, grid, { tolerance: 1e-3 });
    const total = data.reduce((sum, value) => sum + Math.exp(value) * ((2 * half) / cells) ** 2, 0);
    expect(Math.abs(total - 1)).toBeLessThan(0.01);
    await session.release();
  });

  it("of images whose network says nothing is that of the noise, dequantized", async () => {
    const info: DataInfo = { kind: "image", sampleShape: [1, 5, 5] };
    const model = nameParameters(
      new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, multipliers: [1] }), info),
    );
    const weights = new Map(
      [...initialState(model, 0)].map(([name, { shape }]) => [name, zeros("float32", shape)] as const),
    );
    const session = new Session(await nodeRuntime(), weights);
    const images = float32(
      Array.from({ length: 3 * 25 }, (_, i) => (i * 37) % 256),
      [3, 1, 5, 5],
    );
    const found = await model.score(session, images);
    // Without a velocity the density is that of standard normal noise at the dequantized bytes, (b + u − 127.5) / 127.5.
    const average = (b: number): number => {
      const values = Array.from(
        { length: 101 },
        (_, k) => ((b + (k + 0.5) / 101 - 0.5 - 127.5) / 127.5) ** 2,
      );
      return -(mean(values) + Math.log(2 * Math.PI)) / 2 - Math.log(127.5);
    };
    numbers(found).forEach((value, i) => {
      const expected = numbers(images)
        .slice(25 * i, 25 * (i + 1))
        .reduce((sum, b) => sum + average(b), 0);
      expect(Math.abs(value - expected)).toBeLessThan(0.05);
    });
    expect(model.likelihood).toBe("bound");
    expect(model.likelihoodDetail).toMatch(/Hutchinson.*dequantization/);
    // What it is called is a type that a model with a density has.
    const density: Density = model;
    expect(density.likelihood).toBe("bound");
    await session.release();
  });

  it("of a model of classes is that of the class told, of any class, or weighs them where none was hidden", async () => {
    const info: DataInfo = { kind: "points", sampleShape: [2], classes: 3, classShares: [0.5, 0, 0.5] };
    const build = (classDropout: number): RectifiedFlow =>
      nameParameters(new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, classDropout }), info));
    const points = float32(normals(3, [4, 2]).data, [4, 2]);
    const under = async (model: RectifiedFlow, label?: number): Promise<number[]> => {
      const session = await sessionOf(model);
      const told = label === undefined ? {} : { label: int64(new Array<number>(4).fill(label), [4]) };
      const { data } = await model.score(session, points, told);
      await session.release();
      return Array.from(data);
    };
    const [first, third] = [await under(build(0), 0), await under(build(0), 2)];
    expect(first).not.toEqual(third);
    const mixed = first.map((value, i) => Math.log((Math.exp(value) + Math.exp(third[i] ?? 0)) / 2));
    (await under(build(0))).forEach((value, i) => {
      expect(value).toBeCloseTo(mixed[i] ?? 0, 3);
    });
    // With a hidden class the network has a say of its own on any.
    expect(await under(build(0.1))).not.toEqual(await under(build(0)));
  });

  it("of a table is exact in its columns' units, by a copy of the batch for each", async () => {
    const info: DataInfo = { kind: "table", sampleShape: [3] };
    const model = nameParameters(new RectifiedFlow(rectifiedFlowOptions.parse(SMALL), info));
    const session = await sessionOf(model, 0.3);
    const rows = float32(normals(8, [5, 3]).data, [5, 3]);
    const exactly = await model.score(session, rows);
    const estimated = await Promise.all(
      Array.from({ length: 10 }, (_, seed) => model.score(session, rows, { trace: "hutchinson", seed })),
    );
    numbers(exactly).forEach((value, i) => {
      const estimates = estimated.map(({ data }) => data[i] ?? 0);
      const spread = Math.sqrt(mean(estimates.map((estimate) => (estimate - mean(estimates)) ** 2)) / 10);
      expect(Math.abs(mean(estimates) - value)).toBeLessThan(5 * spread + 1e-3);
    });
    await session.release();
  });
});

describe("the mixture of the tests", () => {
  it("has zero mean and unit variance, as the ends of the paths take", () => {
    const { data } = triangle.sample(4000, new Random(1));
    expect(Math.abs(mean(Array.from(data)))).toBeLessThan(0.05);
    expect(Math.abs(mean(Array.from(data, (value) => value * value)) - 1)).toBeLessThan(0.05);
    expect(triangle.logDensity(float64([[0, 0]]))).toHaveLength(1);
  });
});
