import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chooseRanges,
  countInRanges,
  describeRanges,
  inRange,
  objectSize,
  parseRanges,
  rangeTexts,
} from "../../../src/detection/scale/ranges.ts";
import { OptionError } from "../../../src/errors.ts";
import { SEEDED } from "../arbitrary.ts";

const sizes = fc.array(fc.double({ min: 0.5, max: 900, noNaN: true }), { minLength: 1, maxLength: 60 });
const scales = fc
  .uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
  .map((all) => all.map((k) => k / 10));
const most = fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined });

describe("ranges from the data's own sizes", () => {
  test("every object is valid at one scale at least", () => {
    fc.assert(
      fc.property(sizes, scales, most, (sizes, scales, most) => {
        const ranges = chooseRanges(sizes, scales, most === undefined ? {} : { most });
        for (const size of [...sizes, 1e-3, 1e6]) {
          const valid = ranges.some((range, i) => inRange(size * (scales[i] ?? Number.NaN), range));
          expect(valid, `${size} of ${rangeTexts(ranges)} at ${scales}`).toBe(true);
        }
      }),
      SEEDED,
    );
  });

  test("a finer scale has smaller objects, neighbors overlap, the finest begins at 0 and the coarsest does not end", () => {
    fc.assert(
      fc.property(sizes, scales, most, (sizes, scales, most) => {
        const ranges = chooseRanges(sizes, scales, most === undefined ? {} : { most });
        const base = ranges
          .map(({ from, to }, i) => ({ scale: scales[i] ?? 1, from, to }))
          .sort((a, b) => b.scale - a.scale);
        expect(base[0]?.from).toBe(0);
        expect(base.at(-1)?.to).toBe(Number.POSITIVE_INFINITY);
        for (const [i, next] of base.entries()) {
          const before = base[i - 1];
          if (before === undefined) continue;
          // Ends are rounded outward, to a pixel at their own scale.
          expect(next.from / next.scale).toBeLessThanOrEqual(before.to / before.scale + 1e-9);
          expect(next.from / next.scale).toBeGreaterThan(before.from / before.scale - 1 / next.scale);
          expect(next.to / next.scale).toBeGreaterThan(before.to / before.scale - 1 / before.scale);
        }
      }),
      SEEDED,
    );
  });

  test("three scales of evenly spread sizes: five, six and five twelfths of them", () => {
    const even = Array.from({ length: 1201 }, (_, i) => i);
    const ranges = chooseRanges(even, [1, 2, 0.5]);
    expect(rangeTexts(ranges)).toEqual(["300-900", "0-1000", "337-inf"]);
    expect(countInRanges(even, [1, 2, 0.5], ranges)).toEqual({ valid: [601, 501, 527], nowhere: 0 });
  });

  test("of objects of nearly one size the ranges overlap by a third all the same", () => {
    const [fine, coarse] = chooseRanges([50, 50, 50, 51], [1, 0.5]);
    expect(fine).toEqual({ from: 0, to: 50 });
    expect(coarse).toEqual({ from: 18, to: Number.POSITIVE_INFINITY });
  });

  test("what is too large for a chip is left to coarser scales", () => {
    const even = Array.from({ length: 1201 }, (_, i) => i);
    const [fine, coarse] = chooseRanges(even, [1, 0.5], { most: 100 });
    expect(fine).toEqual({ from: 0, to: 100 });
    expect(coarse).toEqual({ from: 30, to: Number.POSITIVE_INFINITY });
  });

  test("one scale takes all; no objects, or no scale, are refused", () => {
    expect(chooseRanges([5, 7], [1])).toEqual([{ from: 0, to: Number.POSITIVE_INFINITY }]);
    expect(() => chooseRanges([], [1])).toThrow(/no objects to choose them by; give --valid-ranges/);
    expect(() => chooseRanges([5], [])).toThrow(OptionError);
    expect(() => chooseRanges([5], [0])).toThrow(/0 is no scale/);
  });
});

describe("ranges as options", () => {
  test("are read, and written as they are read", () => {
    const texts = ["0-80", "40-160.5", "120-inf"];
    const ranges = parseRanges(texts, 3);
    expect(ranges).toEqual([
      { from: 0, to: 80 },
      { from: 40, to: 160.5 },
      { from: 120, to: Number.POSITIVE_INFINITY },
    ]);
    expect(rangeTexts(ranges)).toEqual(texts);
  });

  test.each([
    [["80-40"], 1, /"80-40" is no range of sizes/],
    [["0-80px"], 1, /is no range/],
    [["0-80"], 2, /1 range for 2 scales; give one for each/],
    [["0-80", "40-inf"], 1, /2 ranges for 1 scale;/],
  ])("%j for %i is refused", (texts, count, message) => {
    expect(() => parseRanges(texts, count)).toThrow(message);
  });
});

test("the size of an object is the root of its area; an empty one has none", () => {
  expect(objectSize([2, 3, 6, 12])).toBe(6);
  expect(objectSize([2, 3, 1, 12])).toBe(0);
});

test("lines name the scale, its range there and at scale 1, and what is left out", () => {
  const scales = [2, 1];
  expect(describeRanges([10, 30, 100], 320, scales, parseRanges(["0-40", "25-60"], 2))).toEqual([
    "scale 2, 640 pixels: objects of size 0 to 40 (0 to 20 at scale 1), 1 of 3",
    "scale 1, 320 pixels: objects of size 25 to 60, 1 of 3",
    "1 object is in the range of no scale: nothing is learnt of it",
  ]);
});
