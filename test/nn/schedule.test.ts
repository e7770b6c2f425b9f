import { describe, expect, it } from "vitest";
import { learningRateSchedule } from "../../src/nn/schedule.ts";

describe("learningRateSchedule", () => {
  it("warms up linearly and reaches the rate at the last warm-up step", () => {
    const at = learningRateSchedule({ kind: "constant", rate: 0.4, warmupSteps: 4 });
    expect([1, 2, 3, 4, 5, 1e6].map(at)).toEqual([0.1, 0.2, 0.30000000000000004, 0.4, 0.4, 0.4]);
    expect(learningRateSchedule({ kind: "constant", rate: 0.4 })(1)).toBe(0.4);
  });

  it("cosine falls along a half wave to the final rate and stays there", () => {
    const at = learningRateSchedule({
      kind: "cosine",
      rate: 1,
      finalRate: 0.2,
      warmupSteps: 10,
      totalSteps: 110,
    });
    expect(at(10)).toBe(1);
    expect(at(60)).toBeCloseTo(0.6, 12);
    expect(at(35)).toBeCloseTo(0.6 + 0.4 * Math.SQRT1_2, 12);
    expect(at(110)).toBeCloseTo(0.2, 12);
    expect(at(500)).toBeCloseTo(0.2, 12);
  });

  it("linear falls along a line", () => {
    const at = learningRateSchedule({ kind: "linear", rate: 1, totalSteps: 10 });
    expect(at(5)).toBeCloseTo(0.5, 12);
    expect(at(10)).toBe(0);
    expect(at(11)).toBe(0);
  });

  it("step drops after every so many steps", () => {
    const at = learningRateSchedule({ kind: "step", rate: 1, warmupSteps: 2, every: 3, factor: 0.5 });
    expect([2, 3, 4, 5, 7, 8].map(at)).toEqual([1, 1, 1, 0.5, 0.5, 0.25]);
  });

  it("is continuous at the end of the warm-up", () => {
    for (const kind of ["cosine", "linear"] as const) {
      const at = learningRateSchedule({ kind, rate: 1, warmupSteps: 1000, totalSteps: 100_000 });
      expect(Math.abs(at(1001) - at(999))).toBeLessThan(2e-3);
    }
  });

  it("names options out of range", () => {
    expect(() => learningRateSchedule({ kind: "cosine", rate: 1, warmupSteps: 5, totalSteps: 5 })).toThrow(
      "totalSteps: 5 must be above warmupSteps (5)",
    );
    expect(() => learningRateSchedule({ kind: "step", rate: 1, every: 0 })).toThrow("every: 0");
    expect(() => learningRateSchedule({ kind: "constant", rate: Number.NaN })).toThrow("rate: NaN");
  });
});
