import * as z from "zod";
import { list, MOST, text } from "../../../bounds.ts";

// What the columns of a table are: found in the data, or declared by a person in a schema file. Plain JSON, kept with a run.

/** How the numbers of a column are brought to a scale that a model learns well; a suggestion, with its reason in `why`. */
export const columnScales = ["standard", "quantile", "log", "yeo-johnson"] as const;
export type ColumnScale = (typeof columnScales)[number];

/** What the smallest step of a date is; the number of a date counts these since 1970 (`year`: since the year 0). */
export const datePrecisions = [
  "year",
  "month",
  "day",
  "hour",
  "minute",
  "second",
  "millisecond",
  "microsecond",
] as const;
export type DatePrecision = (typeof datePrecisions)[number];

const common = {
  name: text(),
  /** What was decided of the column, and the reason, for a person. */
  why: text(),
  /** Cells that are missing. */
  gaps: z.int().min(0),
  /** Different values, gaps apart. */
  distinct: z.int().min(0),
};

/** Bounds that a person declares: no value lies outside, in the data or in what is drawn. */
const numberBounds = z
  .strictObject({ minimum: z.number().optional(), maximum: z.number().optional() })
  .readonly();

const numbers = {
  ...common,
  /** The smallest and the largest value seen. */
  minimum: z.number(),
  maximum: z.number(),
  declared: numberBounds.optional(),
  scale: z.enum(columnScales),
};

const realColumn = z.strictObject({
  kind: z.literal("real"),
  ...numbers,
  /** The column's own step: all values are multiples of it, from `offset` on. Left out where they are as fine as a double. */
  resolution: z.number().positive().optional(),
  offset: z.number().optional(),
});

const wholeColumn = z.strictObject({
  kind: z.literal("whole"),
  ...numbers,
  /** The column's own step, 1 or a larger whole number: all values are multiples of it, from `offset` on. */
  resolution: z.number().positive(),
  offset: z.number().optional(),
});

const dateColumn = z.strictObject({
  kind: z.literal("date"),
  ...common,
  /** How dates are written: yyyy, MM (MMM: Jan), dd, HH, mm, ss, SSS and zone (see `dates.ts`). */
  form: text(),
  precision: z.enum(datePrecisions),
  /** "Z" or an offset such as "+02:00" in which all are written; left out where dates have no zone. */
  zone: z
    .string()
    .regex(/^(Z|[+-]\d\d:\d\d)$/, 'a zone is "Z" or an offset such as "+02:00"')
    .optional(),
  /** The earliest and the latest date seen, as they are written in the column. */
  minimum: text(),
  maximum: text(),
  declared: z.strictObject({ minimum: text().optional(), maximum: text().optional() }).readonly().optional(),
  /** The column's own step in units of the precision: 15 where times are quarters of an hour. */
  resolution: z.int().min(1),
  /** Where steps begin, in units of the precision since 1970: 4 for the Mondays of steps of 7 days. */
  offset: z.int().optional(),
  scale: z.enum(columnScales),
});

const booleanColumn = z.strictObject({
  kind: z.literal("boolean"),
  ...common,
  /** How false and true are written. */
  texts: z.tuple([text(), text()]).readonly(),
  /** How often each was seen. */
  counts: z.tuple([z.int().min(0), z.int().min(0)]).readonly(),
});

const level = z.strictObject({ level: text(), count: z.int().min(0) }).readonly();

const categoryColumn = z.strictObject({
  kind: z.literal("category"),
  ...common,
  /** The levels in order (by number where all are numbers, else by code point), with how often each was seen. */
  levels: list(level, MOST.names).min(1).readonly(),
  /** Rare levels that count as one, on request: how it is called (one of `levels`), and which they are. Levels never seen belong to it, too. */
  pooled: z
    .strictObject({ as: text(), levels: list(text(), MOST.names).readonly() })
    .readonly()
    .optional(),
  /** Texts of many values that are hashed, on request, into so many levels, which are called #0, #1, … */
  hash: z.int().min(2).max(MOST.units).optional(),
});

const leftOut = { ...common, example: text().optional() };

/** Columns that no model learns, and are not drawn. */
const constantColumn = z.strictObject({ kind: z.literal("constant"), ...leftOut });
const identifierColumn = z.strictObject({ kind: z.literal("identifier"), ...leftOut });
const textColumn = z.strictObject({ kind: z.literal("text"), ...leftOut });
const indexColumn = z.strictObject({ kind: z.literal("index"), ...leftOut });

/** What a column of a table is, with what was seen of it. */
export const tableColumnSchema = z
  .discriminatedUnion("kind", [
    realColumn,
    wholeColumn,
    dateColumn,
    booleanColumn,
    categoryColumn,
    constantColumn,
    identifierColumn,
    textColumn,
    indexColumn,
  ])
  .readonly();

/** All columns of a table in the order in which they stand there. */
export const tableColumnsSchema = list(tableColumnSchema, MOST.names).min(1).readonly();

/**
 * What a column of a table is:
 * - `real`: numbers; `whole`: whole numbers; `date`: dates and times, whole numbers of their precision (`dateNumber`)
 * - `boolean`: two texts; `category`: a few texts, in an order that means nothing
 * - left out of models: `constant` (one value), `identifier` (another value in each row), `text` (texts of many values), `index` (counts the rows)
 */
export type TableColumn = z.infer<typeof tableColumnSchema>;
export type ColumnKind = TableColumn["kind"];
/** A column of one kind, or of some. */
export type ColumnOf<K extends ColumnKind> = Extract<TableColumn, { kind: K }>;

/** Kinds that are left out of models. */
export const leftOutKinds = ["constant", "identifier", "text", "index"] as const;
export type LeftOutKind = (typeof leftOutKinds)[number];
/** Columns that models learn. */
export type LearnedColumn = Exclude<TableColumn, { kind: LeftOutKind }>;

/** True for a column that models learn: it is not left out. */
export function isLearned(column: TableColumn): column is LearnedColumn {
  return !leftOutKinds.some((kind) => kind === column.kind);
}
