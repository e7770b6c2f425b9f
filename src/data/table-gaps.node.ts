import { DataError } from "../errors.ts";
import { Random } from "../random.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { type Column, tableWidth } from "./columns.ts";
import { connectDuckDb, openSource, type TablePlace, withDuckDb } from "./duckdb.node.ts";
import { areBinary, encodeRows, wantedOf } from "./table-encode.node.ts";
import { readRows, type Wanted } from "./table-rows.node.ts";

/** Consecutive rows of a table with missing cells, as a model sees them and as they stand in the table. */
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
  place: TablePlace,
  options: { readonly binary?: boolean } = {},
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  return withDuckDb(async (connection) => (await openSource(connection, place, options)).columns);
}

/**
 * Reads a table of any size in constant memory, as `streamTable`, but hands missing cells of the model's columns over:
 * cells that are empty, NULL or NaN. Batches are as large as they come, a few thousand rows.
 * @throws as `streamTable`; DataError also where a cell is neither missing nor usable
 */
export async function* streamGappedTable(
  place: TablePlace,
  columns: readonly Column[],
  { seed = 0 }: { readonly seed?: number } = {},
): AsyncGenerator<GappedBatch, void, undefined> {
  const random = new Random(seed).split("table");
  const width = tableWidth(columns);
  const connection = await connectDuckDb();
  try {
    const source = await openSource(connection, place, { binary: areBinary(columns) });
    const wanted = [
      ...columns.map((column): Wanted => ({ ...wantedOf(column), gaps: true })),
      ...source.columns.map(({ name }): Wanted => ({ name, as: "cell" })),
    ];
    let total = 0;
    for await (const rows of readRows(connection, source, wanted, "rows")) {
      const { firstRow, count } = rows;
      const x = new Float32Array(count * width);
      const known = new Float32Array(count * width);
      encodeRows(columns, rows, random, { target: x, known, label: source.label });
      yield {
        x: float32(x, [count, width]),
        known: float32(known, [count, width]),
        firstRow,
        count,
        cells: rows.columns.slice(columns.length) as readonly (readonly (string | null)[])[],
      };
      total += count;
    }
    if (total === 0) throw new DataError(`${source.label}: the table has no rows`);
  } finally {
    connection.closeSync();
  }
}
