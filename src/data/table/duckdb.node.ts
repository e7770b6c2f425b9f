import { open, stat } from "node:fs/promises";
import { extname } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { DataError, EidosError, OptionError } from "../../errors.ts";
import { fileError, isMissing } from "../files/files.node.ts";
import { optional } from "../files/optional.node.ts";
import type { Table, Wanted } from "./rows.node.ts";

/** File extensions of tables, and the kind of each. */
const TABLE_KINDS: Readonly<Record<string, "csv" | "parquet" | "json">> = {
  ".csv": "csv",
  ".tsv": "csv",
  ".parquet": "parquet",
  ".json": "json",
  ".jsonl": "json",
  ".ndjson": "json",
};

/** True where the path has the extension of a table. */
export function isTablePath(path: string): boolean {
  return extname(path).toLowerCase() in TABLE_KINDS;
}

/** True where the text is a query rather than a name or a path. */
export function isQuery(text: string): boolean {
  return /^\s*(select|with|from)\s/i.test(text);
}

/** Something that DuckDB can select from. */
interface TableSource {
  /** What error messages call it: the path, or "query". */
  readonly label: string;
  /** What follows `from` in a query. */
  readonly from: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

/**
 * A connection to a DuckDB of its own, in memory.
 * @throws MissingPackageError where @duckdb/node-api is not installed.
 * @internal
 */
export async function connectDuckDb(): Promise<DuckDBConnection> {
  const { DuckDBInstance } = await optional(
    "@duckdb/node-api",
    "reading and writing tables",
    () => import("@duckdb/node-api"),
  );
  const instance = await DuckDBInstance.create(":memory:", { autoinstall_known_extensions: "false" });
  return instance.connect();
}

/** Runs `work` on a connection that is closed afterwards. @internal */
export async function withDuckDb<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const connection = await connectDuckDb();
  try {
    return await work(connection);
  } finally {
    connection.closeSync();
  }
}

/** A text that a query can hold: DuckDB takes a query to end at a NUL character. @throws DataError */
function inQuery(text: string): string {
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

/** The first line of DuckDB's message, which states what is wrong; what follows quotes the query. */
function duckDbError(error: unknown, label: string): DataError {
  const message = error instanceof Error ? error.message : String(error);
  const lines = message.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("LINE"));
  const reason = lines.slice(0, /CSV Error/.test(message) ? 3 : 1).join(" ");
  return new DataError(`${label}: ${reason}`, { cause: error });
}

/** Where a table comes from: a file, a query, or a query over a file that it calls `data`. */
export interface TablePlace {
  readonly kind?: "place";
  readonly path?: string | undefined;
  readonly sql?: string | undefined;
}

/** What a column is in a query. */
function cellExpression({ name, as, gaps }: Wanted): string {
  const column = quoteName(name);
  const text = `cast(${column} as varchar)`;
  if (as === "cell") return text;
  if (as === "text") return gaps ? `if(coalesce(trim(${text}), '') = '', null, ${text})` : text;
  const cast = `try_cast(${column} as double)`;
  const number = as === "bit" ? `coalesce(${cast}, cast(try_cast(${column} as boolean) as double))` : cast;
  return gaps ? `if(coalesce(trim(${text}), '') = '', 'nan'::double, ${number})` : number;
}

/**
 * A table that DuckDB reads.
 * @param options.binary whether the cells are zeros and ones: a first line that counts columns in a CSV file is names
 * @throws DataError where the file is missing, or cannot be read as its extension demands.
 * @internal
 */
export async function openPlace(
  connection: DuckDBConnection,
  place: TablePlace,
  options: { readonly binary?: boolean } = {},
): Promise<Table> {
  const { label, from, columns } = await openSource(connection, place, options);
  return {
    label,
    columns,
    rowName: (row) => `row ${row + 1}`,
    async *cells(wanted) {
      try {
        const result = await connection.stream(
          `select ${wanted.map(cellExpression).join(", ")} from ${from}`,
        );
        for (;;) {
          const chunk = await result.fetchChunk();
          if (chunk === null || chunk.rowCount === 0) break;
          yield { count: chunk.rowCount, values: (column) => chunk.getColumnValues(column) };
        }
      } catch (error) {
        throw error instanceof EidosError ? error : duckDbError(error, label);
      }
    },
    async cellText(column, row) {
      const query = `select cast(${quoteName(column)} as varchar) from ${from} limit 1 offset ${row}`;
      const value = (await connection.runAndReadAll(query)).getRows()[0]?.[0];
      return typeof value === "string" ? value : null;
    },
    async holdsBits(column) {
      const test = `coalesce(try_cast(cast(${quoteName(column)} as varchar) as double) in (0, 1), false)`;
      const answer = await connection.runAndReadAll(`select bool_and(${test}) from ${from}`);
      return answer.getRows()[0]?.[0] === true;
    },
  };
}

/**
 * Finds out how to read a table.
 * @param options.binary whether the cells are zeros and ones: a first line that counts columns in a CSV file is names
 * @throws DataError where the file is missing, or cannot be read as its extension demands.
 */
async function openSource(
  connection: DuckDBConnection,
  { path, sql }: TablePlace,
  { binary = false }: { readonly binary?: boolean } = {},
): Promise<TableSource> {
  const fileFrom = path === undefined ? undefined : await fileExpression(path, binary);
  const label = path ?? "query";
  try {
    let from = fileFrom;
    if (sql !== undefined) {
      if (fileFrom !== undefined) await createDataView(connection, fileFrom, kindOf(path) === "csv");
      from = `(${sql.trim().replace(/;+$/, "")})`;
    }
    if (from === undefined)
      throw new OptionError("a table is a file, or the result of a query; neither was given");
    const rows = (await connection.runAndReadAll(`describe select * from ${from}`)).getRows();
    return { label, from, columns: rows.map((row) => ({ name: String(row[0]), type: String(row[1]) })) };
  } catch (error) {
    throw error instanceof EidosError ? error : duckDbError(error, label);
  }
}

