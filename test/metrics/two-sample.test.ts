import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { bitsPerDimension, energyDistance, slicedWasserstein } from "../../src/metrics/index.ts";
import { float32 } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian, matrix } from "./support.ts";

describe("bits per dimension", () => {
  it("is 8 for the uniform distribution on bytes and 0 for certainty", () => {
    expect(bitsPerDimension(-784 * Math.log(256), 784)).toBeCloseTo(8, 12);
    expect(bitsPerDimension(0, 784)).toBeCloseTo(0, 12);
  });
});

describe("sliced Wasserstein distance", () => {
  it("in one dimension is the distance between sorted samples", () => {
    const x = float32([3, 1, 2], [3, 1]);
    const y = float32([10, 30, 20], [3, 1]);
    expect(slicedWasserstein(x, y)).toBeCloseTo(Math.sqrt((81 + 324 + 729) / 3), 5);
  });

  it("compares quantiles where the counts differ", () => {
    // Quantile functions 0 and {0 on the first half, 1 on the second} differ by 1 on a set of measure 1/2.
    const x = float32([0, 0, 0], [3, 1]);
    const y = float32([0, 1], [2, 1]);
    expect(slicedWasserstein(x, y)).toBeCloseTo(Math.SQRT1_2, 6);
    // Repeating every sample does not change the distribution.
    const many = float32([0, 1, 0, 1, 0, 1, 0, 1], [8, 1]);
    expect(slicedWasserstein(y, many)).toBeCloseTo(0, 6);
  });

  it("of a shift by v in d dimensions is |v| / √d", () => {
    const x = gaussian(1, 500, 4);
    const shifted = float32(
      x.data.map((value, i) => value + (i % 4 === 0 ? 3 : 0)),
      [500, 4],
    );
    expect(slicedWasserstein(x, shifted, { projections: 1000 })).toBeCloseTo(3 / 2, 1);
    expect(slicedWasserstein(x, x)).toBe(0);
  });

  it(`comes to the mean over all directions: ${fixture.by}`, () => {
    const distance = slicedWasserstein(matrix(fixture.x), matrix(fixture.y), { projections: 8000 });
    expect(Math.abs(distance / fixture.sliced - 1)).toBeLessThan(0.01);
  });

  it("between Gaussians that differ in scale is the difference of their deviations", () => {
    const distance = slicedWasserstein(gaussian(1, 5000, 2), gaussian(2, 5000, 2, 3));
    expect(distance).toBeGreaterThan(1.95);
    expect(distance).toBeLessThan(2.05);
  });

  it("does not compare samples of different sizes or none", () => {
    expect(() => slicedWasserstein(gaussian(0, 3, 2), gaussian(0, 3, 3))).toThrow(OptionError);
    expect(() => slicedWasserstein(float32([], [0, 2]), gaussian(0, 3, 2))).toThrow(OptionError);
  });
});

describe("energy distance", () => {
  it("of two pairs by hand", () => {
    // 2 · mean(|0−5|, |0−6|, |1−5|, |1−6|) − 1 − 1 = 2 · 5 − 2
    expect(energyDistance(float32([0, 1], [2, 1]), float32([5, 6], [2, 1]))).toBeCloseTo(8, 6);
  });

  it("of Gaussians of deviation 1 and 2 in one dimension has a closed form", () => {
    // |N(0, s²)| has mean s √(2/π): 2 √5 √(2/π) − √2 √(2/π) − √8 √(2/π).
    const expected = Math.sqrt(2 / Math.PI) * (2 * Math.sqrt(5) - Math.SQRT2 - Math.sqrt(8));
    const distance = energyDistance(gaussian(3, 1500, 1), gaussian(4, 1500, 1, 2));
    expect(Math.abs(distance - expected)).toBeLessThan(0.04);
  });

  it("is about zero for the same distribution", () => {
    expect(Math.abs(energyDistance(gaussian(5, 800, 2), gaussian(6, 800, 2)))).toBeLessThan(0.01);
  });

  it("agrees with numpy and scipy", () => {
    expect(energyDistance(matrix(fixture.x), matrix(fixture.y))).toBeCloseTo(fixture.energyDistance, 10);
  });

  it("names the sample that has no distance", () => {
    const broken = float32([0, 1, 2, Number.NaN], [2, 2]);
    expect(() => energyDistance(gaussian(0, 3, 2), broken)).toThrow(/sample 1 of the second set holds NaN/);
  });

  it("needs pairs", () => {
    expect(() => energyDistance(gaussian(0, 1, 2), gaussian(0, 3, 2))).toThrow(OptionError);
  });
});
