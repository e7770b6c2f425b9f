import { describe, expect, it } from "vitest";
import {
  densityCoverage,
  memorization,
  parzenLogLikelihood,
  precisionRecall,
} from "../../src/metrics/index.ts";
import { fairCoinTail, normalTail } from "../../src/metrics/roc.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian, matrix } from "./support.ts";

const [x, y, same, heldOut] = [fixture.x, fixture.y, fixture.same, fixture.heldOut].map(matrix) as [
  NdArray<"float32">,
  NdArray<"float32">,
  NdArray<"float32">,
  NdArray<"float32">,
];

/** Numbers as samples of one coordinate. */
const line = (...values: number[]) => float32(values, [values.length, 1]);

describe("precision, recall, density and coverage", () => {
  it(`agree with ${fixture.by}`, () => {
    for (const [neighbors, expected] of [
      [3, fixture.prdc[3]],
      [5, fixture.prdc[5]],
    ] as const) {
      const { precision, recall } = precisionRecall(x, same, { neighbors });
      const { density, coverage } = densityCoverage(x, same, { neighbors });
      expect(precision).toBeCloseTo(expected.precision, 12);
      expect(recall).toBeCloseTo(expected.recall, 12);
      expect(density).toBeCloseTo(expected.density, 12);
      expect(coverage).toBeCloseTo(expected.coverage, 12);
    }
  });

  it("by hand, on a line", () => {
    // Balls of the real samples with k = 1: [−1, 1], [0, 2] and [1, 19]; of the generated ones 0.5 ± 0.25, 0.75 ± 0.25, 30 ± 29.25.
    const [real, generated] = [line(0, 1, 10), line(0.5, 0.75, 30)];
    expect(precisionRecall(real, generated, { neighbors: 1 })).toEqual({ precision: 2 / 3, recall: 2 / 3 });
    expect(densityCoverage(real, generated, { neighbors: 1 })).toEqual({ density: 4 / 3, coverage: 2 / 3 });
  });

  it("tell a dropped mode from samples off the data", () => {
    const both = float32([...gaussian(1, 200, 2).data, ...gaussian(2, 200, 2, 1, 20).data], [400, 2]);
    const dropped = precisionRecall(both, gaussian(3, 400, 2));
    expect(dropped.precision).toBeGreaterThan(0.9);
    expect(dropped.recall).toBeLessThan(0.55);
    expect(densityCoverage(both, gaussian(3, 400, 2)).coverage).toBeLessThan(0.55);
    const off = float32([...gaussian(4, 200, 2).data, ...gaussian(5, 200, 2, 1, -20).data], [400, 2]);
    expect(precisionRecall(both, off).precision).toBeLessThan(0.55);
    expect(densityCoverage(both, off).density).toBeLessThan(0.6);
  });

  it("of equal distributions are as the papers say", () => {
    const { density, coverage } = densityCoverage(gaussian(6, 1000, 4), gaussian(7, 1000, 4));
    expect(Math.abs(density - 1)).toBeLessThan(0.06);
    expect(Math.abs(coverage - (1 - 2 ** -5))).toBeLessThan(0.03);
  });

  it("need neighbors", () => {
    expect(() => precisionRecall(line(1, 2, 3), line(1, 2, 3, 4))).toThrow(
      /3 neighbors need more than 3 real/,
    );
    expect(() => densityCoverage(line(1, 2, 3), line(1), { neighbors: 0 })).toThrow(/neighbors 0/);
  });
});

