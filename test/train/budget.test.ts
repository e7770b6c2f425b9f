import { expect, test } from "vitest";
import {
  Budget,
  type FitInput,
  fitOptions,
  reportSeconds,
  resolveFitOptions,
} from "../../src/train/options.ts";

/** A budget for 1,000 samples in batches of 10, and its clock. */
function budgetOf(options: FitInput): { readonly budget: Budget; readonly clock: { seconds: number } } {
  const clock = { seconds: 0 };
  const resolved = resolveFitOptions(fitOptions.parse({ batchSize: 10, ...options }), {}, 1000);
  return { budget: new Budget(resolved, 100, () => clock.seconds), clock };
}

test("the first limit that is reached ends a fit", () => {
  const { budget, clock } = budgetOf({ steps: 250, epochs: 1.5, seconds: 10 });
  expect(budget.stepLimit).toBe(150);
  expect([budget.reached(149), budget.reached(150)]).toEqual([false, true]);
  expect(budget.share(75)).toBe(0.5);
  expect(budget.secondsLeft(100, 25)).toBe(2);
  clock.seconds = 9;
  expect(budget.share(75)).toBe(0.9);
  expect(budget.secondsLeft(100, 25)).toBe(1);
  clock.seconds = 10;
  expect(budget.reached(3)).toBe(true);
});

test("a limit in steps makes the learning rate a function of the step: warm-up, then half a cosine to 0", () => {
  const { budget, clock } = budgetOf({ steps: 100, warmupSteps: 10, learningRate: 2 });
  const before = Array.from({ length: 100 }, (_, step) => budget.learningRate(step));
  expect(before[4]).toBeCloseTo(1, 12);
  expect(before[9]).toBeCloseTo(2, 12);
  expect(before[54]).toBeCloseTo(1, 12);
  expect(before[99]).toBeCloseTo(0, 12);
  clock.seconds = 1e6;
  expect(Array.from({ length: 100 }, (_, step) => budget.learningRate(step))).toEqual(before);
});

test("a limit in seconds foresees its steps from the speed so far", () => {
  const { budget, clock } = budgetOf({ seconds: 100, warmupSteps: 0, learningRate: 2 });
  expect(budget.stepLimit).toBe(Number.POSITIVE_INFINITY);
  expect(budget.secondsLeft(0, undefined)).toBe(100);
  expect(budget.learningRate(0)).toBe(2);
  clock.seconds = 50;
  // Half the time is used after 500 steps, so that 1,000 are foreseen.
  expect(budget.learningRate(499)).toBeCloseTo(1, 12);
  clock.seconds = 100;
  expect(budget.learningRate(700)).toBeCloseTo(0, 12);
});

test.each([
  [{ report: "quick", seconds: 20 }, 17, 5],
  [{ report: "quick", seconds: 120 }, 120, 24],
  [{ report: "quick", seconds: 3600 }, 3600, 60],
  [{ report: "quick" }, 100, 20],
  [{ report: "full", seconds: 20 }, 20, Number.POSITIVE_INFINITY],
] as const)("a report of %j after %i seconds of training has %i seconds", (options, trained, seconds) => {
  expect(reportSeconds({ seconds: undefined, ...options }, trained)).toBe(seconds);
});
