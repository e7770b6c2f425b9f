import { createHash } from "node:crypto";
import { basename, extname } from "node:path";
import { DataError } from "../errors.ts";
import { Random } from "../random.ts";
import type { Column } from "./columns.ts";
import { columnWidth, encodeCategory, encodeNumber, tableWidth } from "./columns.ts";
import type { DataSet, SplitName } from "./data-set.ts";
import { describeSplits, storedSplit } from "./data-set.ts";
import type { TableSource } from "./duckdb.node.ts";
import { openSource, withDuckDb } from "./duckdb.node.ts";
import type { DataOptions } from "./options.ts";
import { resolveDataOptions } from "./options.ts";
import { randomSplit } from "./order.ts";
import type { Rows, Wanted } from "./table-rows.node.ts";
import { readRows } from "./table-rows.node.ts";

/** Where a table comes from: a file, a query, or a query over a file that it calls `data`. */
export interface TablePlace {
  readonly path?: string | undefined;
  readonly sql?: string | undefined;
}

/** In order of size where all are numbers, else by code point, so that the order is the same everywhere. */
function sortedCategories(values: Iterable<string>): string[] {
  const distinct = [...new Set(values)];
  if (distinct.every((value) => value.trim() !== "" && !Number.isNaN(Number(value)))) {
    return distinct.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
  }
  return distinct.sort((a, b) => (a < b ? -1 : 1));
}

function chooseColumns(source: TableSource, options: DataOptions): Wanted[] {
  const { columns, categorical = [], label } = options;
  const names = columns ?? source.columns.map((column) => column.name);
  const chosen = names.filter((name) => name !== label);
  const stray = categorical.find((name) => !chosen.includes(name));
  if (stray !== undefined) {
    throw new DataError(
      `${source.label}: the categorical column "${stray}" is not among the columns read: ${chosen.join(", ")}`,
    );
  }
  const wanted: Wanted[] = chosen.map((name) => ({
    name,
    as: categorical.includes(name) ? "text" : "number",
  }));
  if (label !== undefined) wanted.push({ name: label, as: "text" });
  return wanted;
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

/**
 * A table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB). Numeric columns are standardised by the training
 * split; categorical ones must be declared and become noisy one-hot codes (see `Column`); `label` is left out of the
 * samples and becomes the class. The split is random by seed.
 * @throws DataError where the file is missing, empty or unreadable, a column is missing, or a cell cannot be used
 * (naming file, column and rows); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openTable(place: TablePlace, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label } = resolved;
  const { source, wanted, values, texts, count } = await readTable(place, resolved);
  const random = new Random(seed).split("table");
  const parts = randomSplit(count, resolved, random.split("split"));

  const constant: string[] = [];
  const featureCount = wanted.length - (label === undefined ? 0 : 1);
  const columns = wanted.slice(0, featureCount).map(({ name, as }, index): Column => {
    if (as === "text") return { kind: "categorical", name, categories: sortedCategories(texts[index] ?? []) };
    const column = values[index] ?? new Float64Array(0);
    if (parts.train.every((row) => column[row] === column[parts.train[0] ?? 0])) constant.push(name);
    return { kind: "numeric", name, ...statistics(column, parts.train) };
  });
  const width = tableWidth(columns);
  const store = new Float32Array(count * width);
  encodeRows(
    columns,
    { firstRow: 0, count, columns: columns.map((_, i) => values[i] ?? texts[i] ?? []) },
    random,
    {
      target: store,
      label: source.label,
    },
  );

  const classes = label === undefined ? undefined : sortedCategories(texts[featureCount] ?? []);
  const classIndex = new Map(classes?.map((name, index) => [name, index]));
  const labels =
    classes === undefined
      ? undefined
      : Uint32Array.from(texts[featureCount] ?? [], (text) => classIndex.get(text) ?? 0);
  const split = (name: SplitName) => storedSplit(store, [width], parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ columns, classes, seed })).update(store);
  for (const rows of Object.values(parts)) hash.update(rows);
  const name = place.path === undefined ? "query" : basename(place.path, extname(place.path));
  return {
    name,
    kind: "table",
    sampleShape: [width],
    splits,
    columns,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.digest("hex").slice(0, 16),
    describe: () => [
      `${source.label}: ${count} rows, ${columns.length} columns${label === undefined ? "" : `, class "${label}"`}`,
      `${describeSplits(splits)}, split with seed ${seed}`,
      ...columns.flatMap((column) =>
        column.kind === "categorical" ? [`"${column.name}" has ${column.categories.length} categories`] : [],
      ),
      ...constant.map(
        (column) => `"${column}" is constant over the training split: a density of it has no bound`,
      ),
    ],
  };
}

async function readTable(place: TablePlace, options: DataOptions) {
  return withDuckDb(async (connection) => {
    const source = await openSource(connection, place);
    const wanted = chooseColumns(source, options);
    if (wanted.every(({ name }) => name === options.label)) {
      throw new DataError(`${source.label}: no columns are left to learn from; choose some with columns`);
    }
    const chunks: Rows[] = [];
    for await (const rows of readRows(connection, source, wanted, "table")) chunks.push(rows);
    const count = chunks.reduce((sum, rows) => sum + rows.count, 0);
    if (count === 0) throw new DataError(`${source.label}: the table has no rows`);
    if (count < 3)
      throw new DataError(`${source.label}: ${count} rows are too few to train, validate and test on`);
    const values = wanted.map(({ as }, index) => {
      if (as === "text") return undefined;
      const whole = new Float64Array(count);
      for (const { firstRow, columns } of chunks) whole.set(columns[index] as Float64Array, firstRow);
      return whole;
    });
    const texts = wanted.map(({ as }, index) =>
      as === "number" ? undefined : chunks.flatMap(({ columns }) => columns[index] as readonly string[]),
    );
    return { source, wanted, values, texts, count };
  });
}

interface EncodeTarget {
  readonly target: Float32Array;
  readonly known?: Float32Array;
  /** Names the table in error messages. */
  readonly label: string;
}

/**
 * Encodes rows into samples, `[count, width]`, in `target`. Missing cells, where rows may have them, become zeros there
 * and in `known`, which is 1 elsewhere.
 */
export function encodeRows(
  columns: readonly Column[],
  rows: Rows,
  random: Random,
  { target, label, known }: EncodeTarget,
): void {
  const width = tableWidth(columns);
  let offset = 0;
  for (const [index, column] of columns.entries()) {
    const cells = rows.columns[index] ?? [];
    if (column.kind === "numeric") {
      for (let row = 0; row < rows.count; row++) {
        const value = Number(cells[row]);
        if (known !== undefined && Number.isNaN(value)) continue;
        encodeNumber(column, value, target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + 1);
      }
    } else {
      const noise = random.split(column.name);
      const places = new Map(column.categories.map((category, place) => [category, place]));
      for (let row = 0; row < rows.count; row++) {
        if (known !== undefined && cells[row] === null) continue;
        const place = places.get(String(cells[row]));
        if (place === undefined) {
          throw new DataError(
            `${label}: column "${column.name}", row ${rows.firstRow + row + 1}: the category ${JSON.stringify(cells[row])} ` +
              `was not there in training (${column.categories.slice(0, 8).join(", ")}${column.categories.length > 8 ? ", …" : ""})`,
          );
        }
        // A generator for each row: a row's noise does not depend on how the table is read.
        encodeCategory(column, place, noise.split(rows.firstRow + row), target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + columnWidth(column));
      }
    }
    offset += columnWidth(column);
  }
}
