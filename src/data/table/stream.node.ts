import { DataError } from "../../errors.ts";
import { firstNames } from "../../printable.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { type Column, tableWidth } from "../sources/columns.ts";
import { type RowShare, SHARD_BLOCK, type Shard, shareOf } from "../sources/shard.ts";
import type { TableChanges } from "./changes.node.ts";
import { readTable, type TableInput, withTables } from "./input.node.ts";
import {
  areBinary,
  columnAt,
  encodeRows,
  type Rows,
  readRows,
  type Table,
  valuesOfRows,
  type Wanted,
  wantedOf,
} from "./rows.node.ts";

/** Consecutive rows of a table as a model sees them. */
export interface TableBatch {
  /** `[count, width]`. */
  readonly x: NdArray<"float32">;
  /** Position of the first row in the table, from 0. */
  readonly firstRow: number;
  readonly count: number;
  /** What the column of zeros and ones holds, where one is read. */
  readonly marks?: Uint8Array;
  /** Positions of the rows' classes among the given names, where they are read. */
  readonly label?: NdArray<"int64">;
}

/** What of a table is read beside the columns of samples. */
export interface StreamOptions {
  readonly batchSize?: number;
  readonly seed?: number;
  /** A column that holds 0 or 1 in each row. */
  readonly marks?: string | undefined;
  /** A column that holds one of these classes in each row. */
  readonly classes?: { readonly column: string; readonly names: readonly string[] } | undefined;
  /** Reads the rows of a shard alone. */
  readonly shard?: Shard | undefined;
  /** Takes note of cells that are unlike those of the columns. */
  readonly changes?: TableChanges | undefined;
}

/**
 * The rows of a shard; undefined where there is none.
 * @throws DataError where the table has no rows
 */
async function shareIn(table: Table, shard: Shard | undefined): Promise<RowShare | undefined> {
  if (shard === undefined) return undefined;
  const count = await table.countRows();
  if (count === 0) throw new DataError(`${table.label}: the table has no rows`);
  return shareOf(shard, count);
}

/**
 * The first of some columns that a table has and that holds nothing but 0 and 1; undefined where there is none.
 * @throws as `openTable` where the table cannot be read
 */
export async function findMarks(
  input: TableInput,
  candidates: readonly string[],
): Promise<string | undefined> {
  return withTables(async (open) => {
    const table = await open(input);
    for (const name of candidates) {
      if (!table.columns.some((column) => column.name === name)) continue;
      if (await table.holdsBits(name)) return name;
    }
    return undefined;
  });
}

/** Names of the columns of a table. @throws as `openTable` where it cannot be read */
export async function columnNames(input: TableInput): Promise<readonly string[]> {
  return (await tableColumns(input)).map(({ name }) => name);
}

/** Numbers of a column that must be 0 or 1. @throws DataError naming the first row that is not */
function checkMarks(column: string, rows: Rows, cells: Rows["columns"][number], table: Table): Uint8Array {
  return Uint8Array.from({ length: rows.count }, (_, row) => {
    const value = Number(cells[row]);
    if (value === 0 || value === 1) return value;
    throw new DataError(
      `${table.label}: column "${column}", ${table.rowName(rows.firstRow + row)}: ${value} is neither 0 nor 1`,
    );
  });
}

/** Positions of classes. @throws DataError naming the first row whose class was not there in training */
function checkClasses(
  { column, names }: NonNullable<StreamOptions["classes"]>,
  rows: Rows,
  cells: Rows["columns"][number],
  table: Table,
): BigInt64Array {
  const positions = new Map(names.map((name, position) => [name, BigInt(position)]));
  return BigInt64Array.from({ length: rows.count }, (_, row) => {
    const position = positions.get(String(cells[row]));
    if (position !== undefined) return position;
    throw new DataError(
      `${table.label}: column "${column}", ${table.rowName(rows.firstRow + row)}: the class ${JSON.stringify(cells[row])} was not there in training (${firstNames(names, 8)})`,
    );
  });
}

