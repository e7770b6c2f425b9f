import type { PlainRows } from "../sources/memory.ts";
import { openPlace, type TablePlace } from "./duckdb.node.ts";
import { memoryTable } from "./memory.node.ts";
import type { Table } from "./rows.node.ts";

/** A table to read: a file, a query, or rows in memory. */
export type TableInput = TablePlace | PlainRows;

/** How a table is read. */
interface Reading {
  /** Whether the cells are zeros and ones: a first line that counts columns in a CSV file is names. */
  readonly binary?: boolean;
  /** Of rows in memory, texts that are gaps beside those that always are; files have their own (`TablePlace.reading`). */
  readonly missing?: readonly string[];
}

/**
 * Opens tables one after the other for `work`, and closes what they need afterwards.
 * @throws DataError where one is missing or cannot be read; MissingPackageError where a file is read and DuckDB is not installed
 */
export async function withTables<T>(
  work: (open: (input: TableInput, reading?: Reading) => Promise<Table>) => Promise<T>,
): Promise<T> {
  const opened: { close(): Promise<void> }[] = [];
  try {
    return await work(async (input, reading) => {
      if (input.kind === "rows") return memoryTable(input, reading?.missing);
      const table = await openPlace(input, reading);
      opened.push(table);
      return table;
    });
  } finally {
    for (const table of opened) await table.close();
  }
}

/** What `read` reads of a table, which is closed afterwards. @throws as `withTables` */
export async function* readTable<T>(
  input: TableInput,
  reading: Reading,
  read: (table: Table) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  if (input.kind === "rows") {
    yield* read(memoryTable(input, reading.missing));
    return;
  }
  const table = await openPlace(input, reading);
  try {
    yield* read(table);
  } finally {
    await table.close();
  }
}
