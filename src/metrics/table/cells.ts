import { OptionError } from "../../errors.ts";

// A table as measures of synthetic tables take it: columns of numbers and of levels, gaps among them.

/** A column of numbers: real and whole numbers, dates as numbers of their precision. */
export interface NumberCells {
  readonly kind: "numbers";
  readonly name: string;
  /** NaN where a cell is missing. */
  readonly values: Float64Array;
}

/** A column of levels: categories, false and true, zeros and ones. */
export interface LevelCells {
  readonly kind: "levels";
  readonly name: string;
  readonly levels: readonly string[];
  /** Positions among the levels; −1 where a cell is missing. */
  readonly values: Int32Array;
}

export type ColumnCells = NumberCells | LevelCells;

/** Columns of equally many cells. */
export interface TableCells {
  readonly count: number;
  readonly columns: readonly ColumnCells[];
}

/** Pairs of columns of the same name and kind of two tables. @throws OptionError where they do not belong together */
export function columnPairs(
  name: string,
  real: TableCells,
  synthetic: TableCells,
): readonly (readonly [ColumnCells, ColumnCells])[] {
  if (real.count === 0 || synthetic.count === 0) throw new OptionError(`${name}: a table has no rows`);
  if (real.columns.length !== synthetic.columns.length) {
    throw new OptionError(
      `${name}: tables of ${real.columns.length} and of ${synthetic.columns.length} columns`,
    );
  }
  return real.columns.map((column, i) => {
    const other = synthetic.columns[i];
    if (other === undefined || other.name !== column.name || other.kind !== column.kind) {
      throw new OptionError(
        `${name}: column "${column.name}" of ${column.kind} is not column ${i + 1} of the other table`,
      );
    }
    if (column.kind === "levels" && other.kind === "levels" && !sameLevels(column, other)) {
      throw new OptionError(`${name}: column "${column.name}" has other levels in the other table`);
    }
    return [column, other];
  });
}

const sameLevels = (a: LevelCells, b: LevelCells): boolean =>
  a.levels.length === b.levels.length && a.levels.every((level, i) => level === b.levels[i]);

/** Some of the rows, in this order. */
export function pickCells({ columns }: TableCells, rows: ArrayLike<number>): TableCells {
  const pick = <T extends Float64Array | Int32Array>(values: T, empty: T): T => {
    for (let i = 0; i < rows.length; i++) empty[i] = values[rows[i] ?? 0] ?? Number.NaN;
    return empty;
  };
  return {
    count: rows.length,
    columns: columns.map((column) =>
      column.kind === "numbers"
        ? { ...column, values: pick(column.values, new Float64Array(rows.length)) }
        : { ...column, values: pick(column.values, new Int32Array(rows.length)) },
    ),
  };
}

/** The numbers of a column that are there. */
export function presentNumbers({ values }: NumberCells): Float64Array {
  return values.filter((value) => !Number.isNaN(value));
}

/** How often each level is there. */
export function levelCounts({ levels, values }: LevelCells): Float64Array {
  const counts = new Float64Array(levels.length);
  for (const value of values) if (value >= 0) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

/** How many cells of a column are missing. */
export function missingCount(column: ColumnCells): number {
  return column.kind === "numbers"
    ? column.values.length - presentNumbers(column).length
    : column.values.reduce((sum, value) => sum + (value < 0 ? 1 : 0), 0);
}

/** The smallest and the largest number; undefined where there is none. */
export function rangeOf(column: NumberCells): { readonly low: number; readonly high: number } | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of column.values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? { low, high } : undefined;
}