/**
 * Reads a table of any size in constant memory, or rows in memory, encoded by the columns stored with a model. Columns that the model
 * does not know are ignored. All batches but the last hold `batchSize` rows.
 * @throws as `openTable`; DataError also where one of the model's columns is missing, a category or class is new, or a mark is neither
 * 0 nor 1.
 */
export function streamTable(
  input: TableInput,
  columns: readonly Column[],
  options: StreamOptions = {},
): AsyncGenerator<TableBatch, void, undefined> {
  return readTable(input, { binary: areBinary(columns) }, (table) => encodedBatches(table, columns, options));
}

async function* encodedBatches(
  table: Table,
  columns: readonly Column[],
  { batchSize = 1024, seed = 0, marks, classes, shard, changes }: StreamOptions,
): AsyncGenerator<TableBatch, void, undefined> {
  const share = await shareIn(table, shard);
  const random = new Random(seed).split("table");
  const width = tableWidth(columns);
  const wanted = columns.map(wantedOf);
  if (marks !== undefined) wanted.push({ name: marks, as: "number" });
  if (classes !== undefined) wanted.push({ name: classes.column, as: "text" });
  const empty = () => ({
    x: new Float32Array(batchSize * width),
    marks: new Uint8Array(marks === undefined ? 0 : batchSize),
    label: new BigInt64Array(classes === undefined ? 0 : batchSize),
  });
  let held = empty();
  let filled = 0;
  let firstRow = share?.first ?? 0;
  const take = (count: number): TableBatch => {
    const batch: TableBatch = {
      x: { dtype: "float32", shape: [count, width], data: held.x.subarray(0, count * width) },
      firstRow,
      count,
      ...(marks !== undefined && { marks: held.marks.subarray(0, count) }),
      ...(classes !== undefined && {
        label: { dtype: "int64", shape: [count], data: held.label.subarray(0, count) },
      }),
    };
    held = empty();
    firstRow += count;
    filled = 0;
    return batch;
  };
  for await (const rows of readRows(table, wanted, "rows", share)) {
    const samples = new Float32Array(rows.count * width);
    const { firstRow: first } = rows;
    const values = valuesOfRows(columns, rows, table);
    changes?.see(columns, values, first, (row) => table.rowName(row));
    encodeRows(columns, values, random, { target: samples, firstRow: first });
    const marked =
      marks === undefined ? undefined : checkMarks(marks, rows, columnAt(rows, columns.length), table);
    const labels = classes && checkClasses(classes, rows, columnAt(rows, -1), table);
    for (let row = 0; row < rows.count; ) {
      const count = Math.min(batchSize - filled, rows.count - row);
      held.x.set(samples.subarray(row * width, (row + count) * width), filled * width);
      if (marked !== undefined) held.marks.set(marked.subarray(row, row + count), filled);
      if (labels !== undefined) held.label.set(labels.subarray(row, row + count), filled);
      filled += count;
      row += count;
      if (filled === batchSize) yield take(batchSize);
    }
  }
  if (filled > 0) yield take(filled);
  if (firstRow === 0 && share === undefined) throw new DataError(`${table.label}: the table has no rows`);
}

/** Consecutive rows of a table with missing cells, as a model sees them and as they are in the table. */
export interface GappedBatch {
  /** `[count, width]`, 0 where a cell is missing. */
  readonly x: NdArray<"float32">;
  /** `[count, width]`: 1 where a number comes from a cell, 0 where its cell is missing. */
  readonly known: NdArray<"float32">;
  /** Position of the first row in the table, from 0. */
  readonly firstRow: number;
  readonly count: number;
  /** Every column of the table, each with the cells of these rows as text; null where a cell is NULL or empty. */
  readonly cells: readonly (readonly (string | null)[])[];
}

