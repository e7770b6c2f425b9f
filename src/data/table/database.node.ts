import { resolve } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { DataError } from "../../errors.ts";
import { nativeCall, nativeObject } from "../../program/native-calls.node.ts";
import { optional } from "../files/optional.node.ts";

// DuckDB in memory: how it is opened and locked, and how names, texts and files are written in its SQL.

/** DuckDB, which is loaded when a table is first read or written. @throws MissingPackageError where it is not installed */
export function importDuckDb(): Promise<typeof import("@duckdb/node-api")> {
  return optional("@duckdb/node-api", "reading and writing tables", () => import("@duckdb/node-api"));
}

/** A DuckDB of its own, in memory. */
interface Database {
  readonly connection: DuckDBConnection;
  close(): void;
}

/** True for the objects of DuckDB's package, not for the values that it returns. */
const isDuckDb = (value: object): boolean =>
  /^DuckDB(Instance|Connection|.*Statements?|.*Result.*|.*Reader|DataChunk|Vector.*)$/.test(
    value.constructor?.name ?? "",
  );

export async function openDatabase(): Promise<Database> {
  const { DuckDBInstance } = await importDuckDb();
  const settings = { autoinstall_known_extensions: "false" };
  const created = await nativeCall(() => DuckDBInstance.create(":memory:", settings));
  const instance = nativeObject(created, isDuckDb);
  const connection = await instance.connect();
  return {
    connection,
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

/**
 * Runs `work` on a connection to a DuckDB of its own, which is closed afterwards.
 * @throws MissingPackageError where @duckdb/node-api is not installed
 * @internal
 */
export async function withDuckDb<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const database = await openDatabase();
  try {
    return await work(database.connection);
  } finally {
    database.close();
  }
}

/** Memory that a query out of a run folder may take. */
const QUERY_MEMORY = "2GB";

/**
 * Ends the set-up of a database: its settings stay as they are, so that no query changes them.
 * @param paths what queries may read; everything where undefined
 * @param isQuery whether a query is put to it that is limited to these paths: its memory is limited too
 */
export async function lockDatabase(
  connection: DuckDBConnection,
  paths?: readonly string[],
  isQuery = false,
): Promise<void> {
  if (paths !== undefined) {
    await connection.run("set temp_directory = ''");
    if (isQuery) await connection.run(`set memory_limit = '${QUERY_MEMORY}'`);
    await connection.run(`set allowed_paths = [${paths.map(quoteText).join(", ")}]`);
    await connection.run("set enable_external_access = false");
  }
  await connection.run("set lock_configuration = true");
}

/** A text that a query can hold: DuckDB takes a query to end at a NUL character. @throws DataError */
export function inQuery(text: string): string {
  if (!text.includes("\0")) return text;
  throw new DataError(
    `${JSON.stringify(text)} holds a NUL character, which a name of a column or a path cannot have; correct it in the data`,
  );
}

/** A name in double quotes, as SQL wants it. @throws DataError where it holds a NUL character */
export function quoteName(name: string): string {
  return `"${inQuery(name).replaceAll('"', '""')}"`;
}

/** A text in single quotes, as SQL wants it. @throws DataError where it holds a NUL character */
export function quoteText(text: string): string {
  return `'${inQuery(text).replaceAll("'", "''")}'`;
}

/**
 * A file as DuckDB wants it in a query: it alone. Names of files are patterns to DuckDB, so that `wine[1].csv` would be `wine1.csv`; `~`
 * and `s3://` would lead elsewhere.
 * @throws DataError for a name that DuckDB has no way to write
 */
export function quoteFile(path: string): string {
  return quoteText(patternOf(path));
}

/** The pattern that a file alone matches. @throws DataError */
export function patternOf(path: string): string {
  const whole = resolve(path);
  const isPattern = /[*?[]/.test(whole);
  if (whole.includes("\0") || (isPattern && process.platform !== "win32" && whole.includes("\\"))) {
    throw new DataError(`${path}: a table whose path has such characters cannot be read; rename it`);
  }
  return isPattern ? whole.replaceAll(/[*?[]/g, "[$&]") : whole;
}
