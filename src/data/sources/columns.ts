import * as z from "zod";
import { list, MOST, nameList, text } from "../../bounds.ts";

/**
 * How the values of a column are brought to a scale on which models learn them well. Each is an increasing function w of the value v
 * (`table/codec/scales.ts`):
 *
 * - `standard`: w = v
 * - `log`: w = log((v − edge) / unit) where (v − edge) / unit ≥ `from`, and its tangent below
 * - `yeo-johnson`: the power transform of (v − center) / unit (Yeo and Johnson 2000), with λ in [0, 2], where all numbers have an inverse
 * - `quantile`: straight between knots, quantiles of the training data that are mapped to those of the standard normal distribution; a value that
 *   many cells have takes all of their quantiles
 */
export const scaleSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("standard") }),
    z.strictObject({
      kind: z.literal("log"),
      edge: z.number(),
      unit: z.number().positive(),
      from: z.number().positive(),
    }),
    z.strictObject({
      kind: z.literal("yeo-johnson"),
      center: z.number(),
      unit: z.number().positive(),
      lambda: z.number().min(0).max(2),
    }),
    z.strictObject({
      kind: z.literal("quantile"),
      /** Increasing, both. Two knots of one value are an atom: it stands for all scores between them, and noise spreads its cells over them. */
      values: list(z.number(), MOST.names).min(2).readonly(),
      scores: list(z.number(), MOST.names).min(2).readonly(),
    }),
  ])
  .readonly();

export type Scale = z.infer<typeof scaleSchema>;

/** What the numbers of a column are, beside being numbers. */
const numberKind = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("real") }),
    z.strictObject({ kind: z.literal("whole") }),
    z.strictObject({
      kind: z.literal("date"),
      form: text(),
      precision: z.enum(["year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"]),
      zone: text().optional(),
    }),
  ])
  .readonly();

/** The share of cells of the training split that are missing, where some are. */
const gapShare = z.number().gt(0).max(1).optional();

/** How cells of a numeric column are written and learned. */
const cells = z
  .strictObject({
    of: numberKind,
    scale: scaleSchema,
    /** All values are multiples of it, from `offset` on; what is drawn is rounded to them. Left out where values are as fine as a double. */
    step: z.number().positive().optional(),
    /** All values are this and multiples of the step: 0.5 where they are 0.5, 1.5, 2.5 (default: 0). */
    offset: z.number().optional(),
    /** Bounds seen in the table or declared; what is drawn beyond is set to them. */
    minimum: z.number(),
    maximum: z.number(),
    gaps: gapShare,
  })
  .readonly();

const numericColumn = z.strictObject({
  kind: z.literal("numeric"),
  name: text(),
  /** Mean and standard deviation over the training split, in the units of the column's scale; a constant has deviation 1. */
  mean: z.number(),
  deviation: z.number().positive(),
  /** Left out in runs of versions that knew one kind of number: values are real, on their own scale. */
  cells: cells.optional(),
});

const categoricalColumn = z.strictObject({
  kind: z.literal("categorical"),
  name: text(),
  /** In sorted order; the position is that in the one-hot code. Of a column of false and true, in that order. */
  categories: nameList(text()).min(1).readonly(),
  gaps: gapShare,
  /** The share of each category among the cells that are there, where some are missing; above 0. */
  shares: list(z.number().gt(0).max(1), MOST.names).readonly().optional(),
  /** Rare categories that count as one, and which of `categories` that is; categories never seen belong to it, too. */
  pooled: z
    .strictObject({ as: text(), levels: list(text(), MOST.names).readonly() })
    .readonly()
    .optional(),
  /** Texts are hashed into so many categories, #0, #1, … */
  hash: z.int().min(2).max(MOST.units).optional(),
});

const binaryColumn = z.strictObject({ kind: z.literal("binary"), name: text(), gaps: gapShare });

/** A column of a table as plain JSON: what is stored with a model, so that new tables are read as the training table. */
export const columnSchema = z
  .discriminatedUnion("kind", [numericColumn, categoricalColumn, binaryColumn])
  .readonly();

/** All columns of a table, in the order in which a sample holds them. */
export const columnsSchema = list(columnSchema, MOST.names).min(1).readonly();

/**
 * What the numbers of a sample are for each column; `table/codec` makes them of cells and cells of them.
 *
 * A numeric column is one number: (w − mean) / deviation, w being the value on the column's scale. Values that have a step are
 * dequantized: uniform noise of one step around each.
 *
 * A categorical column of K categories is K numbers: its one-hot code plus uniform noise on [−½, ½) for each, so that a
 * density over them has no infinite spikes. The largest of the K numbers always marks the category, and since each
 * category owns a cube of volume 1, the mean log-density over the noise is a lower bound on the log-probability of the
 * category (uniform dequantization; Theis et al. 2016, arXiv:1511.01844, section 3.1).
 *
 * A column with gaps has a code of two categories in front, there or missing. Where the cell is missing, its numbers are noise of a
 * known density: standard normal, or the code of a category drawn by its share.
 *
 * A binary column is one number of a sample, 0 or 1 as in the table; a table has only such columns or none. With gaps it has
 * a 0 or 1 in front, 1 where the cell is missing, and is then 0 itself.
 */
export type Column = z.infer<typeof columnSchema>;
export type NumericColumn = Extract<Column, { kind: "numeric" }>;
export type CategoricalColumn = Extract<Column, { kind: "categorical" }>;
export type BinaryColumn = Extract<Column, { kind: "binary" }>;

/** A cell of a table as a person writes it. */
export type Cell = number | string;

/** The share of a column's cells that were missing in training; undefined where none was, and the model knows no gaps of it. */
export function gapsOfColumn(column: Column): number | undefined {
  return column.kind === "numeric" ? column.cells?.gaps : column.gaps;
}

/** How many numbers say whether the cell is there. */
export function gapWidth(column: Column): number {
  if (gapsOfColumn(column) === undefined) return 0;
  return column.kind === "binary" ? 1 : 2;
}

/** How many numbers of a sample a column's value takes. */
export function valueWidth(column: Column): number {
  return column.kind === "categorical" ? column.categories.length : 1;
}

/** How many numbers of a sample a column takes. */
export function columnWidth(column: Column): number {
  return gapWidth(column) + valueWidth(column);
}

/** Length of a sample that holds these columns. */
export function tableWidth(columns: readonly Column[]): number {
  return columns.reduce((width, column) => width + columnWidth(column), 0);
}