describe("memorization", () => {
  it(`agrees with ${fixture.by}`, () => {
    const found = memorization(same, x, heldOut);
    const expected = fixture.memorization;
    expect(found.nearerShare).toBeCloseTo(expected.nearerShare, 12);
    expect(found.pValue).toBeCloseTo(expected.pValue, 10);
    expect(found.distanceRatio).toBeCloseTo(expected.distanceRatio, 9);
    expect([...found.nearest]).toEqual(expected.nearest);
  });

  it("is found where samples are copies, and not where they are fresh", () => {
    const training = gaussian(1, 400, 5);
    const copies = float32(training.data.slice(0, 300 * 5), [300, 5]);
    const copied = memorization(copies, training, gaussian(2, 250, 5));
    expect(copied.nearerShare).toBe(1);
    expect(copied.distanceRatio).toBe(0);
    expect(copied.pValue).toBeLessThan(1e-50);
    expect([...copied.nearest]).toEqual(Array.from({ length: 300 }, (_, i) => i));
    const fresh = memorization(gaussian(3, 300, 5), training, gaussian(2, 250, 5));
    expect(Math.abs(fresh.nearerShare - 0.5)).toBeLessThan(0.08);
    expect(Math.abs(fresh.distanceRatio - 1)).toBeLessThan(0.1);
    const off = memorization(gaussian(3, 300, 5, 1, 4), training, gaussian(2, 250, 5));
    expect(off.nearerShare).toBeLessThan(0.01);
    expect(off.pValue).toBeGreaterThan(0.999);
  });

  it("by hand", () => {
    // Distances 1 and 2 against 2 and 3: of four pairs three are nearer and one is as near.
    const { nearerShare, distanceRatio, distances } = memorization(line(1, 12), line(0, 10), line(-2, 13));
    expect(nearerShare).toBe(3.5 / 4);
    expect(distanceRatio).toBeCloseTo(1.5 / 2.5, 12);
    expect([...distances]).toEqual([1, 2]);
  });
});

describe("Parzen log-likelihood", () => {
  it.each(fixture.parzen)(`agrees with ${fixture.by}, bandwidth $bandwidth`, (expected) => {
    const { bandwidth } = expected;
    const found = parzenLogLikelihood(y, x, heldOut, { bandwidths: [bandwidth] });
    expect(found.bandwidth).toBe(bandwidth);
    expect(found.logLikelihood).toBeCloseTo(expected.logLikelihood, 9);
    expect(found.standardError).toBeCloseTo(expected.standardError, 9);
  });

  it("chooses the bandwidth on the validation samples", () => {
    const bandwidths = [0.05, 0.2, 0.5, 1, 3];
    const { bandwidth } = parzenLogLikelihood(y, x, heldOut, { bandwidths });
    const on = (sigma: number) =>
      parzenLogLikelihood(y, heldOut, heldOut, { bandwidths: [sigma] }).logLikelihood;
    expect(Math.max(...bandwidths.map(on))).toBe(on(bandwidth));
    // Without a list it finds one at least as good, wherever the samples lie.
    const { bandwidth: searched } = parzenLogLikelihood(y, x, heldOut);
    expect(on(searched)).toBeGreaterThan(on(bandwidth) - 0.02);
    expect(on(searched)).toBeGreaterThan(on(searched * 1.3));
    expect(on(searched)).toBeGreaterThan(on(searched / 1.3));
  });

  it("of one sample is that of a Gaussian around it", () => {
    const at = line(3);
    const validation = line(1, 5);
    const { bandwidth, logLikelihood } = parzenLogLikelihood(at, line(4), validation);
    // The best deviation of samples at 3 ± 2 is 2, up to the steps of the search.
    expect(Math.abs(Math.log2(bandwidth / 2))).toBeLessThan(0.126);
    const density = -1 / (2 * bandwidth ** 2) - 0.5 * Math.log(2 * Math.PI * bandwidth ** 2);
    expect(logLikelihood).toBeCloseTo(density, 12);
  });

  it("tends to the entropy of the samples", () => {
    // −½ log 2πe a dimension for a standard normal.
    const { logLikelihood } = parzenLogLikelihood(
      gaussian(1, 2000, 2),
      gaussian(2, 400, 2),
      gaussian(3, 400, 2),
    );
    expect(Math.abs(logLikelihood + Math.log(2 * Math.PI * Math.E))).toBeLessThan(0.1);
  });

  it("has no best bandwidth where validation samples repeat the generated ones", () => {
    expect(() => parzenLogLikelihood(line(0, 1), line(0), line(0, 1))).toThrow(/no bandwidth is best/);
    expect(() => parzenLogLikelihood(line(0, 1), line(0), line(0), { bandwidths: [-1] })).toThrow(/above 0/);
  });
});

describe("tails", () => {
  it("of the normal distribution", () => {
    for (const [z, expected] of fixture.tails.normal) {
      expect(Math.abs(normalTail(z) / expected - 1)).toBeLessThan(1e-12);
    }
  });

  it("of fair coins", () => {
    for (const [k, n, expected] of fixture.tails.coin) {
      const found = fairCoinTail(k, n);
      if (expected === 0) expect(found).toBeLessThan(1e-300);
      else expect(Math.abs(found / expected - 1)).toBeLessThan(1e-10);
    }
    expect(fairCoinTail(2000, 2000)).toBe(0);
  });
});
