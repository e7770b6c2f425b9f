import { describe, expect, it } from "vitest";
import { type BoundParts, variationalBound } from "../../../src/diffusion/density/index.ts";
import { Ddpm, ddpmOptions } from "../../../src/diffusion/index.ts";
import { convertPrediction, type Predicted } from "../../../src/diffusion/objective/index.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, int64, type Tensor, zeros } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { exact, triangle, triangleDenoiser } from "../support.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const SMALL = { width: 16, depth: 2, channels: 16, multipliers: [1, 2] };
const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((a, b) => a + b, 0) / values.length;
const sum = ({ decoder, steps, prior }: BoundParts): number[] =>
  Array.from(decoder, (value, i) => value + (steps[i] ?? 0) + (prior[i] ?? 0));

/** A chain whose network is the best there is for the triangle. */
function knowing(options: Record<string, unknown>): Ddpm {
  const model = new Ddpm(ddpmOptions.parse({ ...SMALL, ...options }), POINTS);
  model.predict = (x: Tensor, time: Tensor): Predicted => {
    const data = triangleDenoiser(x, model.process, time);
    const point = model.process.symbolic(time.unsqueeze(1));
    return { output: convertPrediction(x, data, point, { from: "data", to: "v" }) };
  };
  return nameParameters(model);
}

async function sessionOf(model: object): Promise<Session> {
  return new Session(await nodeRuntime(), initialState(model, 0));
}

