import { createHash } from "node:crypto";
import { Random } from "../random.ts";
import type { Column } from "./columns.ts";
import { tableWidth } from "./columns.ts";
import type { DataSet, SplitName } from "./data-set.ts";
import { describeSplits, storedSplit } from "./data-set.ts";
import type { DataOptions } from "./options.ts";
import { resolveDataOptions } from "./options.ts";
import { encodeRows } from "./table-encode.node.ts";
import { readParts, type TableData } from "./table-parts.node.ts";
import type { Rows } from "./table-rows.node.ts";

/** In order of size where all are numbers, else by code point, so that the order is the same everywhere. */
export function sortedCategories(values: Iterable<string>): string[] {
  const distinct = [...new Set(values)];
  if (distinct.every((value) => value.trim() !== "" && !Number.isNaN(Number(value)))) {
    return distinct.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
  }
  return distinct.sort((a, b) => (a < b ? -1 : 1));
}

/** Mean and standard deviation over the given rows, in two passes. */
function statistics(
  values: Float64Array,
  rows: Uint32Array,
): { readonly mean: number; readonly deviation: number } {
  const average = (of: (value: number) => number) =>
    rows.reduce((sum, row) => sum + of(values[row] ?? 0), 0) / Math.max(1, rows.length);
  const mean = average((value) => value);
  const deviation = Math.sqrt(average((value) => (value - mean) ** 2));
  // Rounding leaves a constant column a deviation of a few ulps.
  const constant = !(deviation > 1e-12 * Math.abs(mean)) || deviation === 0;
  return { mean, deviation: constant ? 1 : deviation };
}

/** Classes in order, and the place of that of each row. */
export function classesOf(texts: readonly string[]): {
  readonly classes: readonly string[];
  readonly labels: Uint32Array;
} {
  const classes = sortedCategories(texts);
  const places = new Map(classes.map((name, index) => [name, index]));
  return { classes, labels: Uint32Array.from(texts, (text) => places.get(text) ?? 0) };
}

/** All texts of a column that was read without gaps. */
export function textsOf(rows: readonly Rows[], column: number): readonly string[] {
  return rows.flatMap(({ columns }) => columns[column] as readonly string[]);
}

/** All numbers of a column. */
function numbersOf(rows: readonly Rows[], column: number, count: number): Float64Array {
  const whole = new Float64Array(count);
  for (const { firstRow, columns } of rows) whole.set(columns[column] as Float64Array, firstRow);
  return whole;
}

/**
 * A table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB), or a folder with a table for each split. Numeric
 * columns are standardised by the training split; categorical ones must be declared and become noisy one-hot codes (see
 * `Column`); `label` is left out of the samples and becomes the class. The split of one table is random by seed.
 * @throws DataError where the file is missing, empty or unreadable, a column is missing, or a cell cannot be used
 * (naming file, column and rows); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openTable(place: TableData, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label: classColumn } = resolved;
  const { name, label, wanted, rows, count, parts, division } = await readParts(place, resolved, "number");

  const constant: string[] = [];
  const features = classColumn === undefined ? wanted : wanted.slice(0, -1);
  const cells = features.map(({ as }, i) => (as === "text" ? textsOf(rows, i) : numbersOf(rows, i, count)));
  const columns = features.map(({ name }, i): Column => {
    const column = cells[i] ?? [];
    if (!(column instanceof Float64Array)) {
      return { kind: "categorical", name, categories: sortedCategories(column) };
    }
    if (parts.train.every((row) => column[row] === column[parts.train[0] ?? 0])) constant.push(name);
    return { kind: "numeric", name, ...statistics(column, parts.train) };
  });
  const width = tableWidth(columns);
  const store = new Float32Array(count * width);
  encodeRows(columns, { firstRow: 0, count, columns: cells }, new Random(seed).split("table"), {
    target: store,
    label,
  });

  const { classes, labels } = classColumn === undefined ? {} : classesOf(textsOf(rows, features.length));
  const split = (name: SplitName) => storedSplit(store, [width], parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ columns, classes, seed })).update(store);
  for (const rows of Object.values(parts)) hash.update(rows);
  return {
    name,
    kind: "table",
    sampleShape: [width],
    splits,
    columns,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.digest("hex").slice(0, 16),
    describe: () => [
      `${label}: ${count} rows, ${columns.length} columns${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
      `${describeSplits(splits)}, ${division}`,
      ...columns.flatMap((column) =>
        column.kind === "categorical" ? [`"${column.name}" has ${column.categories.length} categories`] : [],
      ),
      ...constant.map(
        (column) => `"${column}" is constant over the training split: a density of it has no bound`,
      ),
    ],
  };
}
