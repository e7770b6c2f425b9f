import { describe, expect, it } from "vitest";
import { GaussianMixture, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import type { NoiseLevel } from "../../../src/diffusion/path/index.ts";
import { Random } from "../../../src/random.ts";
import { float64, plane, relativeDifference, space } from "../support.ts";

const LEVEL: NoiseLevel = { time: 0.5, alpha: 0.8, sigma: 0.6 };

describe("Gaussian mixture", () => {
  it("has a density that integrates to 1, with the moments of its samples", () => {
    const [step, reach] = [0.05, 7];
    let [mass, mean, square] = [0, 0, 0];
    for (let x = -reach; x <= reach; x += step) {
      for (let y = -reach; y <= reach; y += step) {
        const share = Math.exp(plane.posterior([x, y], LEVEL).logDensity) * step * step;
        mass += share;
        mean += share * y;
        square += share * x * y;
      }
    }
    expect(mass).toBeCloseTo(1, 6);
    const { data } = plane.sample(20_000, new Random(0), LEVEL);
    let [sampled, crossed] = [0, 0];
    for (let i = 0; i < data.length; i += 2) {
      sampled += (data[i + 1] ?? 0) / 20_000;
      crossed += ((data[i] ?? 0) * (data[i + 1] ?? 0)) / 20_000;
    }
    expect(Math.abs(sampled - mean)).toBeLessThan(0.03);
    expect(Math.abs(crossed - square)).toBeLessThan(0.04);
  });

  it.each([
    ["plane", plane],
    ["space", space],
  ] as const)("of the %s has the score of finite differences, and Tweedie's denoiser", (_, mixture) => {
    const h = 1e-5;
    const { data } = mixture.sample(5, new Random(1), LEVEL);
    for (let row = 0; row < 5; row++) {
      const x = data.subarray(row * mixture.dimensions, (row + 1) * mixture.dimensions);
      const { score, mean } = mixture.posterior(x, LEVEL);
      const slopes = x.map((_, i) => {
        const at = (by: number) => mixture.posterior(x.with(i, (x[i] ?? 0) + by), LEVEL).logDensity;
        return (at(h) - at(-h)) / (2 * h);
      });
      expect(relativeDifference(score, slopes)).toBeLessThan(1e-7);
      // E[x₀ | x] = (x + σ² ∇ log p(x)) / α.
      const tweedie = x.map((value, i) => (value + LEVEL.sigma ** 2 * (score[i] ?? 0)) / LEVEL.alpha);
      expect(relativeDifference(mean, tweedie)).toBeLessThan(1e-12);
    }
  });

  it("has the posterior mean and variance of an integral over the data", () => {
    const line = new GaussianMixture([
      { weight: 1, mean: [-1], variance: 0.3 },
      { weight: 2, mean: [0.5], kind: "full", covariance: [[0.02]] },
    ]);
    const x = 0.3;
    let [mass, first, second] = [0, 0, 0];
    for (let data = -8; data <= 8; data += 1e-3) {
      const likelihood = Math.exp(-((x - LEVEL.alpha * data) ** 2) / (2 * LEVEL.sigma ** 2));
      const share = likelihood * Math.exp(line.posterior([data]).logDensity);
      mass += share;
      first += share * data;
      second += share * data * data;
    }
    const { mean, trace } = line.posterior([x], LEVEL);
    expect(mean[0]).toBeCloseTo(first / mass, 9);
    expect(trace).toBeCloseTo(second / mass - (first / mass) ** 2, 9);
  });

  it("of single points is a data set: the denoiser weighs the points", () => {
    const points = new GaussianMixture([
      { mean: [0, 1], variance: 0 },
      { mean: [2, 0], variance: 0 },
    ]);
    const { denoised, x } = { x: float64([[1.2, 0.1]]), denoised: [0, 0] };
    const weights = [
      [0, 1],
      [2, 0],
    ].map(([a = 0, b = 0]) =>
      Math.exp(-((1.2 - 0.8 * a) ** 2 + (0.1 - 0.8 * b) ** 2) / (2 * LEVEL.sigma ** 2)),
    );
    const total = (weights[0] ?? 0) + (weights[1] ?? 0);
    denoised[0] = (2 * (weights[1] ?? 0)) / total;
    denoised[1] = (weights[0] ?? 0) / total;
    expect(relativeDifference(points.denoise(x, LEVEL).data, denoised)).toBeLessThan(1e-12);
    expect(relativeDifference(points.score(x, LEVEL).data, points.posterior(x.data, LEVEL).score)).toBe(0);
    expect(points.logDensity(x, LEVEL)[0]).toBe(points.posterior(x.data, LEVEL).logDensity);
  });

  it.each(Object.keys(PATHS) as PathName[])("has the divergence of its velocity on the %s path", (name) => {
    const h = 1e-5;
    for (const time of [0.2, 0.5, 0.9]) {
      const point = PATHS[name].at(time);
      const x = plane.sample(4, new Random(2), point);
      const { divergence } = plane.velocity(x, point);
      const differences = [0, 1, 2, 3].map((row) =>
        [0, 1].reduce((sum, k) => {
          const scale = h * Math.max(1, point.sigma);
          const at = (by: number) =>
            plane.velocity({ ...x, data: x.data.with(2 * row + k, (x.data[2 * row + k] ?? 0) + by) }, point)
              .velocity.data[2 * row + k] ?? 0;
          return sum + (at(scale) - at(-scale)) / (2 * scale);
        }, 0),
      );
      expect(relativeDifference(divergence, differences)).toBeLessThan(1e-6);
    }
  });

  it("names what is wrong", () => {
    expect(() => new GaussianMixture([])).toThrow("component");
    const first = { mean: [0, 0], variance: 1 };
    expect(() => new GaussianMixture([first, { mean: [0], variance: 1 }])).toThrow("component 1");
    expect(() => new GaussianMixture([{ ...first, weight: 0 }])).toThrow("weight");
    expect(() => new GaussianMixture([{ mean: [0, 0], variance: [1, -1] }])).toThrow("negative");
    expect(() => new GaussianMixture([{ mean: [0, 0], kind: "full", covariance: [[1, 0]] }])).toThrow(
      "2 dimensions",
    );
    expect(() => plane.posterior([1])).toThrow("1 numbers");
  });
});