describe("the bound of a chain", () => {
  const inside = triangle.sample(400, new Random(2));
  // Points are halved on their way into a model, which is 2 log 2 of their density.
  const x = float32(
    inside.data.map((value) => 2 * value),
    inside.shape,
  );

  it.each(["lower", "upper"] as const)(
    "with %s variance is that of float64, and a bound",
    async (variance) => {
      const model = knowing({ noiseSteps: 60, variance });
      const session = await sessionOf(model);
      const parts = await model.boundParts(session, x, { terms: 59, seed: 1 });
      const { process } = model;
      if (!("steps" in process)) throw new Error("no chain");
      const reference = variationalBound({
        schedule: process,
        denoiser: exact(triangle, process),
        x: inside,
        variance,
        random: new Random(5),
      });
      const column = (from: number, to: number): number[] =>
        Array.from({ length: 400 }, (_, i) =>
          Array.from(reference.data.subarray(61 * i + from, 61 * i + to)).reduce((a, b) => a + b, 0),
        );
      // The same terms with other draws of the noise.
      expect(Math.abs(mean(parts.decoder) - mean(column(0, 1)) - 2 * Math.log(2))).toBeLessThan(0.15);
      expect(Math.abs(mean(parts.steps) / mean(column(1, 60)) - 1)).toBeLessThan(0.05);
      parts.prior.forEach((value, i) => {
        expect(value).toBeCloseTo(column(60, 61)[i] ?? 0, 5);
      });
      const truth = mean(triangle.logDensity(inside)) - 2 * Math.log(2);
      expect(mean(sum(parts))).toBeGreaterThan(-truth - 0.05);
      const { data } = await model.score(session, x, { terms: 59, seed: 1 });
      sum(parts).forEach((value, i) => {
        expect(data[i]).toBeCloseTo(-value, 4);
      });
      await session.release();
    },
  );

  it("is told term by term, which are those of float64 and sum to it", async () => {
    const model = knowing({ noiseSteps: 60, variance: "upper" });
    const session = await sessionOf(model);
    const { process } = model;
    if (!("steps" in process)) throw new Error("no chain");
    const bound = await model.boundParts(session, x, { terms: 59, seed: 1 });
    expect(bound.terms.map(({ first, last }) => [first, last])).toEqual(
      Array.from({ length: 61 }, (_, t) => [t, t]),
    );
    const reference = variationalBound({
      schedule: process,
      denoiser: exact(triangle, process),
      x: inside,
      variance: "upper",
      draws: 4,
      random: new Random(5),
    });
    for (const t of [1, 2, 5, 20, 59, 60]) {
      const column = Array.from({ length: 400 }, (_, i) => reference.data[61 * i + t] ?? 0);
      const own = mean(bound.terms[t]?.nats ?? []);
      // With other draws of the noise.
      expect(Math.abs(own / mean(column) - 1)).toBeLessThan(0.15);
    }
    const { parts, terms = [] } = await model.scoreParts(session, x, { terms: 7, seed: 1 });
    expect(terms).toHaveLength(9);
    terms.slice(1).forEach(({ first }, k) => {
      expect(first).toBe((terms[k]?.last ?? 0) + 1);
    });
    sum(await model.boundParts(session, x, { terms: 7, seed: 1 })).forEach((total, i) => {
      expect(terms.reduce((before, { nats }) => before + (nats[i] ?? 0), 0)).toBeCloseTo(total, 8);
      expect(Object.values(parts).reduce((before, part) => before + (part[i] ?? 0), 0)).toBeCloseTo(total, 8);
    });
    await session.release();
  });

  it("is right on average with few terms, and inside a graph", async () => {
    const model = knowing({ noiseSteps: 200 });
    const session = await sessionOf(model);
    const full = sum(await model.boundParts(session, x, { terms: 199 }));
    const few = await Promise.all(
      [1, 2, 3, 4].map(async (seed) => mean(sum(await model.boundParts(session, x, { terms: 13, seed })))),
    );
    expect(Math.abs(mean(few) - mean(full))).toBeLessThan(0.1);
    const graph = session.compiled(model, "logProb", ["x"], ({ x: given }) => ({
      logProb: model.logProb(given),
    }));
    const drawn = await Promise.all(
      [0, 1, 2, 3].map(async (seed) => {
        const { logProb } = await graph.run({ x }, { random: new Random(seed) });
        return mean(numbers(logProb));
      }),
    );
    expect(Math.abs(mean(drawn) + mean(full))).toBeLessThan(0.15);
    await session.release();
  });

  it("of bytes under a network that says nothing is in bits what can be written down", async () => {
    const info: DataInfo = { kind: "image", sampleShape: [1, 4, 4], classes: 3 };
    const model = nameParameters(
      new Ddpm(ddpmOptions.parse({ ...SMALL, prediction: "data", noiseSteps: 50, multipliers: [1] }), info),
    );
    const weights = new Map(
      [...initialState(model, 0)].map(([name, { shape }]) => [name, zeros("float32", shape)] as const),
    );
    const session = new Session(await nodeRuntime(), weights);
    const bytes = Array.from({ length: 2 * 16 }, (_, i) => (i * 71) % 256);
    const images = float32(bytes, [2, 1, 4, 4]);
    const { steps, prior } = await model.boundParts(session, images, {
      terms: 49,
      label: int64([0, 2], [2]),
    });
    // With D = 0 and the lower variance, terms are ½ (SNR_{t−1} − SNR_t) ‖x₀‖², which telescope.
    const { process } = model;
    if (!("steps" in process)) throw new Error("no chain");
    const snr = (t: number): number => (process.level(t).alpha / process.level(t).sigma) ** 2;
    [0, 1].forEach((i) => {
      const squares = bytes.slice(16 * i, 16 * (i + 1)).reduce((total, b) => total + (b / 127.5 - 1) ** 2, 0);
      expect((steps[i] ?? 0) / (((snr(1) - snr(50)) * squares) / 2)).toBeCloseTo(1, 4);
      expect(prior[i]).toBeGreaterThan(0);
    });
    expect(model.likelihood).toBe("bound");
    expect(model.likelihoodDetail).toContain("all its terms");
    await expect(model.boundParts(session, images, { terms: 0 })).rejects.toThrow(/terms/);
    await session.release();
  });
});