/**
 * Makes the view `data` for a query over a file. The columns of a CSV file are texts; those that hold nothing but
 * numbers become numbers, so that a query can compare and add them. Whole numbers stay whole, so that a category that
 * is written 3 does not become 3.0.
 */
async function createDataView(connection: DuckDBConnection, from: string, isCsv: boolean): Promise<void> {
  const casts: string[] = [];
  if (isCsv) {
    const described = (await connection.runAndReadAll(`describe select * from ${from}`)).getRows();
    const names = described.map((row) => quoteName(String(row[0])));
    const tests = names.flatMap((name) => [
      `bool_and(regexp_full_match(${name}, '-?(0|[1-9][0-9]{0,17})'))`,
      `bool_and(try_cast(${name} as double) is not null) filter (${name} is not null)`,
    ]);
    const [answers = []] = (
      await connection.runAndReadAll(`select ${tests.join(", ")} from ${from}`)
    ).getRows();
    for (const [index, name] of names.entries()) {
      const type = answers[2 * index] ? "bigint" : answers[2 * index + 1] ? "double" : undefined;
      if (type !== undefined) casts.push(`cast(${name} as ${type}) as ${name}`);
    }
  }
  const columns = casts.length === 0 ? "*" : `* replace (${casts.join(", ")})`;
  await connection.run(`create or replace temp view data as select ${columns} from ${from}`);
}

function kindOf(path: string | undefined): "csv" | "parquet" | "json" | undefined {
  return TABLE_KINDS[extname(path ?? "").toLowerCase()];
}

async function fileExpression(path: string, binary: boolean): Promise<string> {
  const kind = kindOf(path);
  if (kind === undefined) {
    throw new DataError(`${path}: not a table; its name must end in ${Object.keys(TABLE_KINDS).join(", ")}`);
  }
  try {
    if ((await stat(path)).size === 0) throw new DataError(`${path}: the file is empty`);
  } catch (error) {
    if (isMissing(error)) throw new DataError(`${path}: there is no such file; check the path`);
    throw fileError(error, "read", path);
  }
  if (kind === "parquet") return `read_parquet(${quoteText(path)})`;
  if (kind === "json") return `read_json_auto(${quoteText(path)})`;
  return csvExpression(path, binary);
}

/**
 * True where a first line above zeros and ones is names. Names differ, zeros and ones do not; numbers are names only
 * where they count columns, 0, 1, 2, … or 1, 2, 3, …, as tools write it above columns without names.
 */
function namesBits(cells: readonly string[]): boolean {
  const bits = cells.filter((cell) => /^([01]|true|false)$/i.test(cell));
  if (new Set(bits).size < bits.length) return false;
  const counts = [0, 1].some((first) => cells.every((cell, i) => cell === String(first + i)));
  const others = cells.filter((cell) => !/^([01]|true|false|null|nan|)$/i.test(cell));
  return others.some((cell) => counts || Number.isNaN(Number(cell)));
}

/**
 * DuckDB's own guessing of dialects may leave out lines that do not fit, so everything is given: separator and names
 * from the first line, every column as text. A file whose first line is all numbers has no header.
 */
async function csvExpression(path: string, binary: boolean): Promise<string> {
  const line = await firstLine(path);
  const separators = [",", ";", "\t", "|"] as const;
  const counts = separators.map((separator) => splitLine(line, separator).length);
  const separator = separators[counts.indexOf(Math.max(...counts))] ?? ",";
  const cells = splitLine(line, separator).map((cell) => cell.trim());
  const header = binary ? namesBits(cells) : cells.some((cell) => cell === "" || Number.isNaN(Number(cell)));
  const names = cells.map((cell, index) => (header && cell !== "" ? cell : `x${index}`));
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      throw new DataError(`${path}: two columns are called "${name}"; rename one of them in the first line`);
    }
    seen.add(name.toLowerCase());
  }
  const columns = names.map((name) => `${quoteText(name)}: 'VARCHAR'`).join(", ");
  return (
    `read_csv(${quoteText(path)}, auto_detect = false, header = ${header}, delim = ${quoteText(separator)}, ` +
    `quote = '"', escape = '"', nullstr = '', columns = {${columns}})`
  );
}

async function firstLine(path: string): Promise<string> {
  const file = await open(path).catch((error: unknown) => {
    throw fileError(error, "read", path);
  });
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1 << 20), 0, 1 << 20, 0);
    const text = buffer.toString("utf8", 0, bytesRead).replace(/^\uFEFF/, "");
    // Within quotes a line goes on.
    return /^(?:[^"\r\n]+|"[^"]*(?:""[^"]*)*"|")*/.exec(text)?.[0] ?? "";
  } finally {
    await file.close();
  }
}

/** Splits at separators outside double quotes, and takes the quotes off. */
function splitLine(line: string, separator: string): string[] {
  const cells = [""];
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i] ?? "";
    if (character === '"' && quoted && line[i + 1] === '"') {
      cells[cells.length - 1] += '"';
      i++;
    } else if (character === '"') {
      quoted = !quoted;
    } else if (character === separator && !quoted) {
      cells.push("");
    } else {
      cells[cells.length - 1] += character;
    }
  }
  return cells;
}
