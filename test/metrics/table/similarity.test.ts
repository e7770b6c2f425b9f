import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ColumnCells,
  closestDistances,
  type NumberCells,
  type TableCells,
  tablePrivacy,
  tableSimilarity,
} from "../../../src/metrics/index.ts";
import { Random } from "../../../src/random.ts";
import { largestDifference, present } from "../../support.ts";
import { fixture, tableOf } from "./tables.ts";

const [real, synthetic, held] = [fixture.real, fixture.synthetic, fixture.held].map(tableOf) as [
  TableCells,
  TableCells,
  TableCells,
];

describe("against SDMetrics", () => {
  const found = tableSimilarity(real, synthetic);

  test("shapes, coverage, adherence and gaps of columns", () => {
    for (const column of found.columns) {
      for (const [measure, value] of Object.entries(present(fixture.columns[column.name]))) {
        const own = present({ missing: 1, ...column }[measure as "shape"], `${measure} of ${column.name}`);
        expect(Math.abs(own - value), `${measure} of ${column.name}`).toBeLessThan(1e-6);
      }
    }
    expect(found.columns.map(({ name }) => name)).toEqual(Object.keys(fixture.columns));
  });

  test("trends of pairs", () => {
    expect(found.pairs).toHaveLength(Object.keys(fixture.pairs).length);
    for (const { names, trend } of found.pairs) {
      expect(Math.abs(trend - present(fixture.pairs[names.join("|")])), names.join()).toBeLessThan(1e-6);
    }
  });

  test("distances to the closest record", () => {
    expect(largestDifference(closestDistances(synthetic, real), fixture.toTraining)).toBeLessThan(1e-9);
    expect(largestDifference(closestDistances(held, real), fixture.heldToTraining)).toBeLessThan(1e-9);
    const near = closestDistances(synthetic, real);
    const far = closestDistances(synthetic, held);
    const closer = near.reduce((sum, d, i) => sum + (d < present(far[i]) ? 1 : 0), 0) / near.length;
    expect(closer).toBeCloseTo(fixture.closerToTraining, 12);
  });
});

test("a copy of a table is alike in all, and all of its rows are copies", () => {
  const same = tableSimilarity(real, real);
  for (const measure of ["shapes", "trends", "coverage", "adherence", "missing"] as const) {
    expect(same[measure]).toBeCloseTo(1, 12);
  }
  const { copies, median, nearerToTraining, heldOutCopies } = tablePrivacy(real, real, held);
  expect([copies, median]).toEqual([1, 0]);
  expect(heldOutCopies).toBeLessThan(0.2);
  expect(nearerToTraining).toBeGreaterThan(0.75);
});

test("rows of the same distribution are as near to training rows as held-out ones are", () => {
  const { nearerToTraining, median, heldOutMedian } = tablePrivacy(held, real, held);
  // Against itself the held-out table is at distance 0.
  expect(nearerToTraining).toBeLessThan(0.2);
  expect(median).toBe(heldOutMedian);
});

test("an outlier among training rows brings no row nearer to them", () => {
  const random = new Random(2);
  const rows = (count: number, outlier: number): TableCells => ({
    count,
    columns: ["a", "b"].map((name) => {
      const values = Array.from({ length: count }, () => random.normal());
      return number(name, [...values.slice(1), outlier]);
    }),
  });
  const { nearerToTraining } = tablePrivacy(rows(300, 0), rows(300, 1000), rows(300, 0));
  expect(Math.abs(nearerToTraining - 0.5)).toBeLessThan(0.1);
  // Nor do more training rows than held-out ones; copies are seen all the same.
  const training = rows(600, 0);
  const uneven = tablePrivacy(rows(300, 0), training, rows(100, 0));
  expect(Math.abs(uneven.nearerToTraining - 0.5)).toBeLessThan(0.12);
  expect(tablePrivacy(training, training, rows(100, 0)).nearerToTraining).toBeGreaterThan(0.98);
});

const number = (name: string, values: readonly number[]): NumberCells => ({
  kind: "numbers",
  name,
  values: Float64Array.from(values),
});

test("measures lie between 0 and 1, and have no value where there is nothing to compare", () => {
  const cell = fc.oneof(
    { weight: 1, arbitrary: fc.constant(Number.NaN) },
    { weight: 5, arbitrary: fc.double({ noNaN: true, min: -1e6, max: 1e6 }) },
  );
  const rows = fc.array(fc.tuple(cell, cell, fc.integer({ min: -1, max: 2 })), {
    minLength: 1,
    maxLength: 30,
  });
  const table = (values: readonly (readonly [number, number, number])[]): TableCells => ({
    count: values.length,
    columns: [
      number(
        "a",
        values.map(([a]) => a),
      ),
      number(
        "b",
        values.map(([, b]) => b),
      ),
      { kind: "levels", name: "c", levels: ["x", "y", "z"], values: Int32Array.from(values, ([, , c]) => c) },
    ] satisfies ColumnCells[],
  });
  fc.assert(
    fc.property(rows, rows, (left, right) => {
      const [a, b] = [table(left), table(right)];
      const { shapes, trends, coverage, adherence, missing } = tableSimilarity(a, b);
      for (const value of [shapes, trends, coverage, adherence, missing]) {
        if (value === undefined) continue;
        expect(value).toBeGreaterThanOrEqual(-1e-12);
        expect(value).toBeLessThanOrEqual(1 + 1e-12);
      }
      const { nearerToTraining, median, low } = tablePrivacy(b, a, b);
      for (const value of [nearerToTraining, median, low]) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 60 },
  );
  const gone = { count: 2, columns: [number("a", [Number.NaN, Number.NaN])] };
  const there = { count: 2, columns: [number("a", [1, 2])] };
  expect(tableSimilarity(gone, there)).toMatchObject({ columns: [{ name: "a", missing: 0 }], pairs: [] });
  expect(tableSimilarity(gone, there).shapes).toBeUndefined();
});

test("tables that do not belong together are refused", () => {
  const one = { count: 1, columns: [number("a", [1])] };
  const other = { count: 1, columns: [number("b", [1])] };
  expect(() => tableSimilarity(one, other)).toThrow('column "a" of numbers is not column 1');
  expect(() => tableSimilarity(one, { count: 0, columns: [number("a", [])] })).toThrow("no rows");
});
