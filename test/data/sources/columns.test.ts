import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Column,
  columnsSchema,
  decodeRow,
  decodeTable,
  encodeCategory,
  encodeNumber,
  logScale,
  tableWidth,
} from "../../../src/data/sources/columns.ts";
import { Random } from "../../../src/random.ts";
import { float32 } from "../../../src/tensor/array.ts";

const height = { kind: "numeric", name: "height", mean: 170, deviation: 10 } as const;
const color = { kind: "categorical", name: "colour", categories: ["blue", "green", "red"] } as const;
const columns: readonly Column[] = [height, color];

test("numbers and categories come back from their codes", () => {
  expect(tableWidth(columns)).toBe(4);
  fc.assert(
    fc.property(fc.double({ min: 100, max: 250, noNaN: true }), fc.nat(2), fc.nat(), (value, index, seed) => {
      const sample = new Float32Array(6);
      encodeNumber(height, value, sample, 1);
      encodeCategory(color, index, new Random(seed), sample, 2);
      const [back, category] = decodeRow(columns, sample, 1);
      expect(back).toBeCloseTo(value, 3);
      expect(category).toBe(color.categories[index]);
      // uniform dequantization: the chosen code lies in a unit cube that no other code enters
      for (const [k, code] of sample.subarray(2, 5).entries()) {
        expect(code).toBeGreaterThanOrEqual(k === index ? 0.5 : -0.5);
        expect(code).toBeLessThan(k === index ? 1.5 : 0.5);
      }
    }),
  );
});

test("numbers are given back with the digits that float32 has", () => {
  const sample = new Float32Array(4);
  encodeNumber(height, 171.3, sample, 0);
  expect(decodeRow(columns, sample)[0]).toBe(171.3);
});

test("the change of units of a density", () => {
  // N(170, 10²) at 183 in its own units, and standardized
  const z = 1.3;
  const standard = -0.5 * (z * z + Math.log(2 * Math.PI));
  const own = -0.5 * ((183 - 170) / 10) ** 2 - Math.log(10 * Math.sqrt(2 * Math.PI));
  expect(standard - logScale(columns)).toBeCloseTo(own, 12);
});

test("samples of another width are refused", () => {
  expect(decodeTable(columns, float32([0, 1, 0, 0, 1, 0, 0, 2], [2, 4]))).toEqual([
    [170, "blue"],
    [180, "red"],
  ]);
  expect(() => decodeTable(columns, float32([0, 0], [1, 2]))).toThrow(/\[1,2\].*4 numbers/);
});

test("columns survive JSON and are checked when they come back", () => {
  expect(columnsSchema.parse(JSON.parse(JSON.stringify(columns)))).toEqual(columns);
  expect(columnsSchema.safeParse([{ ...height, deviation: 0 }]).success).toBe(false);
  expect(columnsSchema.safeParse([{ ...color, categories: [] }]).success).toBe(false);
});
