import { createHash } from "node:crypto";
import { OptionError } from "../errors.ts";
import type { BinaryColumn } from "./columns.ts";
import { type DataSet, describeSplits, type SplitName, storedSplit } from "./data-set.ts";
import type { DataOptions } from "./options.ts";
import { resolveDataOptions } from "./options.ts";
import { classesOf, textsOf } from "./table.node.ts";
import { readParts, type TableData } from "./table-parts.node.ts";
import type { Rows } from "./table-rows.node.ts";

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
 * @throws DataError as `openTable`, also where a cell is neither 0 nor 1 (naming file, column, rows and what stands
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
  const { name, label, wanted, rows, count, parts, division } = await readParts(data, resolved, "bit");
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
      `${label}: ${count} rows of ${width} zeros and ones${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
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
