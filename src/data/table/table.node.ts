import { createHash } from "node:crypto";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { type BinaryColumn, type Column, tableWidth } from "../sources/columns.ts";
import { type DataSet, describeSplits, type SplitName, storedSplit } from "../sources/data-set.ts";
import { type DataOptions, resolveDataOptions } from "../sources/options.ts";
import { readParts, type TableData } from "./parts.node.ts";
import { encodeRows, type Rows, type Wanted } from "./rows.node.ts";

/** In order of size where all are numbers, else by code point, so that the order is the same everywhere. */
function sortedCategories(values: Iterable<string>): string[] {
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

/** Classes in order, and the position of that of each row. */
export function classesOf(texts: readonly string[]): {
  readonly classes: readonly string[];
  readonly labels: Uint32Array;
} {
  const classes = sortedCategories(texts);
  const positions = new Map(classes.map((name, index) => [name, index]));
  const positionOf = (text: string) => {
    const position = positions.get(text);
    if (position === undefined) throw new RangeError(`class ${text} is not among ${classes.length}`);
    return position;
  };
  return { classes, labels: Uint32Array.from(texts, positionOf) };
}

/** All texts of a column that was read without gaps. */
function textsOf(rows: readonly Rows[], column: number): readonly string[] {
  return rows.flatMap(({ columns }) => columns[column] as readonly string[]);
}

function nameAt(wanted: readonly Wanted[], index: number): string {
  const column = wanted[index];
  if (column === undefined) throw new RangeError(`column ${index} of ${wanted.length}`);
  return column.name;
}

/** All numbers of a column. */
function numbersOf(rows: readonly Rows[], column: number, count: number): Float64Array {
  const whole = new Float64Array(count);
  for (const { firstRow, columns } of rows) whole.set(columns[column] as Float64Array, firstRow);
  return whole;
}

/**
 * A table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB), or a folder with a table for each split. Numeric
 * columns are standardized by the training split; categorical ones must be declared and become noisy one-hot codes (see
 * `Column`); `label` is left out of the samples and becomes the class. The split of one table is random by seed.
 * @throws DataError where the file is missing, empty or unreadable, a column is missing, or a cell cannot be used
 * (naming file, column and rows); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openTable(data: TableData, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label: classColumn } = resolved;
  const { name, table, wanted, rows, count, parts, division } = await readParts(data, resolved, "number");

  const constant: string[] = [];
  const features = classColumn === undefined ? wanted : wanted.slice(0, -1);
  const cells = features.map(({ as }, i) => (as === "text" ? textsOf(rows, i) : numbersOf(rows, i, count)));
  const columns = cells.map((column, i): Column => {
    const name = nameAt(features, i);
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
    table,
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
      `${table.label}: ${counted(count, "row")}, ${counted(columns.length, "column")}${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
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

/** Columns named in a line of `describe`. */
const NAMED = 8;

/** Bits row by row, one byte each. */
function bitsOf(rows: readonly Rows[], count: number, width: number): Uint8Array {
  const store = new Uint8Array(count * width);
  for (const { firstRow, count: length, columns } of rows) {
    for (let i = 0; i < width; i++) {
      const column = columns[i] as Uint8Array;
      for (let row = 0, at = firstRow * width + i; row < length; row++, at += width) {
        store[at] = column[row] ?? 0;
      }
    }
  }
  return store;
}

/** How many of some rows have a one in each column. */
function countOnes(store: Uint8Array, width: number, rows: Uint32Array): Uint32Array {
  const ones = new Uint32Array(width);
  for (const row of rows) {
    const start = row * width;
    for (let i = 0; i < width; i++) ones[i] = (ones[i] ?? 0) + (store[start + i] ?? 0);
  }
  return ones;
}

/**
 * Vectors of zeros and ones: a table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB), or a folder with a table for
 * each split. Every cell is 0 or 1, true or false, yes or no; `label` is left out of the samples and becomes the class. A CSV
 * file needs no names in its first line. The split of one table is random by seed.
 * @throws DataError as `openTable`, also where a cell is neither 0 nor 1 (naming file, column, rows and what is
 * there); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openBinaryTable(data: TableData, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label: classColumn, categorical } = resolved;
  if (categorical.length > 0) {
    throw new OptionError(
      `option categorical: ${categorical.join(", ")} cannot hold categories in a table of zeros and ones; make them columns of zeros and ones by sql, or leave binary out`,
    );
  }
  const { name, table, wanted, rows, count, parts, division } = await readParts(data, resolved, "bit");
  const features = classColumn === undefined ? wanted : wanted.slice(0, -1);
  const width = features.length;
  const columns = features.map(({ name }): BinaryColumn => ({ kind: "binary", name }));
  const store = bitsOf(rows, count, width);
  const { classes, labels } = classColumn === undefined ? {} : classesOf(textsOf(rows, width));
  const split = (name: SplitName) => storedSplit(store, [width], parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ columns, classes, seed })).update(store);
  if (labels !== undefined) hash.update(labels);
  for (const rows of Object.values(parts)) hash.update(rows);
  const ones = countOnes(store, width, parts.train);
  return {
    name,
    kind: "binary",
    sampleShape: [width],
    splits,
    columns,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.digest("hex").slice(0, 16),
    describe: () => [
      `${table.label}: ${counted(count, "row")} of ${width} zeros and ones${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
      `${describeSplits(splits)}, ${division}`,
      ...constantLines(columns, ones, parts.train.length),
    ],
  };
}

/** A line for columns that are always 0, and one for those that are always 1, in the training split. */
function constantLines(columns: readonly BinaryColumn[], ones: Uint32Array, rows: number): string[] {
  return [0, 1].flatMap((value) => {
    const names = columns.flatMap(({ name }, i) => (ones[i] === value * rows ? [name] : []));
    if (names.length === 0) return [];
    const shown = `${names.slice(0, NAMED).join(", ")}${names.length > NAMED ? ", …" : ""}`;
    return [`always ${value} in the training split: ${names.length} of the columns (${shown})`];
  });
}
