import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { type Kernel, maximumMeanDiscrepancy } from "../../src/metrics/index.ts";
import { float32 } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian, matrix } from "./support.ts";

describe("maximum mean discrepancy", () => {
  const cases: readonly (readonly [keyof typeof fixture.discrepancies, Kernel])[] = [
    ["gaussian", { kind: "gaussian" }],
    ["gaussianOne", { kind: "gaussian", bandwidths: [0.7] }],
    ["laplacian", { kind: "laplacian" }],
    ["inverseMultiquadric", { kind: "inverse-multiquadric" }],
    ["linear", { kind: "linear" }],
    ["polynomial", { kind: "polynomial" }],
  ];

  it.each(cases)(`with the kernel %s agrees with ${fixture.by}`, (name, kernel) => {
    for (const [x, y, expected] of [
      [fixture.x, fixture.y, fixture.discrepancies],
      [...fixture.wide, fixture.wideDiscrepancies],
    ] as const) {
      const { squared, pValue } = maximumMeanDiscrepancy(matrix(x), matrix(y), { kernel });
      expect(squared).toBeCloseTo(expected[name], 10);
      expect(pValue).toBeUndefined();
      // With permutations it is computed by another way.
      const tested = maximumMeanDiscrepancy(matrix(x), matrix(y), { kernel, permutations: 3 });
      expect(tested.squared).toBeCloseTo(squared, 10);
      const turned = maximumMeanDiscrepancy(matrix(y), matrix(x), { kernel, permutations: 3 });
      expect(turned.squared).toBeCloseTo(squared, 10);
    }
  });

  it("takes multiples of the median distance for bandwidths", () => {
    const { bandwidths } = maximumMeanDiscrepancy(matrix(fixture.x), matrix(fixture.y));
    const { median } = fixture.discrepancies;
    for (const [i, factor] of [0.25, 0.5, 1, 2, 4].entries()) {
      expect(bandwidths[i]).toBeCloseTo(factor * median, 10);
    }
  });

  it("takes the median of a part of many samples", () => {
    // The distance of two standard normal points of the plane has Rayleigh's distribution: median √2 √(2 ln 2).
    const { bandwidths } = maximumMeanDiscrepancy(gaussian(1, 900, 2), gaussian(2, 400, 2));
    expect(Math.abs((bandwidths[2] ?? 0) - 2 * Math.sqrt(Math.LN2))).toBeLessThan(0.05);
  });

  it("between Gaussians has a closed form", () => {
    // E k(X, Y) = (σ² / (σ² + s² + t²))^(d/2) exp(−|μ − ν|² / 2(σ² + s² + t²)) for deviations s, t and a Gaussian kernel.
    const [sigma, s, t, shift, d] = [1.5, 1, 0.6, 0.8, 2];
    const mean = (variance: number, apart: number) =>
      (sigma ** 2 / (sigma ** 2 + variance)) ** (d / 2) *
      Math.exp((-d * apart ** 2) / (2 * (sigma ** 2 + variance)));
    const expected = mean(2 * s * s, 0) + mean(2 * t * t, 0) - 2 * mean(s * s + t * t, shift);
    const { squared } = maximumMeanDiscrepancy(gaussian(1, 1600, d, s), gaussian(2, 1600, d, t, shift), {
      kernel: { kind: "gaussian", bandwidths: [sigma] },
    });
    expect(Math.abs(squared / expected - 1)).toBeLessThan(0.05);
  });

  it("with the linear kernel is the squared distance of the means, made unbiased", () => {
    // Products 0 · 2 and 5 · 5 within; across 0, 0, 10 and 10, whose mean counts twice.
    const x = float32([0, 2], [2, 1]);
    const y = float32([5, 5], [2, 1]);
    expect(maximumMeanDiscrepancy(x, y, { kernel: { kind: "linear" } }).squared).toBeCloseTo(15, 10);
  });

  it("is about zero, of either sign, for the same distribution", () => {
    const found = Array.from({ length: 40 }, (_, i) => {
      return maximumMeanDiscrepancy(gaussian(10 + i, 60, 3), gaussian(60 + i, 50, 3)).squared;
    });
    const mean = found.reduce((sum, value) => sum + value, 0) / found.length;
    expect(found.some((value) => value < 0)).toBe(true);
    expect(found.some((value) => value > 0)).toBe(true);
    expect(Math.abs(mean)).toBeLessThan(0.003);
  });

  it("has p-values that are small for different sets and uniform for the same distribution", () => {
    const options = { permutations: 99, seed: 1 };
    const apart = maximumMeanDiscrepancy(gaussian(1, 60, 2), gaussian(2, 45, 2, 1, 0.9), options);
    expect(apart.pValue).toBe(0.01);
    const values = Array.from({ length: 60 }, (_, i) => {
      return (
        maximumMeanDiscrepancy(gaussian(100 + i, 24, 2), gaussian(200 + i, 18, 2), {
          permutations: 49,
          seed: i,
        }).pValue ?? 0
      );
    });
    // Kolmogorov's bound at 0.1 % for 60 values is 1.95 / √60 = 0.25.
    const sorted = values.sort((a, b) => a - b);
    const gap = sorted.map((value, i) => Math.abs(value - (i + 0.5) / sorted.length));
    expect(Math.max(...gap)).toBeLessThan(0.25);
  });

  it("counts every division of four samples", () => {
    // Of the 6 divisions into pairs, {0, 1} against {9, 10} and its mirror image are the farthest apart: p → 1/3.
    const x = float32([0, 1], [2, 1]);
    const y = float32([9, 10], [2, 1]);
    const { pValue } = maximumMeanDiscrepancy(x, y, { permutations: 2000 });
    expect(pValue).toBeGreaterThan(1 / 3 - 0.04);
    expect(pValue).toBeLessThan(1 / 3 + 0.04);
  });

  it("is the same for the same seed", () => {
    const [x, y] = [gaussian(1, 30, 2), gaussian(2, 30, 2, 1, 0.3)];
    const once = maximumMeanDiscrepancy(x, y, { permutations: 100, seed: 3 });
    expect(maximumMeanDiscrepancy(x, y, { permutations: 100, seed: 3 })).toEqual(once);
  });

  it("refuses what has no answer", () => {
    const x = gaussian(0, 5, 2);
    expect(() => maximumMeanDiscrepancy(x, gaussian(0, 5, 3))).toThrow(OptionError);
    expect(() => maximumMeanDiscrepancy(x, gaussian(0, 1, 2))).toThrow(/second set has 1 samples/);
    expect(() => maximumMeanDiscrepancy(x, x, { permutations: 1.5 })).toThrow(/permutations 1.5/);
    expect(() => maximumMeanDiscrepancy(x, x, { kernel: { kind: "gaussian", bandwidths: [0] } })).toThrow(
      /bandwidths \[0\]/,
    );
    expect(() => maximumMeanDiscrepancy(x, x, { kernel: { kind: "polynomial", degree: 0 } })).toThrow(
      /degree 0/,
    );
  });

  it("has a bandwidth where most samples coincide", () => {
    const x = float32([0, 0, 0, 0, 0], [5, 1]);
    const y = float32([0, 0, 0, 0, 2], [5, 1]);
    expect(maximumMeanDiscrepancy(x, y).bandwidths[2]).toBe(2);
    expect(maximumMeanDiscrepancy(x, x).squared).toBeCloseTo(0, 12);
  });
});
