import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compressionFor,
  efficiency,
  exchangeSeconds,
  fitLink,
  localStepsFor,
  ringSeconds,
  SMALL_MESSAGES,
  smallSeconds,
  stepSeconds,
  through,
} from "../../bench/scaling-model.ts";

const link = fc.record({
  latency: fc.double({ min: 1e-7, max: 1e-3, noNaN: true }),
  bandwidth: fc.double({ min: 1e7, max: 1e11, noNaN: true }),
});
const work = fc.record({
  compute: fc.double({ min: 1e-3, max: 10, noNaN: true }),
  bytes: fc.integer({ min: 4, max: 2 ** 31 }),
});
const ranks = fc.integer({ min: 2, max: 512 });

/** A ring, hop by hop: at every hop all ranks send a piece at once. */
function simulatedRing(bytes: number, n: number, latency: number, bandwidth: number): number {
  let clock = 0;
  for (const _phase of ["add up", "pass on"]) {
    for (let hop = 1; hop < n; hop++) clock += latency + bytes / n / bandwidth;
  }
  return clock;
}

describe("the model of a step", () => {
  test("has the ring's closed form, which is that of its hops", () => {
    // 100 MB over 2 ranks at 1 GB/s: each sends 50 MB twice.
    expect(ringSeconds(1e8, 2, { latency: 0, bandwidth: 1e9 })).toBeCloseTo(0.1, 12);
    expect(ringSeconds(1e8, 4, { latency: 1e-3, bandwidth: 1e9 })).toBeCloseTo(0.15 + 0.006, 12);
    expect(ringSeconds(1e8, 1, { latency: 1, bandwidth: 1 })).toBe(0);
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 2 ** 31 }), ranks, link, (bytes, n, { latency, bandwidth }) => {
        const simulated = simulatedRing(bytes, n, latency, bandwidth);
        expect(ringSeconds(bytes, n, { latency, bandwidth }) / simulated).toBeCloseTo(1, 9);
      }),
    );
    // Of many ranks, twice the bytes.
    expect(ringSeconds(1e9, 1e6, { latency: 0, bandwidth: 1e9 })).toBeCloseTo(2, 5);
  });

  test("adds small messages through a tree, and one rank exchanges nothing", () => {
    expect(smallSeconds(256, { latency: 1e-3 })).toBeCloseTo(SMALL_MESSAGES * 8e-3, 12);
    expect(smallSeconds(5, { latency: 1e-3 })).toBeCloseTo(SMALL_MESSAGES * 3e-3, 12);
    const one = { compute: 0.5, bytes: 1e6 };
    expect(stepSeconds(one, 1, { latency: 1, bandwidth: 1 })).toBe(0.5);
    expect(efficiency(one, 1, { latency: 1, bandwidth: 1 })).toBe(1);
  });

  test("says how much compression or how many local steps an efficiency takes", () => {
    const wire = { latency: 0, bandwidth: 1e9 };
    // A second of computing, 1.5 s of exchange; at 80 % there are 0.25 s for it.
    const heavy = { compute: 1, bytes: 1.5e9 };
    expect(compressionFor(heavy, 2, wire, 0.8)).toBeCloseTo(6, 9);
    expect(localStepsFor(heavy, 2, wire, 0.8)).toBe(6);
    expect(compressionFor({ compute: 1e-6, bytes: 8 }, 64, { latency: 1e-3, bandwidth: 1e9 }, 0.8)).toBe(
      Number.POSITIVE_INFINITY,
    );
    fc.assert(
      fc.property(work, ranks, link, (step, n, wires) => {
        const factor = compressionFor(step, n, wires, 0.8);
        const small = { ...step, bytes: step.bytes / factor };
        if (Number.isFinite(factor)) expect(efficiency(small, n, wires)).toBeGreaterThan(0.8 - 1e-9);
        if (factor > 1 && Number.isFinite(factor)) expect(efficiency(small, n, wires)).toBeCloseTo(0.8, 6);
        const steps = localStepsFor(step, n, wires, 0.8);
        const share = (steps * step.compute) / (steps * step.compute + exchangeSeconds(step.bytes, n, wires));
        expect(share).toBeGreaterThan(0.8 - 1e-6);
      }),
    );
  });

  test("is fitted: exact where measurements are those of a link, never below 0 where they are noisy", () => {
    const sizes = [4, 1e3, 1e5, 1e7, 1e8];
    fc.assert(
      fc.property(link, ranks, (wires, n) => {
        const measured = sizes.map((bytes) => ({ bytes, ranks: n, seconds: ringSeconds(bytes, n, wires) }));
        const fitted = fitLink(measured);
        expect(fitted.latency / wires.latency).toBeCloseTo(1, 4);
        expect(fitted.bandwidth / wires.bandwidth).toBeCloseTo(1, 4);
      }),
    );
    const noisy = fitLink([
      { bytes: 1e3, ranks: 2, seconds: 1e-6 },
      { bytes: 1e6, ranks: 2, seconds: 2e-3 },
    ]);
    expect(noisy.latency).toBe(0);
    expect(noisy.bandwidth).toBeGreaterThan(0);
    expect(() => fitLink([{ bytes: 8, ranks: 2, seconds: 1 }])).toThrow(/two sizes/);
  });

  test("adds up the times of a byte on a network and in a machine", () => {
    expect(through({ latency: 3, bandwidth: 2 }, { bandwidth: 2 })).toEqual({ latency: 3, bandwidth: 1 });
  });
});
