import { type Column, columnWidth, tableWidth } from "../../../data/sources/columns.ts";
import { sampleValue } from "../../../data/table/codec/index.ts";
import { DataError } from "../../../errors.ts";
import type { ColumnCells, TableCells } from "../../../metrics/index.ts";
import type { NdArray } from "../../../tensor/array.ts";

/** Levels of zeros and ones. */
const BITS = ["0", "1"] as const;

/**
 * Samples `[count, width]` of a table as measures take them: numbers in the column's own units, dates as numbers of their precision, levels by their
 * positions. What lies beyond the bounds of a column is left there, so that it is seen.
 * @throws DataError where the width is not that of the columns
 */
export function cellsOfSamples(columns: readonly Column[], samples: NdArray<"float32">): TableCells {
  const [count = 0, width] = samples.shape;
  if (samples.shape.length !== 2 || width !== tableWidth(columns)) {
    throw new DataError(
      `samples of shape [${samples.shape}] do not fit a table whose rows take ${tableWidth(columns)} numbers`,
    );
  }
  let start = 0;
  return {
    count,
    columns: columns.map((column): ColumnCells => {
      const at = start;
      start += columnWidth(column);
      const valueAt = (row: number): number | undefined =>
        sampleValue(column, samples.data, row * width + at);
      if (column.kind === "numeric") {
        const values = Float64Array.from({ length: count }, (_, row) => valueAt(row) ?? Number.NaN);
        return { kind: "numbers", name: column.name, values };
      }
      return {
        kind: "levels",
        name: column.name,
        levels: column.kind === "binary" ? BITS : column.categories,
        values: Int32Array.from({ length: count }, (_, row) => valueAt(row) ?? -1),
      };
    }),
  };
}
