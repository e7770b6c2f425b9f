import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  Ddpm,
  type DiffusionModel,
  DiscreteSchedule,
  ddpmOptions,
  diffusionSampleOptions,
  Edm,
  edmOptions,
  PATHS,
  type PathName,
  RectifiedFlow,
  rectifiedFlowOptions,
  ScoreSde,
  SOLVERS,
  scoreSdeOptions,
} from "../../../src/diffusion/index.ts";
import {
  coupledNoise,
  logNormalTimes,
  logRatioTimes,
  sampleTimes,
  stepTimes,
} from "../../../src/diffusion/objective/index.ts";
import { solvers, solversFor } from "../../../src/diffusion/solver/index.ts";
import { parseSampleOptions } from "../../../src/diffusion/solver/options.ts";
import { OptionError } from "../../../src/errors.ts";
import { assign } from "../../../src/metrics/transport.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { compile, Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, int64, type NdArray, type Tensor, zeros } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { normals } from "../support.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const CLASSES: DataInfo = { kind: "points", sampleShape: [2], classes: 3 };
const IMAGES: DataInfo = { kind: "image", sampleShape: [1, 8, 8], classes: 4 };
const SMALL = { width: 16, depth: 2, channels: 16, multipliers: [1, 2] };

const makers: Readonly<
  Record<string, (data: DataInfo, options?: Record<string, unknown>) => DiffusionModel>
> = {
  ddpm: (data, options) => new Ddpm(ddpmOptions.parse({ ...SMALL, ...options }), data),
  "ddpm, noise": (data, options) =>
    new Ddpm(ddpmOptions.parse({ ...SMALL, prediction: "noise", ...options }), data),
  "ddpm, learned variance": (data, options) =>
    new Ddpm(ddpmOptions.parse({ ...SMALL, variance: "learned", ...options }), data),
  "ddpm, zero terminal SNR": (data, options) =>
    new Ddpm(ddpmOptions.parse({ ...SMALL, zeroTerminal: true, ...options }), data),
  "score-sde vp": (data, options) => new ScoreSde(scoreSdeOptions.parse({ ...SMALL, ...options }), data),
  "score-sde vp, noise": (data, options) =>
    new ScoreSde(scoreSdeOptions.parse({ ...SMALL, prediction: "noise", ...options }), data),
  "score-sde ve": (data, options) =>
    new ScoreSde(scoreSdeOptions.parse({ ...SMALL, path: "ve", ...options }), data),
  "score-sde sub-vp": (data, options) =>
    new ScoreSde(scoreSdeOptions.parse({ ...SMALL, path: "sub-vp", ...options }), data),
  edm: (data, options) => new Edm(edmOptions.parse({ ...SMALL, ...options }), data),
  "rectified flow": (data, options) =>
    new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, ...options }), data),
  "trigonometric flow": (data, options) =>
    new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, path: "trigonometric", ...options }), data),
};

const modelOf = (name: string, data: DataInfo, options?: Record<string, unknown>): DiffusionModel => {
  const make = makers[name];
  if (make === undefined) throw new Error(`no model ${name}`);
  return nameParameters(make(data, options));
};

