import { expect, test } from "vitest";
import { columnsSchema } from "../../../src/data/sources/columns.ts";
import { TableChanges } from "../../../src/data/table/changes.node.ts";

const number = (name: string, cells: object) => ({
  kind: "numeric",
  name,
  mean: 0,
  deviation: 1,
  cells: { scale: { kind: "standard" }, minimum: 0, maximum: 100, ...cells },
});

const columns = columnsSchema.parse([
  number("age", { of: { kind: "whole" }, step: 1 }),
  number("price", { of: { kind: "real" }, step: 0.1, offset: 0.05 }),
  number("day", { of: { kind: "date", form: "yyyy-MM-dd", precision: "day" }, step: 7, offset: 4 }),
  number("free", { of: { kind: "real" } }),
]);

test("cells between the values of a column are told once, with count and example; gaps and rounding are none", () => {
  const changes = new TableChanges();
  const rows = [
    [30, 30.5, Number.NaN, -2.25],
    [0.05, 0.15, 1.05 + 1e-9, 0.1],
    [4, 11, 12, -3],
    [0.5, 0.123, Number.NaN, 7],
  ].map((values) => Float64Array.from(values));
  const see = (): void => changes.see(columns, rows, 10, (row) => `row ${row + 1}`);
  see();
  const lines = changes.lines();
  expect(lines).toEqual([
    expect.stringMatching(
      /^column "age": 2 cells lie between .* multiples of 1 \(row 12: 30\.5\); .* of them/,
    ),
    expect.stringMatching(
      /^column "price": 1 cell lies between .* multiples of 0\.1 from 0\.05 \(row 14: 0\.1\); .* of it/,
    ),
    expect.stringMatching(/^column "day": 1 cell lies .* \(row 13: 1970-01-13\)/),
  ]);
  // Rows that are read a second time, for reasons, are the same rows.
  see();
  expect(changes.lines()).toEqual(lines);
});
