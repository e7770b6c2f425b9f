import { describe, expect, it } from "vitest";
import { fromHalf, toHalf, toHalves } from "../../src/precision/half.ts";
import { Random } from "../../src/random.ts";

// IEEE 754 binary16, by cases out of the standard and by a search for the nearest number.

const CASES: readonly (readonly [name: string, value: number, bits: number])[] = [
  ["zero", 0, 0x0000],
  ["minus zero", -0, 0x8000],
  ["one", 1, 0x3c00],
  ["minus two", -2, 0xc000],
  ["a third", 1 / 3, 0x3555],
  ["the largest number", 65504, 0x7bff],
  ["what is just rounded down to it", 65519.99, 0x7bff],
  ["half-way beyond it", 65520, 0x7c00],
  ["minus far beyond it", -1e6, 0xfc00],
  ["infinity", Number.POSITIVE_INFINITY, 0x7c00],
  ["the smallest normal number", 2 ** -14, 0x0400],
  ["the largest subnormal number", 2 ** -14 - 2 ** -24, 0x03ff],
  ["the smallest subnormal number", 2 ** -24, 0x0001],
  ["half of it, to even", 2 ** -25, 0x0000],
  ["a little more than half of it", 2 ** -25 * 1.001, 0x0001],
  ["one and a half of it, to even", 1.5 * 2 ** -24, 0x0002],
  ["less than half of it", 2 ** -26, 0x0000],
  ["half-way between 1 and the next, to even", 1 + 2 ** -11, 0x3c00],
  ["half-way after the next, to even", 1 + 3 * 2 ** -11, 0x3c02],
  ["what carries into the exponent", 2 - 2 ** -12, 0x4000],
  ["2049, between 2048 and 2050", 2049, 0x6800],
  ["2051, between 2050 and 2052", 2051, 0x6802],
];

describe("numbers of 16 bits", () => {
  it.each(CASES)("round as IEEE 754 has it: %s", (_, value, bits) => {
    expect(toHalf(value)).toBe(bits);
  });

  it("come back as they are, all of them", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromHalf(bits);
      if (!Number.isNaN(value) && toHalf(value) !== bits) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
    expect(Number.isNaN(fromHalf(toHalf(Number.NaN)))).toBe(true);
  });

  it("are the nearest ones", () => {
    const all = Array.from({ length: 0x7c00 }, (_, bits) => fromHalf(bits));
    const random = new Random(5);
    let worst = 0;
    for (let i = 0; i < 2000; i++) {
      const value = Math.fround(2 ** (40 * random.uniform() - 25));
      const found = fromHalf(toHalf(value));
      if (!Number.isFinite(found)) continue;
      const bits = toHalf(value);
      const others = [all[bits - 1], all[bits + 1]].filter((other) => other !== undefined);
      for (const other of others) worst = Math.max(worst, Math.abs(found - value) - Math.abs(other - value));
    }
    expect(worst).toBeLessThanOrEqual(0);
  });

  it("are counted where they would be infinite", () => {
    const { overflow, halves } = toHalves(Float32Array.of(1, 7e4, -1e5, Number.POSITIVE_INFINITY, 65519));
    expect(overflow).toEqual({ count: 2, example: 7e4 });
    expect(Array.from(halves)).toEqual([0x3c00, 0x7c00, 0xfc00, 0x7c00, 0x7bff]);
    expect(toHalves(Float32Array.of(65504)).overflow).toBeUndefined();
  });
});
