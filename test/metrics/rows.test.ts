import { describe, expect, it } from "vitest";
import { forEachRow, type PairValue, type Rows, rowsOf } from "../../src/metrics/rows.ts";
import { float32 } from "../../src/tensor/array.ts";
import { gaussian } from "./support.ts";

type Row = readonly number[];

const formulas: Readonly<Record<PairValue, (a: Row, b: Row) => number>> = {
  squaredDistance: (a, b) => a.reduce((sum, value, k) => sum + (value - (b[k] ?? 0)) ** 2, 0),
  innerProduct: (a, b) => a.reduce((sum, value, k) => sum + value * (b[k] ?? 0), 0),
  manhattanDistance: (a, b) => a.reduce((sum, value, k) => sum + Math.abs(value - (b[k] ?? 0)), 0),
};

const rowAt = ({ data, size }: Rows, i: number): Row => [...data.subarray(i * size, (i + 1) * size)];

describe("values of pairs", () => {
  // Counts around the sizes of tiles and blocks.
  it.each([
    [1, 1, 1],
    [16, 4, 3],
    [17, 5, 2],
    [33, 18, 7],
    [3, 50, 40],
  ])("of %i and %i rows of %i numbers are the formulas'", (n, m, size) => {
    const [a, b] = [rowsOf(gaussian(1, n, size, 2, 5)), rowsOf(gaussian(2, m, size, 1, 5))];
    for (const [value, formula] of Object.entries(formulas)) {
      const rows: number[] = [];
      forEachRow(a, b, value as PairValue, (i, values) => {
        rows.push(i);
        expect(values.length).toBe(m);
        for (const [j, found] of values.entries()) {
          expect(found).toBeCloseTo(formula(rowAt(a, i), rowAt(b, j)), 9);
        }
      });
      expect(rows).toEqual(Array.from({ length: n }, (_, i) => i));
    }
  });

  it("hold the later rows of a set against itself", () => {
    const rows = rowsOf(gaussian(3, 41, 6));
    forEachRow(
      rows,
      rows,
      "squaredDistance",
      (i, values) => {
        for (let j = i + 1; j < rows.count; j++) {
          expect(values[j]).toBeCloseTo(formulas.squaredDistance(rowAt(rows, i), rowAt(rows, j)), 10);
        }
      },
      true,
    );
  });

  it("are exactly 0 for equal rows, also far from the origin", () => {
    const { data } = gaussian(4, 20, 784, 80, 1e4);
    const twice = float32([...data, ...data], [40, 784]);
    const rows = rowsOf(twice);
    forEachRow(rows, rows, "squaredDistance", (i, values) => {
      expect(values[i]).toBe(0);
      expect(values[(i + 20) % 40]).toBe(0);
      expect(values[(i + 1) % 40]).toBeGreaterThan(1e6);
    });
  });
});
