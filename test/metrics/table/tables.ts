import { readFile } from "node:fs/promises";
import type { ColumnCells, TableCells } from "../../../src/metrics/index.ts";

type Cells = Readonly<Record<string, readonly (number | string | null)[]>>;

interface Fixture {
  readonly levels: Readonly<Record<string, readonly string[]>>;
  readonly real: Cells;
  readonly synthetic: Cells;
  readonly held: Cells;
  readonly columns: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly pairs: Readonly<Record<string, number>>;
  readonly toTraining: readonly number[];
  readonly heldToTraining: readonly number[];
  readonly closerToTraining: number;
  readonly parts: readonly (readonly number[])[];
  readonly areas: readonly number[];
  readonly trees: {
    readonly grid: readonly (readonly (number | null)[])[];
    readonly target: readonly number[];
    readonly classes: readonly number[];
    readonly three: readonly number[];
    readonly numbers: readonly number[];
    readonly logOdds: readonly number[];
    readonly logits: readonly (readonly number[])[];
    readonly r2: number;
    readonly macroF1: number;
    readonly guess: readonly number[];
  };
}

/** Tables and what SDMetrics and scikit-learn make of them. */
export const fixture: Fixture = JSON.parse(
  await readFile(new URL("../../fixtures/metrics/tables.json", import.meta.url), "utf8"),
);

/** A table of the fixture as measures take it. */
export function tableOf(cells: Cells): TableCells {
  const columns = Object.entries(cells).map(([name, values]): ColumnCells => {
    const levels = fixture.levels[name];
    return levels === undefined
      ? {
          kind: "numbers",
          name,
          values: Float64Array.from(values, (cell) => (cell === null ? Number.NaN : Number(cell))),
        }
      : {
          kind: "levels",
          name,
          levels,
          values: Int32Array.from(values, (cell) => (cell === null ? -1 : levels.indexOf(String(cell)))),
        };
  });
  return { count: columns[0]?.values.length ?? 0, columns };
}
