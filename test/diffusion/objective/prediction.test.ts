import { describe, expect, it } from "vitest";
import { PATHS, type PathName, PREDICTIONS, WEIGHTINGS } from "../../../src/diffusion/index.ts";
import {
  convertPrediction,
  edmInput,
  lossWeight,
  type Prediction,
  type PredictionPoint,
  predictionChange,
  predictionTarget,
} from "../../../src/diffusion/objective/index.ts";
import { stochasticEquation } from "../../../src/diffusion/path/index.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, float32, input } from "../../../src/tensor/index.ts";

const names = Object.keys(PATHS) as PathName[];
const TIMES = [0.05, 0.3, 0.6, 0.95];
const [DATA, NOISE] = [0.7, -1.1];

/** What a perfect network says where data and noise are known. */
function truth(point: PredictionPoint<number>, prediction: Prediction): number {
  const { data, noise } = predictionTarget(point, prediction);
  return data * DATA + noise * NOISE;
}

describe("predictions", () => {
  it.each(names)("on the %s path turn into each other", (name) => {
    for (const time of TIMES) {
      const point = PATHS[name].at(time);
      const x = point.alpha * DATA + point.sigma * NOISE;
      for (const from of PREDICTIONS) {
        for (const to of PREDICTIONS) {
          const { state, output } = predictionChange(point, from, to);
          const found = state * x + output * truth(point, from);
          expect(Math.abs(found - truth(point, to)), `${from} to ${to}`).toBeLessThan(
            1e-9 * Math.max(1, Math.abs(state * x), Math.abs(truth(point, to))),
          );
        }
      }
    }
  });

  it("are those of the papers", () => {
    const point = PATHS.trigonometric.at(0.3);
    const { alpha, sigma, alphaRate, sigmaRate } = point;
    const x = alpha * DATA + sigma * NOISE;
    expect(truth(point, "v")).toBeCloseTo(alpha * NOISE - sigma * DATA, 12);
    expect(truth(point, "score")).toBeCloseTo(-(x - alpha * DATA) / sigma ** 2, 12);
    expect(truth(point, "velocity")).toBeCloseTo(alphaRate * DATA + sigmaRate * NOISE, 12);
    // On the unit circle v is the velocity by the angle: d(cos φ x₀ + sin φ ε) / dφ.
    expect(truth(point, "velocity")).toBeCloseTo((Math.PI / 2) * truth(point, "v"), 12);
  });

  it("make EDM's denoiser: D = c_skip x + c_out F(c_in x)", () => {
    const s = 0.7;
    for (const sigma of [0.01, 0.5, 40]) {
      const point = { alpha: 1, sigma, alphaRate: 0, sigmaRate: 1 };
      const { state, output } = predictionChange(point, "edm", "data", { dataDeviation: s });
      expect(state).toBeCloseTo(s ** 2 / (sigma ** 2 + s ** 2), 12);
      expect(output).toBeCloseTo((sigma * s) / Math.sqrt(sigma ** 2 + s ** 2), 12);
      const { scale, noiseCondition } = edmInput(point, { dataDeviation: s });
      expect(scale).toBeCloseTo(1 / Math.sqrt(sigma ** 2 + s ** 2), 12);
      expect(noiseCondition).toBeCloseTo(Math.log(sigma) / 4, 12);
      // The target has unit variance for data of deviation s.
      const target = predictionTarget(point, "edm", { dataDeviation: s });
      expect((target.data * s) ** 2 + target.noise ** 2).toBeCloseTo(1, 12);
      // A path that scales data changes units alone.
      const half = { alpha: 0.5, sigma: sigma / 2, alphaRate: 0, sigmaRate: 1 };
      expect(predictionChange(half, "edm", "data", { dataDeviation: s }).state).toBeCloseTo(2 * state, 12);
      expect(edmInput(half, { dataDeviation: s }).scale).toBeCloseTo(2 * scale, 12);
    }
  });

  it("are told from pure noise by v, data and velocity, not by noise", () => {
    const point = PATHS.linear.at(1);
    for (const from of ["data", "v", "velocity"] as const) {
      const { state, output } = predictionChange(point, from, "data");
      expect(state * NOISE + output * truth(point, from)).toBeCloseTo(DATA, 12);
    }
    expect(Number.isFinite(predictionChange(point, "noise", "data").output)).toBe(false);
  });

  it("turn into each other inside a graph", async () => {
    const t = input("t", [2, 1]);
    const point = PATHS.vp.symbolic(t);
    const x = constant(float32([0.3, -1, 2, 0.8], [2, 2]));
    const output = constant(float32([1.1, 0.4, -0.6, 2], [2, 2]));
    const times = [0.2, 0.7];
    for (const [from, to] of [
      ["noise", "data"],
      ["velocity", "score"],
      ["edm", "v"],
      ["data", "data"],
    ] as const) {
      const [found] = await evaluate(
        [convertPrediction(x, output, point, { from, to })],
        new Map([[t, float32(times, [2, 1])]]),
      );
      [0.3, -1, 2, 0.8].forEach((value, i) => {
        const change = predictionChange(PATHS.vp.at(times[Math.floor(i / 2)] ?? 0), from, to);
        const expected = change.state * value + change.output * ([1.1, 0.4, -0.6, 2][i] ?? 0);
        expect(Math.abs(Number(found?.data[i]) - expected)).toBeLessThan(
          2e-5 * Math.max(1, Math.abs(expected)),
        );
      });
    }
  });
});

