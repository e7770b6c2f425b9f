import { describe, expect, it } from "vitest";
import { gaussianKl, priorTerm, stepTerm, variationalBound } from "../../../src/diffusion/density/index.ts";
import { DiscreteSchedule, GaussianMixture } from "../../../src/diffusion/index.ts";
import { type Denoiser, REVERSE_VARIANCES } from "../../../src/diffusion/solver/index.ts";
import { Random } from "../../../src/random.ts";
import type { NdArray } from "../../../src/tensor/index.ts";
import { exact, float64, plane, space } from "../support.ts";

const MIXTURES = { plane, space } as const;

/** Sums of the terms of each sample. */
function totals({ data, shape: [rows = 0, columns = 0] }: NdArray<"float64">): number[] {
  return Array.from({ length: rows }, (_, i) =>
    data.subarray(i * columns, (i + 1) * columns).reduce((sum, term) => sum + term, 0),
  );
}

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

function standardError(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)) / values.length);
}

describe("variational bound", () => {
  it("has the Kullback–Leibler divergence of Gaussians", () => {
    // ∫ p log(p / q) by the midpoint rule.
    const [m1, v1, m2, v2] = [0.3, 0.5, -0.4, 1.2];
    const log = (x: number, m: number, v: number) =>
      -((x - m) ** 2) / (2 * v) - Math.log(2 * Math.PI * v) / 2;
    let integral = 0;
    for (let x = -8; x < 8; x += 1e-3) {
      integral += 1e-3 * Math.exp(log(x, m1, v1)) * (log(x, m1, v1) - log(x, m2, v2));
    }
    expect(gaussianKl((m1 - m2) ** 2, v1, v2)).toBeCloseTo(integral, 9);
    const level = { time: 1, alpha: 0.1, sigma: Math.sqrt(0.99) };
    const expected = gaussianKl(0.01, 0.99, 1) + gaussianKl(0.04, 0.99, 1);
    expect(priorTerm([1, -2], level)).toBeCloseTo(expected, 12);
  });

  it("has for Gaussian data the terms that can be written down", () => {
    // For x₀ ~ N(0, s²) the posterior variance of x₀ given x_t is s² σ² / (α² s² + σ²); with the best denoiser it is the mean
    // squared error, and L_{t−1} with the lower variance is ½ (SNR(t − 1) − SNR(t)) times it (Kingma et al. 2021, equation 14).
    const s2 = 0.6;
    const data = new GaussianMixture([{ mean: [0], variance: s2 }]);
    const schedule = DiscreteSchedule.of("linear", { steps: 30, first: 0.005, last: 0.4 });
    const x = data.sample(400, new Random(1));
    const { data: terms } = variationalBound({
      schedule,
      denoiser: exact(data, schedule),
      x,
      draws: 20,
      random: new Random(2),
    });
    for (let t = 2; t <= 30; t += 4) {
      const [level, before] = [schedule.level(t), schedule.level(t - 1)];
      const snr = ({ alpha, sigma }: typeof level) => (alpha / sigma) ** 2;
      const error = (s2 * level.sigma ** 2) / (level.alpha ** 2 * s2 + level.sigma ** 2);
      const expected = (error * (snr(before) - snr(level))) / 2;
      const column = x.data.map((_, i) => terms[i * 31 + t - 1] ?? 0);
      expect(Math.abs(mean(column) / expected - 1)).toBeLessThan(0.06);
    }
  });

  it.each([
    ["plane", "lower"],
    ["plane", "upper"],
    ["space", "lower"],
    ["space", "upper"],
  ] as const)("of the %s is a bound on the exact log-likelihood with the %s variance", (name, variance) => {
    const mixture = MIXTURES[name];
    const x = mixture.sample(200, new Random(3));
    const exactly = mixture.logDensity(x);
    const gapOf = (steps: number): number => {
      const schedule = DiscreteSchedule.of("cosine", { steps });
      const denoiser = exact(mixture, schedule);
      const bound = totals(
        variationalBound({ schedule, denoiser, x, variance, draws: 6, random: new Random(4) }),
      );
      const gaps = bound.map((value, i) => value + (exactly[i] ?? 0));
      expect(mean(gaps)).toBeGreaterThan(-3 * standardError(gaps));
      return mean(gaps);
    };
    const [coarse, fine] = [gapOf(5), gapOf(60)];
    // With the variance that is right for a density, more steps make the bound tight. The lower one is right for points.
    if (variance === "upper") {
      expect(coarse).toBeGreaterThan(0.1 * mixture.dimensions);
      expect(fine).toBeLessThan(coarse / 3);
      expect(fine).toBeLessThan(0.05 * mixture.dimensions);
    } else expect(fine).toBeLessThan(mixture.dimensions);
  });

  it("is looser with a worse denoiser", () => {
    const schedule = DiscreteSchedule.of("cosine", { steps: 40 });
    const x = plane.sample(100, new Random(5));
    const best = exact(plane, schedule);
    const worse: Denoiser = (state, time) => {
      const { denoised } = best(state, time);
      return { denoised: { ...denoised, data: denoised.data.map((value) => 0.9 * value) } };
    };
    const of = (denoiser: Denoiser) =>
      mean(totals(variationalBound({ schedule, denoiser, x, draws: 2, random: new Random(6) })));
    expect(of(worse)).toBeGreaterThan(of(best) + 0.1);
  });

  it("with learned variances goes from the lower to the upper", () => {
    const schedule = DiscreteSchedule.of("cosine", { steps: 50 });
    const [t, s] = [schedule.level(20), schedule.level(19)];
    const given = { x: [0.5, -1], denoised: [0.2, -0.9] };
    const term = (v: number) => stepTerm({ ...given, variance: [v, v] }, t, s, "learned");
    expect(term(0)).toBeCloseTo(stepTerm(given, t, s, "lower"), 12);
    expect(term(1)).toBeCloseTo(stepTerm(given, t, s, "upper"), 12);
    const x = plane.sample(50, new Random(5));
    const best = exact(plane, schedule);
    const [lower = 0, upper = 0, learned = 0] = REVERSE_VARIANCES.map((variance) => {
      const denoiser: Denoiser = (state, time) => ({
        ...best(state, time),
        ...(variance === "learned" && { variance: { ...state, data: state.data.map(() => 0.3) } }),
      });
      return mean(totals(variationalBound({ schedule, denoiser, x, variance, random: new Random(6) })));
    });
    expect(learned).toBeLessThan(lower);
    expect(learned).toBeGreaterThan(upper);
  });

  it("decodes bytes: probabilities of all values sum to 1", () => {
    const schedule = DiscreteSchedule.of("cosine", { steps: 10 });
    const cells = 6;
    const values = Array.from({ length: cells }, (_, k) => [-1 + (2 * k) / (cells - 1)]);
    const constant: Denoiser = (state) => ({ denoised: { ...state, data: state.data.map(() => 0.13) } });
    const { data } = variationalBound({
      schedule,
      denoiser: constant,
      x: float64(values),
      variance: "upper",
      decoder: { cells },
      random: new Random(0),
    });
    const mass = values.reduce((sum, _, i) => sum + Math.exp(-(data[i * 11] ?? 0)), 0);
    expect(mass).toBeCloseTo(1, 12);
    // Far out the probability is too small to be written, its logarithm is not.
    const far: Denoiser = (state) => ({ denoised: { ...state, data: state.data.map(() => 9) } });
    const terms = variationalBound({
      schedule,
      denoiser: far,
      x: float64([[0]]),
      decoder: { cells: 256 },
      random: new Random(0),
    });
    expect(terms.data[0]).toBeGreaterThan(1000);
    expect(Number.isFinite(terms.data[0])).toBe(true);
    const below: Denoiser = (state) => ({ denoised: { ...state, data: state.data.map(() => -9) } });
    const mirrored = variationalBound({
      schedule,
      denoiser: below,
      x: float64([[0]]),
      decoder: { cells: 256 },
      random: new Random(0),
    });
    expect(mirrored.data[0]).toBeCloseTo(terms.data[0] ?? 0, 6);
  });

  it("names what is wrong", () => {
    const options = {
      denoiser: exact(plane, DiscreteSchedule.of("cosine", { steps: 3 })),
      x: float64([[0, 0]]),
      random: new Random(0),
    };
    const schedule = DiscreteSchedule.of("cosine", { steps: 3 });
    expect(() => variationalBound({ ...options, schedule: new DiscreteSchedule([1, 0.5]) })).toThrow(
      "two steps",
    );
    expect(() => variationalBound({ ...options, schedule, draws: 0 })).toThrow("draws");
    expect(() => variationalBound({ ...options, schedule, decoder: { cells: 1 } })).toThrow("cells");
  });
});