/**
 * Names and SQL types of all columns of a table.
 * @param options.binary whether it holds zeros and ones
 * @throws as `openTable` where it cannot be read
 */
export async function tableColumns(
  input: TableInput,
  options: { readonly binary?: boolean } = {},
): Promise<Table["columns"]> {
  return withTables(async (open) => (await open(input, options)).columns);
}

/**
 * Reads a table as `streamTable`, but with missing cells of the model's columns: cells that are empty, NULL or NaN. All batches but the
 * last hold `SHARD_BLOCK` rows.
 * @throws as `streamTable`; DataError also where a cell is neither missing nor usable
 */
export function streamGappedTable(
  input: TableInput,
  columns: readonly Column[],
  { seed = 0, shard, changes }: Pick<StreamOptions, "seed" | "shard" | "changes"> = {},
): AsyncGenerator<GappedBatch, void, undefined> {
  return readTable(input, { binary: areBinary(columns) }, (table) =>
    gappedBatches(table, columns, { seed, shard, changes }),
  );
}

/** Rows in parts of `SHARD_BLOCK`, wherever a table's own parts end. */
async function* inBlocks(parts: AsyncIterable<Rows>): AsyncGenerator<Rows, void, undefined> {
  let held: Rows[] = [];
  let count = 0;
  for await (const part of parts) {
    for (let at = 0; at < part.count; ) {
      const taken = Math.min(SHARD_BLOCK - count, part.count - at);
      held.push({
        firstRow: part.firstRow + at,
        count: taken,
        columns: part.columns.map((column) => column.slice(at, at + taken)),
      });
      count += taken;
      at += taken;
      if (count < SHARD_BLOCK) continue;
      yield joinedRows(held, count);
      held = [];
      count = 0;
    }
  }
  if (count > 0) yield joinedRows(held, count);
}

/** Consecutive rows as one. */
function joinedRows(parts: readonly Rows[], count: number): Rows {
  const [first, ...others] = parts;
  if (first === undefined) throw new RangeError("no rows to join");
  if (others.length === 0) return first;
  const columns = first.columns.map((own, index) => {
    if (own instanceof Float64Array || own instanceof Uint8Array) {
      const joined = own instanceof Float64Array ? new Float64Array(count) : new Uint8Array(count);
      let at = 0;
      for (const part of parts) {
        joined.set(columnAt(part, index) as typeof own, at);
        at += part.count;
      }
      return joined;
    }
    return parts.flatMap((part) => columnAt(part, index) as readonly (string | null)[]);
  });
  return { firstRow: first.firstRow, count, columns };
}

async function* gappedBatches(
  table: Table,
  columns: readonly Column[],
  { seed, shard, changes }: Required<Pick<StreamOptions, "seed">> & Pick<StreamOptions, "shard" | "changes">,
): AsyncGenerator<GappedBatch, void, undefined> {
  const share = await shareIn(table, shard);
  const random = new Random(seed).split("table");
  const width = tableWidth(columns);
  const wanted = [
    ...columns.map((column): Wanted => ({ ...wantedOf(column), gaps: true })),
    ...table.columns.map(({ name }): Wanted => ({ name, as: "cell" })),
  ];
  let total = 0;
  for await (const rows of inBlocks(readRows(table, wanted, "rows", share))) {
    const { firstRow, count } = rows;
    const x = new Float32Array(count * width);
    const known = new Float32Array(count * width);
    const values = valuesOfRows(columns, rows, table);
    changes?.see(columns, values, firstRow, (row) => table.rowName(row));
    encodeRows(columns, values, random, { target: x, known, firstRow });
    yield {
      x: float32(x, [count, width]),
      known: float32(known, [count, width]),
      firstRow,
      count,
      cells: rows.columns.slice(columns.length) as readonly (readonly (string | null)[])[],
    };
    total += count;
  }
  if (total === 0 && share === undefined) throw new DataError(`${table.label}: the table has no rows`);
}
