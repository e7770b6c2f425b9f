import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  binEdges,
  duration,
  fixed,
  histogram,
  logTicks,
  quantile,
  significant,
  sorted,
  thin,
  ticks,
} from "../../src/report/statistics.ts";

const number = fc.double({ min: -1e3, max: 1e3, noNaN: true });

describe("histogram", () => {
  it("integrates to the share of values within the edges", () => {
    fc.assert(
      fc.property(fc.array(number, { minLength: 1 }), fc.integer({ min: 1, max: 30 }), (values, bins) => {
        const edges = binEdges(-400, 700, bins);
        const width = 1100 / bins;
        const integral = histogram(values, edges).reduce((sum, density) => sum + density * width, 0);
        const share = values.filter((value) => value >= -400 && value <= 700).length / values.length;
        expect(integral).toBeCloseTo(share, 10);
      }),
    );
  });

  it("puts values into the bins they lie in", () => {
    expect(histogram([0, 0.5, 1, 1.5, 2, 9], [0, 1, 2])).toEqual([2 / 6, 3 / 6]);
  });
});

describe("quantile", () => {
  it("interpolates between order statistics", () => {
    const values = sorted([9, 1, 4]);
    expect([0, 0.25, 0.5, 0.75, 1].map((q) => quantile(values, q))).toEqual([1, 2.5, 4, 6.5, 9]);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe("ticks", () => {
  it("are round numbers within the range, evenly spaced, neither few nor many", () => {
    fc.assert(
      fc.property(number, fc.double({ min: 1e-3, max: 1e3, noNaN: true }), (low, span) => {
        const found = ticks(low, low + span, 6);
        expect(found.length).toBeGreaterThanOrEqual(2);
        expect(found.length).toBeLessThanOrEqual(8);
        const slack = 1e-6 * span;
        expect(found.every((value) => value >= low - slack && value <= low + span + slack)).toBe(true);
        const step = ((found.at(-1) ?? 0) - (found[0] ?? 0)) / (found.length - 1);
        expect(["1", "2", "5"]).toContain(step.toExponential(6).slice(0, 1));
        expect(Number(step.toPrecision(6))).toBe(Number(step.toPrecision(1)));
      }),
    );
  });

  it("on a logarithmic axis are powers of ten, with twice and five times in a short range", () => {
    expect(logTicks(0.16, 12)).toEqual([0.2, 0.5, 1, 2, 5, 10]);
    expect(logTicks(0.001, 10)).toEqual([0.001, 0.01, 0.1, 1, 10]);
  });

  it("do not show rounding", () => {
    expect(ticks(0, 0.5, 5)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(ticks(1, 1, 5)).toEqual([]);
  });
});

describe("thin", () => {
  it("keeps the first, the last and the order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 300 }), fc.integer({ min: 2, max: 50 }), (length, most) => {
        const kept = thin(
          Array.from({ length }, (_, i) => i),
          most,
        );
        expect(kept.length).toBe(Math.min(length, most));
        expect([kept[0], kept.at(-1)]).toEqual([0, length - 1]);
        expect(kept.every((item, i) => i === 0 || item > (kept[i - 1] ?? 0))).toBe(true);
      }),
    );
  });
});

describe("format", () => {
  it("writes numbers and times for people", () => {
    expect([0.196734, -1234567, 12.5, 0.00001234, -0.5, 0].map((value) => significant(value))).toEqual([
      "0.1967",
      "−1,234,567",
      "12.5",
      "1.234e−5",
      "−0.5",
      "0",
    ]);
    expect(significant(2e9)).toBe("2e9");
    expect(significant(Number.NEGATIVE_INFINITY)).toBe("−∞");
    expect(fixed(-0.6789, 2)).toBe("−0.68");
    expect([8.26, 120.4, 125, 59.99, 4800, 7200].map(duration)).toEqual([
      "8.3 s",
      "2 min",
      "2 min 5 s",
      "60 s",
      "1 h 20 min",
      "2 h",
    ]);
  });
});
