import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { dormandPrince, dormandPrinceGraph, type Velocity } from "../../src/ode/index.ts";
import { evaluate } from "../../src/program/node.ts";
import { float32, input, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { largestDifference, numbers } from "../support.ts";

// x' = −rate (x − sin t) with a rate for each row: stiff rows decide the steps of all.
const RATES = [0.5, 3, 40];
const START = float32([0.4, -1, 2, 5, -3, 0.1], [3, 2]);

const outside: Velocity<"float32"> = async (state, time) =>
  float32(
    state.data.map((x, i) => -(RATES[Math.floor(i / 2)] ?? 0) * (x - Math.sin(time))),
    state.shape,
  );
const rates = float32(RATES, [3, 1]);

/** x(t) of a row by variation of constants. */
function solution(rate: number, x: number, from: number, to: number): number {
  const particular = (t: number): number => (rate * (rate * Math.sin(t) - Math.cos(t))) / (rate * rate + 1);
  return particular(to) + (x - particular(from)) * Math.exp(-rate * (to - from));
}

async function inGraph(from: number, to: number, tolerance: number, maxEvaluations = 2000) {
  const x = input("x", ["batch", 2]);
  const rate = input("rate", ["batch", 1]);
  const velocity = (state: Tensor, time: Tensor): Tensor =>
    state.sub(time.sin().cast("float32")).mul(rate).neg();
  const end = dormandPrinceGraph(velocity, x, from, to, { rtol: tolerance, atol: tolerance, maxEvaluations });
  const feeds = new Map<Tensor, NdArray>([
    [x, START],
    [rate, rates],
  ]);
  const [found] = await evaluate([end], feeds);
  return numbers(found);
}

describe("the adaptive solver inside a graph", () => {
  it("takes the steps that it takes outside, and is as exact", async () => {
    for (const tolerance of [1e-2, 1e-3, 1e-4]) {
      const found = await inGraph(0, 2, tolerance);
      const options = { rtol: tolerance, atol: tolerance, maxEvaluations: 2000, everyRow: true };
      const { state } = await dormandPrince(outside, START, 0, 2, options);
      // Other steps would differ by about the tolerance.
      expect(largestDifference(found, state.data)).toBeLessThan(tolerance / 50 + 1e-6);
      const exact = Array.from(START.data, (x, i) => solution(RATES[Math.floor(i / 2)] ?? 0, x, 0, 2));
      expect(largestDifference(found, exact)).toBeLessThan(5 * tolerance);
    }
  });

  it("goes back the way that it came", async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: -1, max: 1, noNaN: true }), async (from) => {
        const to = from - 0.1;
        const exact = Array.from(START.data, (x, i) => solution(RATES[Math.floor(i / 2)] ?? 0, x, from, to));
        const found = await inGraph(from, to, 1e-5);
        found.forEach((value, i) => {
          expect(Math.abs(value - (exact[i] ?? 0))).toBeLessThan(1e-3 * Math.max(1, Math.abs(exact[i] ?? 0)));
        });
      }),
      { numRuns: 10 },
    );
  });

  it("is NaN where the evaluations do not suffice", async () => {
    for (const value of await inGraph(0, 2, 1e-5, 20)) expect(value).toBeNaN();
    await expect(inGraph(0, 2, 1e-5, 7)).rejects.toThrow(OptionError);
  });
});
