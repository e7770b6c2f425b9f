import * as z from "zod";
import { list, MOST, nameList, text } from "../../bounds.ts";
import { DataError } from "../../errors.ts";
import type { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";

const numericColumn = z.strictObject({
  kind: z.literal("numeric"),
  name: text(),
  /** Mean and standard deviation over the training split, in the column's own units; a constant has deviation 1. */
  mean: z.number(),
  deviation: z.number().positive(),
});

const categoricalColumn = z.strictObject({
  kind: z.literal("categorical"),
  name: text(),
  /** In sorted order; the position is that in the one-hot code. */
  categories: nameList(text()).min(1).readonly(),
});

const binaryColumn = z.strictObject({ kind: z.literal("binary"), name: text() });

/** A column of a table as plain JSON: what is stored with a model, so that new tables are read as the training table. */
export const columnSchema = z
  .discriminatedUnion("kind", [numericColumn, categoricalColumn, binaryColumn])
  .readonly();

/** All columns of a table, in the order in which a sample holds them. */
export const columnsSchema = list(columnSchema, MOST.names).min(1).readonly();

/**
 * A numeric column is one number of a sample: (value − mean) / deviation.
 *
 * A categorical column of K categories is K numbers: its one-hot code plus uniform noise on [−½, ½) for each, so that a
 * density over them has no infinite spikes. The largest of the K numbers always marks the category, and since each
 * category owns a cube of volume 1, the mean log-density over the noise is a lower bound on the log-probability of the
 * category (uniform dequantization; Theis et al. 2016, arXiv:1511.01844, section 3.1).
 *
 * A binary column is one number of a sample, 0 or 1 as in the table; a table has only such columns or none.
 */
export type Column = z.infer<typeof columnSchema>;
export type NumericColumn = Extract<Column, { kind: "numeric" }>;
export type CategoricalColumn = Extract<Column, { kind: "categorical" }>;
export type BinaryColumn = Extract<Column, { kind: "binary" }>;

/** A cell of a table as a person writes it. */
export type Cell = number | string;

/** How many numbers of a sample a column takes. */
export function columnWidth(column: Column): number {
  return column.kind === "categorical" ? column.categories.length : 1;
}

/** Length of a sample that holds these columns. */
export function tableWidth(columns: readonly Column[]): number {
  return columns.reduce((width, column) => width + columnWidth(column), 0);
}

/**
 * Sum of log deviations, in nats: subtract it from a log-density over standardized values to get the log-density in
 * the table's own units.
 */
export function logScale(columns: readonly Column[]): number {
  return columns.reduce(
    (sum, column) => sum + (column.kind === "numeric" ? Math.log(column.deviation) : 0),
    0,
  );
}

/** Writes a standardized number, or a noisy one-hot code, for one row at `offset`. */
export function encodeNumber(
  column: NumericColumn,
  value: number,
  target: Float32Array,
  offset: number,
): void {
  target[offset] = (value - column.mean) / column.deviation;
}

/** `index` is the category's position in `column.categories`; the noise is drawn from `random`. */
export function encodeCategory(
  column: CategoricalColumn,
  index: number,
  random: Random,
  target: Float32Array,
  offset: number,
): void {
  for (let k = 0; k < column.categories.length; k++) {
    // 23 bits are exact in float32 on the whole of [−½, 1½), so the codes of two categories never touch
    const noise = Math.floor(random.uniform() * 2 ** 23) / 2 ** 23 - 0.5;
    target[offset + k] = noise + (k === index ? 1 : 0);
  }
}

/**
 * Undoes the encoding of one sample: numbers in the column's own units, rounded to the seven digits that float32
 * carries; categories by the largest number of their code. Where a model gives the probability of a one instead of
 * zeros and ones, a binary column holds that.
 */
export function decodeRow(columns: readonly Column[], sample: ArrayLike<number>, offset = 0): Cell[] {
  let at = offset;
  return columns.map((column) => {
    const start = at;
    at += columnWidth(column);
    if (column.kind !== "categorical") {
      const value = sample[start];
      if (value === undefined) throw new DataError(`a sample has no number for column "${column.name}"`);
      const scaled = column.kind === "numeric" ? value * column.deviation + column.mean : value;
      return Number(scaled.toPrecision(7));
    }
    let best = 0;
    for (let k = 1; k < column.categories.length; k++) {
      if ((sample[start + k] ?? 0) > (sample[start + best] ?? 0)) best = k;
    }
    const category = column.categories[best];
    if (category === undefined) throw new DataError(`column "${column.name}" has no categories`);
    return category;
  });
}

/**
 * Undoes the encoding of samples `[count, width]`.
 * @throws DataError where the width is not that of the columns.
 */
export function decodeTable(columns: readonly Column[], samples: NdArray<"float32">): Cell[][] {
  const width = tableWidth(columns);
  const [count = 0, found] = samples.shape;
  if (samples.shape.length !== 2 || found !== width) {
    throw new DataError(
      `samples of shape [${samples.shape}] do not fit a table whose rows take ${width} numbers`,
    );
  }
  return Array.from({ length: count }, (_, row) => decodeRow(columns, samples.data, row * width));
}
