import { open, stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { DataError, EidosError, OptionError } from "../../errors.ts";
import { fileError, isMissing } from "../files/files.node.ts";
import { lockDatabase, openDatabase, patternOf, quoteFile, quoteName, quoteText } from "./database.node.ts";
import { refuseDeepJson } from "./json-depth.node.ts";
import { checkQuery, quotedQuery, withoutEnd } from "./query.node.ts";
import type { Table, Wanted } from "./rows.node.ts";

/** File extensions of tables, and the kind of each. */
const TABLE_KINDS: ReadonlyMap<string, "csv" | "parquet" | "json"> = new Map([
  [".csv", "csv"],
  [".tsv", "csv"],
  [".parquet", "parquet"],
  [".json", "json"],
  [".jsonl", "json"],
  [".ndjson", "json"],
]);

/** True where the path has the extension of a table. */
export function isTablePath(path: string): boolean {
  return TABLE_KINDS.has(extname(path).toLowerCase());
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
  /**
   * What the query may read: any file that this process can, as a query of one's own command line or code does (default); or the
   * file at `path` alone, as one out of a run folder does.
   */
  readonly reads?: "any" | "path" | undefined;
}

/** A table that DuckDB reads, until it is closed. */
export interface OpenTable extends Table {
  close(): void;
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
 * @throws DataError where the file is missing, or cannot be read as its extension demands; OptionError where the query is not a single
 * SELECT, or reads more than it may; MissingPackageError where @duckdb/node-api is not installed
 * @internal
 */
export async function openPlace(
  place: TablePlace,
  options: { readonly binary?: boolean } = {},
): Promise<OpenTable> {
  const database = await openDatabase();
  try {
    return { ...(await tableOf(database.connection, place, options)), close: () => database.close() };
  } catch (error) {
    database.close();
    throw error;
  }
}

async function tableOf(
  connection: DuckDBConnection,
  place: TablePlace,
  options: { readonly binary?: boolean },
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
        throw sourceError(error, place, label);
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
  place: TablePlace,
  { binary = false }: { readonly binary?: boolean } = {},
): Promise<TableSource> {
  const { path, sql, reads = "any" } = place;
  const fileFrom = path === undefined ? undefined : await fileExpression(path, binary);
  const label = path ?? "query";
  try {
    // DuckDB asks twice: for the pattern, and for the file that matches.
    const paths = path === undefined ? [] : [resolve(path), patternOf(path)];
    if (sql !== undefined) {
      if (fileFrom !== undefined) await createDataView(connection, fileFrom, kindOf(path) === "csv");
      await lockDatabase(connection, reads === "path" ? paths : undefined, true);
      await checkQuery(connection, sql);
    } else await lockDatabase(connection, paths);
    // A comment at the end of a query ends with its line.
    const from = sql === undefined ? fileFrom : `(${withoutEnd(sql)}\n)`;
    if (from === undefined)
      throw new OptionError("a table is a file, or the result of a query; neither was given");
    const rows = (await connection.runAndReadAll(`describe select * from ${from}`)).getRows();
    return { label, from, columns: rows.map((row) => ({ name: String(row[0]), type: String(row[1]) })) };
  } catch (error) {
    throw sourceError(error, place, label);
  }
}

/** What went wrong while a table was opened or read, as an error of eidos. */
function sourceError(error: unknown, { sql, reads }: TablePlace, label: string): EidosError {
  if (error instanceof EidosError) return error;
  const refused =
    error instanceof Error && /^Permission Error|disabled (by|through) configuration/.test(error.message);
  if (!refused || sql === undefined || reads !== "path") return duckDbError(error, label);
  return new OptionError(
    `${quotedQuery(sql)} stands in the run's config.json and reads more than the run's data (${error.message.split("\n")[0]}); where you know what it does, trust it: --trust-query, openRun(folder, { trust: true })`,
    { cause: error },
  );
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
  return TABLE_KINDS.get(extname(path ?? "").toLowerCase());
}

async function fileExpression(path: string, binary: boolean): Promise<string> {
  const kind = kindOf(path);
  if (kind === undefined) {
    throw new DataError(`${path}: not a table; its name must end in ${[...TABLE_KINDS.keys()].join(", ")}`);
  }
  try {
    const held = await stat(path);
    if (!held.isFile()) throw new DataError(`${path}: not a regular file, but a folder, pipe or device`);
    if (held.size === 0) throw new DataError(`${path}: the file is empty`);
  } catch (error) {
    if (error instanceof DataError) throw error;
    if (isMissing(error)) throw new DataError(`${path}: there is no such file; check the path`);
    throw fileError(error, "read", path);
  }
  if (kind === "json") await refuseDeepJson(path);
  // Folders called year=2020 would become columns.
  if (kind === "parquet") return `read_parquet(${quoteFile(path)}, hive_partitioning = false)`;
  if (kind === "json") return `read_json_auto(${quoteFile(path)}, hive_partitioning = false)`;
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
    `read_csv(${quoteFile(path)}, auto_detect = false, hive_partitioning = false, header = ${header}, delim = ${quoteText(separator)}, ` +
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
