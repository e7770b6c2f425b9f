import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scaledSize, scaledSizes, sizesOfSteps } from "../../../src/detection/scale/training-sizes.ts";
import { OptionError } from "../../../src/errors.ts";

describe("sizes", () => {
  it("are multiples of 32, the nearest ones, at least 32", () => {
    expect([0.1, 0.5, 0.74, 0.75, 1, 1.25, 4].map((scale) => scaledSize(320, scale))).toEqual([
      32, 160, 224, 256, 320, 416, 1280,
    ]);
    expect(scaledSize(32, 0.1)).toBe(32);
  });

  it("are in order, and one where scales round to the same", () => {
    expect(scaledSizes(128, [1.25, 0.75, 1, 1.01])).toEqual([96, 128, 160]);
  });
});

const sizeLists = fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 });

describe("the size of a step", () => {
  it("is the same for so many steps, and each has one turn in a round, the largest first of all", () => {
    fc.assert(
      fc.property(sizeLists, fc.integer({ min: 1, max: 7 }), fc.nat(1000), (units, every, seed) => {
        const sizes = units.map((unit) => 32 * unit);
        const schedule = sizesOfSteps(sizes, every, seed);
        expect(schedule.largest).toBe(Math.max(...sizes));
        expect(schedule.at(0)).toBe(schedule.largest);
        for (let round = 0; round < 4; round++) {
          const turns = sizes.map((_, turn) => every * (round * sizes.length + turn));
          for (const step of turns) {
            for (let i = 1; i < every; i++) expect(schedule.at(step + i)).toBe(schedule.at(step));
          }
          const seen = turns.map((step) => schedule.at(step));
          expect(seen.toSorted((a, b) => a - b)).toEqual(sizes.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  it("depends on seed and step alone, not on the steps asked before", () => {
    const sizes = [32, 64, 96, 128, 160];
    const steps = Array.from({ length: 100 }, (_, step) => step);
    const [one, other] = [sizesOfSteps(sizes, 2, 7), sizesOfSteps(sizes, 2, 7)];
    const forward = steps.map((step) => one.at(step));
    const backward = steps.toReversed().map((step) => other.at(step));
    expect(backward.toReversed()).toEqual(forward);
    expect(steps.map((step) => sizesOfSteps(sizes, 2, 8).at(step))).not.toEqual(forward);
  });

  it("needs a size", () => {
    expect(() => sizesOfSteps([], 10, 0)).toThrow(OptionError);
  });
});
