import type { Column } from "../sources/columns.ts";
import { dateText } from "./columns/index.ts";

/** Cells of a column that lie between the values that it has. */
interface Between {
  readonly step: number;
  readonly offset: number;
  readonly first: string;
  readonly row: string;
  count: number;
  /** The last of them: rows up to it that are read again are known. */
  last: number;
}

/** How far a value may lie from its place, in steps: a little rounding is none of its own. */
const ROUNDING = 1e-6;

const isBetween = (value: number, step: number, offset: number): boolean => {
  const place = (value - offset) / step;
  // Of steps that are finer than doubles are there, every value is one.
  return Math.abs(place) < 1e12 && Math.abs(place - Math.round(place)) > ROUNDING;
};

/** What of tables that are read for a run is unlike its data, and is taken all the same: told once, with a count and an example. */
export class TableChanges {
  private readonly between = new Map<string, Between>();

  /** Takes values of consecutive rows, column by column. @param firstRow number of the first among all of the table */
  see(
    columns: readonly Column[],
    values: readonly Float64Array[],
    firstRow: number,
    rowName: (row: number) => string,
  ): void {
    for (const [i, column] of columns.entries()) {
      if (column.kind !== "numeric" || column.cells?.step === undefined) continue;
      const { name } = column;
      const { step, offset = 0, of } = column.cells;
      for (const [at, value] of values[i]?.entries() ?? []) {
        if (Number.isNaN(value) || !isBetween(value, step, offset)) continue;
        const row = firstRow + at;
        const known = this.between.get(name);
        if (known === undefined) {
          const first = of.kind === "date" ? dateText({ name, ...of }, value) : String(value);
          this.between.set(name, { step, offset, first, row: rowName(row), count: 1, last: row });
        } else if (row > known.last) {
          known.count++;
          known.last = row;
        }
      }
    }
  }

  /** Lines for a person, as of now. */
  lines(): readonly string[] {
    return [...this.between].map(([name, { step, offset, first, row, count }]) => {
      const from = offset === 0 ? "" : ` from ${offset}`;
      const many = count === 1 ? "1 cell lies" : `${count} cells lie`;
      return `column "${name}": ${many} between the values that the run knows, multiples of ${step}${from} (${row}: ${first}); what is computed of ${count === 1 ? "it" : "them"} is that of the step around`;
    });
  }
}
