import type { CategoricalColumn, Column, NumericColumn } from "../../sources/columns.ts";
import { type ColumnOf, dateNumber, type LearnedColumn } from "../columns/index.ts";
import { valueOfCell } from "./codec.ts";
import { fitScale, statistics, toScale } from "./scales.ts";

// What is stored with a model of a column: its kind as it was found or declared, and what follows from the training split.

/** Cells of a column as they are read, by row; null or NaN where they are missing. */
type Cells = ArrayLike<number | string | null>;

/** Share of missing cells that is taken for a column whose gaps all lie outside of the training split, in rows. */
const UNSEEN = 0.5;

const isGap = (cell: number | string | null | undefined): boolean =>
  cell === null || cell === undefined || Number.isNaN(cell);

/** The share of gaps among training rows; undefined where the column has none anywhere. */
function gapsOf(found: LearnedColumn, cells: Cells, rows: Uint32Array): { readonly gaps?: number } {
  const missing = rows.reduce((sum, row) => sum + (isGap(cells[row]) ? 1 : 0), 0);
  if (missing === 0 && found.gaps === 0) return {};
  return { gaps: Math.max(UNSEEN, missing) / Math.max(1, rows.length) };
}

/** The values of training rows, gaps left out. */
function valuesOf(column: Column, cells: Cells, rows: Uint32Array): Float64Array {
  const values: number[] = [];
  for (const row of rows) {
    const cell = cells[row];
    if (cell === null || cell === undefined || Number.isNaN(cell)) continue;
    const value = valueOfCell(column, cell);
    if (value !== undefined) values.push(value);
  }
  return Float64Array.from(values);
}

/** Bounds that were declared, or else those seen. */
function boundsOf(found: ColumnOf<"real" | "whole" | "date">): { minimum: number; maximum: number } {
  if (found.kind !== "date") {
    const { minimum, maximum, declared } = found;
    return { minimum: declared?.minimum ?? minimum, maximum: declared?.maximum ?? maximum };
  }
  const number = (text: string): number => {
    const value = dateNumber(found, text);
    if (value === undefined) throw new RangeError(`column "${found.name}": ${text} is no date`);
    return value;
  };
  const { minimum, maximum, declared } = found;
  return {
    minimum: number(declared?.minimum ?? minimum),
    maximum: number(declared?.maximum ?? maximum),
  };
}

function kindOf(found: ColumnOf<"real" | "whole" | "date">): NonNullable<NumericColumn["cells"]>["of"] {
  if (found.kind !== "date") return { kind: found.kind };
  const { form, precision, zone } = found;
  return { kind: "date", form, precision, ...(zone !== undefined && { zone }) };
}

/** A column of numbers: its scale, and mean and deviation on it, follow from the training split. */
function numericOf(
  found: ColumnOf<"real" | "whole" | "date">,
  cells: Cells,
  rows: Uint32Array,
): NumericColumn {
  const { name, scale: kind, resolution: step, offset } = found;
  const plain = {
    of: kindOf(found),
    scale: { kind: "standard" },
    ...(step !== undefined && { step }),
    ...(offset !== undefined && { offset }),
    ...boundsOf(found),
    ...gapsOf(found, cells, rows),
  } as const;
  const values = valuesOf({ kind: "numeric", name, mean: 0, deviation: 1, cells: plain }, cells, rows);
  const scale = values.length === 0 ? plain.scale : fitScale(kind, values, step);
  const scaled = values.map((value) => toScale(scale, value));
  return { kind: "numeric", name, ...statistics(scaled), cells: { ...plain, scale } };
}

/** A column of categories, in the order in which they were found; of false and true, in this order. */
function categoricalOf(
  found: ColumnOf<"boolean" | "category">,
  cells: Cells,
  rows: Uint32Array,
): CategoricalColumn {
  const { name } = found;
  const column: CategoricalColumn =
    found.kind === "boolean"
      ? { kind: "categorical", name, categories: found.texts }
      : {
          kind: "categorical",
          name,
          categories: found.levels.map(({ level }) => level),
          ...(found.pooled !== undefined && { pooled: found.pooled }),
          ...(found.hash !== undefined && { hash: found.hash }),
        };
  const gaps = gapsOf(found, cells, rows);
  if (gaps.gaps === undefined) return column;
  // Each category counts once more, so that none has the share 0.
  const counts = column.categories.map(() => 1);
  for (const position of valuesOf(column, cells, rows)) counts[position] = (counts[position] ?? 0) + 1;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return { ...column, ...gaps, shares: counts.map((count) => count / all) };
}

/**
 * The column as it is stored with a model.
 * @param found its kind, found or declared
 * @param cells as they are read, by row of the table
 * @param rows of the training split
 */
export function columnOf(found: LearnedColumn, cells: Cells, rows: Uint32Array): Column {
  return found.kind === "boolean" || found.kind === "category"
    ? categoricalOf(found, cells, rows)
    : numericOf(found, cells, rows);
}