/** A session with weights drawn at random, so that networks say something. */
async function sessionOf(model: DiffusionModel): Promise<Session> {
  const random = new Random(7);
  const weights = new Map(
    [...initialState(model, 0)].map(([name, array]) => {
      const data = new Float32Array(array.data.length);
      random.split(name).fillNormal(data);
      return [
        name,
        float32(
          data.map((value) => 0.1 * value),
          array.shape,
        ),
      ] as const;
    }),
  );
  return new Session(await nodeRuntime(), weights);
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

async function drawn(body: () => Tensor): Promise<number[]> {
  const compiled = compile([], () => ({ values: body() }), { runtime: await nodeRuntime() });
  return numbers((await compiled.run({}, { random: new Random(3) })).values);
}

/** E of the squared target for standard normal data: of noise, v and EDM's F it is 1, of ε − x₀ it is 2. */
function targetSquare(name: string): number {
  if (name === "rectified flow") return 2;
  return name === "trigonometric flow" ? (Math.PI / 2) ** 2 : 1;
}

describe("chains in a graph", () => {
  it("have the levels of the chain, between its steps too, and keep their digits at both ends", async () => {
    const schedule = DiscreteSchedule.of("linear", { steps: 50, zeroTerminal: true });
    const times = [0.02, 0.5, 0.98, 1, 0.513, 0.011];
    const point = schedule.symbolic(constant(float32(times, [times.length])));
    const [alpha, sigma] = await evaluate([point.alpha, point.sigma]);
    times.forEach((time, i) => {
      const exact = schedule.at(Math.fround(time));
      expect(numbers(alpha)[i]).toBeCloseTo(exact.alpha, 6);
      expect(Math.abs((numbers(sigma)[i] ?? 0) / exact.sigma - 1)).toBeLessThan(1e-5);
    });
    expect(numbers(alpha)[3]).toBe(0);
  });
});

describe("training times", () => {
  it("of mode are the image of uniform numbers under equation 20 of Esser et al. 2024", async () => {
    const scale = 1.29;
    const times = (await drawn(() => sampleTimes("mode", 20_000, { scale }))).sort((a, b) => a - b);
    const map = (u: number): number => 1 - u - scale * (Math.cos((Math.PI * u) / 2) ** 2 - 1 + u);
    for (const u of [0.1, 0.25, 0.5, 0.75, 0.9]) {
      // The map falls, so that the share of times below map(u) is 1 − u.
      const below = times.filter((t) => t < map(u)).length / times.length;
      expect(Math.abs(below - (1 - u))).toBeLessThan(0.015);
    }
  });

  it.each(["linear", "trigonometric", "vp", "sub-vp", "ve", "cosine", "edm"] as const)(
    "on the %s path are uniform in log(σ / α) between two times",
    async (name: PathName) => {
      const path = PATHS[name];
      const [from, to] = [0.1, 0.9];
      const logRatio = (t: number): number => Math.log(path.at(t).sigma / path.at(t).alpha);
      const times = await drawn(() => logRatioTimes(path, 4000, from, to));
      const places = times.map((t) => (logRatio(t) - logRatio(from)) / (logRatio(to) - logRatio(from)));
      expect(Math.min(...places)).toBeGreaterThan(-1e-3);
      expect(Math.max(...places)).toBeLessThan(1 + 1e-3);
      expect(Math.abs(mean(places) - 1 / 2)).toBeLessThan(0.02);
      expect(Math.abs(mean(places.map((p) => p * p)) - 1 / 3)).toBeLessThan(0.02);
    },
  );

  it("of EDM have normal log σ, and those of a chain are its steps", async () => {
    const times = await drawn(() => logNormalTimes(PATHS.edm, 20_000, -1.2, 1.2));
    // σ(t) of the path, whose formula goes on below 0.
    const root = (t: number): number => 0.002 ** (1 / 7) + t * (80 ** (1 / 7) - 0.002 ** (1 / 7));
    const logs = times.map((t) => 7 * Math.log(root(t)));
    expect(Math.abs(mean(logs) + 1.2)).toBeLessThan(0.03);
    expect(Math.abs(Math.sqrt(mean(logs.map((x) => (x + 1.2) ** 2))) - 1.2)).toBeLessThan(0.03);
    const steps = (await drawn(() => stepTimes(8, 4000))).map((t) => 8 * t);
    expect([...new Set(steps)].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe("coupling", () => {
  it("permutes the noise of a batch, without a pair left to exchange, near the best assignment", async () => {
    const [rows, size] = [64, 2];
    const data = normals(1, [rows, size]);
    const noise = normals(2, [rows, size]);
    const [coupled] = await evaluate([coupledNoise(constant(data), constant(noise))]);
    const rowsOf = (array: NdArray | undefined): number[][] =>
      Array.from({ length: rows }, (_, i) => numbers(array).slice(i * size, (i + 1) * size));
    expect(rowsOf(coupled).map(String).sort()).toEqual(rowsOf(noise).map(String).sort());
    const distance = (a: readonly number[] = [], b: readonly number[] = []): number =>
      a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);
    const costOf = (x: number[][], y: number[][]): number =>
      x.reduce((sum, row, i) => sum + distance(row, y[i]), 0);
    const matrix = Float64Array.from(rowsOf(data).flatMap((x) => rowsOf(noise).map((y) => distance(x, y))));
    const best = assign(matrix, rows, rows).cost;
    const independent = costOf(rowsOf(data), rowsOf(noise));
    const own = costOf(rowsOf(data), rowsOf(coupled));
    expect(own).toBeGreaterThan(best - 1e-4);
    // At least 98 % of what the best assignment saves.
    expect(independent - own).toBeGreaterThan(0.98 * (independent - best));
  });
});

describe("solver registry", () => {
  it("refuses solvers of differential equations on a chain, naming those that can", () => {
    const chain = modelOf("ddpm", POINTS);
    expect(solversFor(chain.subject)).toEqual(["ddpm", "ddim", "dpm++", "edm", "predictor-corrector"]);
    expect(() => chain.plan(parseSampleOptions({ solver: "heun" }))).toThrow(
      /option solver: heun .* chain of steps; choose ddpm, ddim, dpm\+\+, edm, predictor-corrector/,
    );
    const terminal = modelOf("ddpm, zero terminal SNR", POINTS);
    expect(() => terminal.plan(parseSampleOptions({ solver: "edm" }))).toThrow(/ends without any/);
    expect(() => terminal.plan(parseSampleOptions({ solver: "dpm++", spacing: "log-snr" }))).toThrow(
      /spacing/,
    );
    for (const name of ["score-sde vp", "score-sde ve", "score-sde sub-vp", "edm", "rectified flow"]) {
      expect(solversFor(modelOf(name, POINTS).subject), name).toEqual([...SOLVERS]);
    }
  });

  it("refuses an option of another solver, naming whose it is", () => {
    const flow = modelOf("rectified flow", POINTS);
    expect(() => flow.plan(parseSampleOptions({ eta: 0.5 }))).toThrow(/option eta: is of ddim, .* heun/);
    expect(() => flow.plan(parseSampleOptions({ solver: "ddpm", variance: "learned" }))).toThrow(/variance/);
    expect(() => flow.plan(parseSampleOptions({ solver: "ddim", spacing: "trailing" }))).toThrow(/spacing/);
    expect(() => modelOf("ddpm", POINTS, { noiseSteps: 40 }).plan(parseSampleOptions({ steps: 41 }))).toThrow(
      /steps/,
    );
  });

  it.each(SOLVERS)("%s makes as many evaluations as it says", (solver) => {
    const model = modelOf("score-sde vp", POINTS);
    for (const steps of [1, 2, 7]) {
      const said = solvers[solver].evaluations?.(steps, {});
      const plan = model.plan(parseSampleOptions({ solver, steps }));
      if (plan.kind === "table") expect(plan.table.rows).toHaveLength(said ?? -1);
      else if (said !== undefined) expect(plan.times).toHaveLength(steps + 1);
    }
  });
});

describe.each(Object.keys(makers))("%s", (name) => {
  it("has the loss that is known for a network that says nothing, of standard normal data", async () => {
    const model = modelOf(name, POINTS);
    const weights = new Map(
      [...initialState(model, 0)].map(([key, { shape }]) => [key, zeros("float32", shape)] as const),
    );
    const loss = compile(["x"], ({ x }): Readonly<Record<string, Tensor>> => ({ ...model.loss({ x }) }), {
      runtime: await nodeRuntime(),
      weights,
    });
    // Points are halved on their way into the model.
    const x = float32(
      normals(4, [20_000, 2]).data.map((value) => 2 * value),
      [20_000, 2],
    );
    const { total, simple = total } = await loss.run({ x }, { random: new Random(0) });
    expect(Math.abs(Number(simple?.data[0]) / targetSquare(name) - 1)).toBeLessThan(0.03);
  });

  it("draws the same samples however many there are, with every solver that can", async () => {
    const model = modelOf(name, CLASSES);
    const session = await sessionOf(model);
    for (const solver of solversFor(model.subject)) {
      const settings = {
        solver,
        seed: 3,
        label: 1,
        guidance: 1.5,
        ...(solver !== "dormand-prince" && { steps: 4 }),
      };
      const few = await model.sample(session, { ...settings, count: 2, rtol: 1e-5, atol: 1e-5 });
      const many = await model.sample(session, { ...settings, count: 5, rtol: 1e-5, atol: 1e-5 });
      numbers(few).forEach((value, i) => {
        const other = many.data[i] ?? Number.NaN;
        expect(Math.abs(value - other) / (1 + Math.abs(other)), `${solver} ${i}`).toBeLessThan(1e-3);
      });
    }
    await session.release();
  });

  it("of images takes labels, guidance and clipping", async () => {
    const model = modelOf(name, IMAGES);
    const session = await sessionOf(model);
    const base = { count: 2, seed: 1, label: 2, steps: 3 } as const;
    const shares: number[] = [];
    const first = await model.sample(session, { ...base, onProgress: (share) => shares.push(share) });
    expect(first.shape).toEqual([2, 1, 8, 8]);
    expect(shares.at(-1)).toBe(1);
    expect(shares.length).toBeGreaterThan(3);
    const others = await Promise.all(
      [{ label: 3 }, { guidance: 1 }, { seed: 2 }].map((change) =>
        model.sample(session, { ...base, ...change }),
      ),
    );
    for (const other of others) expect(numbers(other)).not.toEqual(numbers(first));
    const clipped = await model.sample(session, { ...base, clip: true, solver: "ddim" });
    expect(Math.max(...clipped.data)).toBeLessThanOrEqual(255);
    expect(Math.min(...clipped.data)).toBeGreaterThanOrEqual(0);
    await session.release();
  });
});

describe("guidance", () => {
  it("is (1 − w) any + w class in one evaluation of a doubled batch", async () => {
    const model = modelOf("score-sde vp", CLASSES);
    const session = await sessionOf(model);
    const x = normals(5, [3, 2]);
    const velocityOf = async (condition: { labels?: readonly number[]; guidance?: number }) =>
      numbers(await model.velocity(session, condition, 3)(x, 0.4));
    const labels = [0, 2, 1];
    const [any, told, guided] = [
      await velocityOf({}),
      await velocityOf({ labels }),
      await velocityOf({ labels, guidance: 2.5 }),
    ];
    guided.forEach((value, i) => {
      expect(value).toBeCloseTo(-1.5 * (any[i] ?? 0) + 2.5 * (told[i] ?? 0), 4);
    });
    await session.release();
  });
});

describe("one network, many views", () => {
  it.each(Object.keys(makers))(
    "%s: denoiser, noise, score and velocity are those of one point",
    async (name) => {
      const model = modelOf(name, POINTS);
      const { runtime, weights } = await sessionOf(model);
      await fc.assert(
        fc.asyncProperty(fc.double({ min: 0.2, max: 0.9, noNaN: true }), async (wanted) => {
          const { process } = model;
          // A chain is asked at its steps.
          const time = process instanceof DiscreteSchedule ? Math.round(1000 * wanted) / 1000 : wanted;
          const views = compile(
            ["x", "t"],
            ({ x, t }) => {
              const { output } = model.predict(x, t);
              return {
                data: model.convert(x, output, t, "data"),
                noise: model.convert(x, output, t, "noise"),
                score: model.convert(x, output, t, "score"),
              };
            },
            { runtime, weights },
          );
          const x = normals(6, [4, 2]);
          const seen = await views.run({ x, t: float32(new Float32Array(4).fill(time), [4]) });
          const { alpha, sigma } = process.at(Math.fround(time));
          const size = Math.max(1, ...numbers(seen.data).map(Math.abs)) * alpha;
          numbers(x).forEach((value, i) => {
            const [data, noise] = [numbers(seen.data)[i] ?? 0, numbers(seen.noise)[i] ?? 0];
            expect(Math.abs(alpha * data + sigma * noise - value) / (1 + size)).toBeLessThan(1e-3);
            expect(Math.abs(-sigma * (numbers(seen.score)[i] ?? 0) - noise)).toBeLessThan(
              1e-3 * (1 + Math.abs(noise)),
            );
          });
        }),
        { numRuns: 5 },
      );
    },
  );
});

describe("options", () => {
  it("that do not go together are refused by name", () => {
    const image: DataInfo = IMAGES;
    expect(() => modelOf("ddpm, noise", POINTS, { zeroTerminal: true })).toThrow(/zeroTerminal/);
    expect(() => modelOf("ddpm", POINTS, { loss: "hybrid" })).toThrow(/option loss/);
    expect(() => modelOf("ddpm", POINTS, { variance: "learned", loss: "simple" })).toThrow(/option loss/);
    expect(() => modelOf("score-sde vp", image, { matching: "sliced" })).toThrow(/option matching/);
    expect(() => modelOf("score-sde vp", POINTS, { matching: "sliced", weighting: "likelihood" })).toThrow(
      OptionError,
    );
    expect(() => modelOf("edm", { kind: "binary", sampleShape: [4] })).toThrow(OptionError);
  });

  it("have descriptions", () => {
    for (const schema of [
      ddpmOptions,
      scoreSdeOptions,
      edmOptions,
      rectifiedFlowOptions,
      diffusionSampleOptions,
    ]) {
      for (const [name, field] of Object.entries(schema.shape)) expect(field.description, name).toBeTruthy();
    }
  });

  it("of labels are checked", async () => {
    const model = modelOf("edm", CLASSES);
    const session = await sessionOf(model);
    await expect(model.sample(session, { count: 1, seed: 0, label: 3 })).rejects.toThrow("0 to 2");
    expect(() => model.loss({ x: constant(float32([0, 0], [1, 2])) })).toThrow(/labels/);
    const fitting = model.loss({
      x: constant(float32([0, 0], [1, 2])),
      label: constant(int64([1], [1])),
    });
    expect(fitting.total.shape).toEqual([]);
    await session.release();
  });
});
