import type { ColumnCells, TableCells } from "./cells.ts";

// Columns of any kind as numbers that a classifier learns from.

/** Rows of numbers, [count, size]. */
export interface DesignRows {
  readonly count: number;
  readonly size: number;
  readonly data: Float64Array;
}

/** Levels as one-hot codes for a linear model, or a column as it is for trees. */
export type DesignKind = "linear" | "trees";

/** Of a column with levels, its levels and whether it is missing; of numbers, the number and, where there are gaps, whether it is. */
function parts(column: ColumnCells, hasGaps: boolean, kind: DesignKind): number {
  if (kind === "trees")
    return column.kind === "numbers" || column.levels.length <= 2 ? 1 : column.levels.length;
  return (column.kind === "numbers" ? 1 : column.levels.length) + (hasGaps ? 1 : 0);
}

/**
 * A way to make numbers of tables of some columns. For a linear model numbers are standardized by the first table and their gaps become 0 with an
 * indicator, levels are one-hot codes; for trees gaps stay NaN, and numbers as they are.
 * @param tables whose gaps there are; the first gives means and deviations
 * @param without a column that is left out: the target
 */
export function designOf(
  tables: readonly TableCells[],
  kind: DesignKind,
  without?: string,
): (table: TableCells) => DesignRows {
  const [reference] = tables;
  const columns = (reference?.columns ?? []).map((column, k) => {
    const isMissing = (value: number): boolean =>
      column.kind === "numbers" ? Number.isNaN(value) : value < 0;
    const hasGaps = tables.some((table) => table.columns[k]?.values.some(isMissing) === true);
    let [count, mean, squares] = [0, 0, 0];
    if (column.kind === "numbers") {
      for (const value of column.values) {
        if (Number.isNaN(value)) continue;
        count++;
        const change = value - mean;
        mean += change / count;
        squares += change * (value - mean);
      }
    }
    const deviation = Math.sqrt(squares / Math.max(1, count));
    return {
      k,
      isLeftOut: column.name === without,
      width: parts(column, hasGaps, kind),
      hasGaps,
      mean,
      deviation: deviation > 1e-12 * Math.abs(mean) && deviation > 0 ? deviation : 1,
    };
  });
  const used = columns.filter(({ isLeftOut }) => !isLeftOut);
  const size = used.reduce((sum, { width }) => sum + width, 0);
  return (table) => {
    const data = new Float64Array(table.count * size);
    let start = 0;
    for (const { k, width, hasGaps, mean, deviation } of used) {
      const column = table.columns[k];
      for (let row = 0; row < table.count; row++) {
        const at = row * size + start;
        const value = column?.values[row] ?? Number.NaN;
        const missing = column?.kind === "levels" ? value < 0 : Number.isNaN(value);
        if (kind === "trees") {
          if (width === 1) data[at] = missing ? Number.NaN : value;
          else
            for (let level = 0; level < width; level++)
              data[at + level] = missing ? Number.NaN : level === value ? 1 : 0;
        } else if (missing) {
          if (hasGaps) data[at + width - 1] = 1;
        } else if (column?.kind === "numbers") data[at] = (value - mean) / deviation;
        else if (value < width) data[at + value] = 1;
      }
      start += width;
    }
    return { count: table.count, size, data };
  };
}