describe("loss weights", () => {
  /** A loss whose network is wrong about the data by 0.1. */
  const lossOf = (
    point: PredictionPoint<number>,
    prediction: Prediction,
    weighting: (typeof WEIGHTINGS)[number],
  ): number => {
    const { output } = predictionChange(point, "data", prediction);
    return lossWeight(point, prediction, weighting).weight * (0.1 * output) ** 2;
  };

  it.each(names)("on the %s path are of the denoiser, whatever is predicted", (name) => {
    for (const time of TIMES) {
      const point = PATHS[name].at(time);
      for (const weighting of WEIGHTINGS) {
        const expected = lossOf(point, "data", weighting);
        for (const prediction of PREDICTIONS) {
          expect(lossOf(point, prediction, weighting) / expected).toBeCloseTo(1, 8);
        }
      }
    }
  });

  it.each(names)("on the %s path are those of the papers", (name) => {
    for (const time of TIMES) {
      const point = PATHS[name].at(time);
      const { alpha, sigma } = point;
      const snr = (alpha / sigma) ** 2;
      const ofData = (weighting: (typeof WEIGHTINGS)[number], options = {}) =>
        lossWeight(point, "data", weighting, options).weight;
      expect(ofData("noise") / snr).toBeCloseTo(1, 9);
      expect(ofData("truncated-snr") / Math.max(snr, 1)).toBeCloseTo(1, 9);
      expect(ofData("min-snr") / Math.min(snr, 5)).toBeCloseTo(1, 9);
      expect(ofData("min-snr", { gamma: 2 }) / Math.min(snr, 2)).toBeCloseTo(1, 9);
      if (Math.abs(alpha ** 2 + sigma ** 2 - 1) < 1e-9) expect(ofData("v") / (snr + 1)).toBeCloseTo(1, 9);
      const r = sigma / alpha;
      expect(ofData("edm") / ((r * r + 0.25) / (r * 0.5) ** 2)).toBeCloseTo(1, 9);
      // Likelihood weighting is g² of the score, and −dSNR/dt of the data (Kingma et al. 2021, equation 17).
      const { diffusionSquared } = stochasticEquation(point);
      expect(lossWeight(point, "score", "likelihood").weight / diffusionSquared).toBeCloseTo(1, 9);
      const h = 1e-5;
      const snrAt = (t: number) => (PATHS[name].at(t).alpha / PATHS[name].at(t).sigma) ** 2;
      expect(ofData("likelihood") / ((snrAt(time - h) - snrAt(time + h)) / (2 * h))).toBeCloseTo(1, 4);
    }
  });

  it("are finite at both ends for what is predicted there", async () => {
    const t = input("t", [2]);
    const point = PATHS.linear.symbolic(t);
    const weights = [
      lossWeight(point, "noise", "noise").weight,
      lossWeight(point, "velocity", "velocity").weight,
      lossWeight(point, "v", "truncated-snr").weight,
    ].map((weight) => weight.broadcastTo([2]));
    const found = await evaluate(weights, new Map([[t, float32([1e-3, 1], [2])]]));
    expect(found.map(({ data }) => Array.from(data, Number).every(Number.isFinite))).toEqual([
      true,
      true,
      true,
    ]);
  });
});
