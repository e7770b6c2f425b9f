import { stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { DataError, EidosError, OptionError } from "../../errors.ts";
import { shortened } from "../../printable.ts";
import { fileError, isMissing } from "../files/files.node.ts";
import { sqlDateFormat } from "./columns/dates.ts";
import { findColumns } from "./columns/find.node.ts";
import { MISSING, missingTest, sqlTrimmed } from "./columns/missing.ts";
import {
  COUNTED,
  type NumberCounts,
  type NumberFormat,
  numberFormats,
  sqlPlainNumber,
} from "./columns/numbers.ts";
import type { TableColumn } from "./columns/schema.ts";
import { openCsv } from "./csv/source.node.ts";
import { lockDatabase, openDatabase, patternOf, quoteFile, quoteName, quoteText } from "./database.node.ts";
import { refuseDeepJson } from "./json-depth.node.ts";
import { checkQuery, quotedQuery, withoutEnd } from "./query.node.ts";
import type { ReadingOptions } from "./reading.ts";
import type { Table, TableSourceColumn, Wanted } from "./rows.node.ts";

/** File extensions of tables, and the kind of each. */
const TABLE_KINDS: ReadonlyMap<string, "csv" | "parquet" | "json"> = new Map([
  [".csv", "csv"],
  [".tsv", "csv"],
  [".tab", "csv"],
  // The benchmarks of density estimation: X.train.data.
  [".data", "csv"],
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
  readonly columns: readonly TableSourceColumn[];
  readonly notes: readonly string[];
}

/** The first line of DuckDB's message, which states what is wrong; what follows quotes the query. */
function duckDbError(error: unknown, label: string): DataError {
  const message = error instanceof Error ? error.message : String(error);
  const lines = message.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("LINE"));
  // A line of a file that it quotes may be of any length.
  const reason = lines
    .slice(0, /CSV Error/.test(message) ? 3 : 1)
    .map(shortened)
    .join(" ");
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
  /** How a file is read; what is not said is found in it. */
  readonly reading?: ReadingOptions | undefined;
}

/** A table that DuckDB reads, until it is closed. */
export interface OpenTable extends Table {
  close(): Promise<void>;
}

/** How a column is read: what a query selects for it, and its cells by the values of that. */
interface ColumnReading {
  readonly select: readonly string[];
  cells(values: readonly unknown[], texts: readonly unknown[]): readonly unknown[];
}

const asText = (name: string): string => `cast(${quoteName(name)} as varchar)`;

/** A cell as a number, in SQL; null where it is none. */
function asNumber(name: string, as: "number" | "bit", format: NumberFormat | undefined): string {
  const column = quoteName(name);
  const cast = `try_cast(${format === undefined ? column : sqlPlainNumber(asText(name), format)} as double)`;
  return as === "bit" ? `coalesce(${cast}, cast(try_cast(${column} as boolean) as double))` : cast;
}

/**
 * Gaps are told here, from the texts of cells: a query that tells them takes DuckDB a time that grows with the square of the number of columns.
 * @param added texts that are gaps beside those that always are
 */
function columnReading(
  { name, as, gaps = false }: Wanted,
  format: NumberFormat | undefined,
  added: readonly string[],
): ColumnReading {
  if (as === "cell") return { select: [asText(name)], cells: (values) => values };
  const isGap = missingTest(added);
  const text = (cell: unknown) => (typeof cell === "string" ? cell : null);
  if (as === "text") {
    return {
      select: [asText(name)],
      cells: (values) => values.map((cell) => (isGap(text(cell)) ? null : cell)),
    };
  }
  const number = asNumber(name, as, format);
  // Of the texts that are always gaps, none is a number.
  if (!gaps && added.length === 0) return { select: [number], cells: (values) => values };
  return {
    select: [number, asText(name)],
    cells: (values, texts) =>
      values.map((value, row) => (isGap(text(texts[row])) ? (gaps ? Number.NaN : null) : value)),
  };
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
  const cleaning: (() => Promise<void>)[] = [];
  const database = await openDatabase();
  const close = async (): Promise<void> => {
    database.close();
    for (const clean of cleaning) await clean();
  };
  try {
    const source = await openSource(database.connection, place, options, (clean) => cleaning.push(clean));
    return { ...tableOf(database.connection, source, place), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The texts that are gaps as a list of SQL. A long `in (…)` would become a join for every column. */
const sqlGaps = (added: readonly string[]): string =>
  `[${[...MISSING, ...added.map((text) => text.trim())].map(quoteText).join(", ")}]`;

/** Columns whose different values are counted in one query. */
const COUNTED_AT_ONCE = 32;

/** Where the parts of each size begin, one after the other. */
function startsOf(sizes: readonly number[]): readonly number[] {
  let next = 0;
  return sizes.map((size) => {
    next += size;
    return next - size;
  });
}

function tableOf(
  connection: DuckDBConnection,
  { label, from, columns, notes }: TableSource,
  place: TablePlace,
): Table {
  const added = place.reading?.missing ?? [];
  const formats = new Map(
    columns.flatMap(({ name, numbers }) => (numbers === undefined ? [] : [[name, numbers] as const])),
  );
  return {
    label,
    columns,
    notes,
    rowName: (row) => `row ${row + 1}`,
    async *cells(wanted, share) {
      const part = share === undefined ? "" : ` limit ${share.count} offset ${share.first}`;
      try {
        const readings = wanted.map((column) => columnReading(column, formats.get(column.name), added));
        const selected = readings.flatMap(({ select }) => select);
        const result = await connection.stream(`select ${selected.join(", ")} from ${from}${part}`);
        const starts = startsOf(readings.map(({ select }) => select.length));
        for (;;) {
          const chunk = await result.fetchChunk();
          if (chunk === null || chunk.rowCount === 0) break;
          yield {
            count: chunk.rowCount,
            values(column) {
              const [reading, start = 0] = [readings[column], starts[column]];
              const texts = reading?.select.length === 2 ? chunk.getColumnValues(start + 1) : [];
              return reading?.cells(chunk.getColumnValues(start), texts) ?? [];
            },
          };
        }
      } catch (error) {
        throw sourceError(error, place, label);
      }
    },
    async countRows() {
      try {
        return Number((await connection.runAndReadAll(`select count(*) from ${from}`)).getRows()[0]?.[0]);
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
    async countDistinct(names) {
      const counts: [string, number][] = [];
      for (let first = 0; first < names.length; first += COUNTED_AT_ONCE) {
        const group = names.slice(first, first + COUNTED_AT_ONCE);
        const gaps = sqlGaps(added);
        const asked = group
          .map(asText)
          .map((text) => `count(distinct if(list_contains(${gaps}, ${sqlTrimmed(text)}), null, ${text}))`)
          .join(", ");
        const [answer = []] = (await connection.runAndReadAll(`select ${asked} from ${from}`)).getRows();
        for (const [i, name] of group.entries()) counts.push([name, Number(answer[i])]);
      }
      return counts;
    },
  };
}

/** What is read of a file. */
interface FileSource {
  readonly from: string;
  readonly paths: readonly string[];
  readonly notes: readonly string[];
  readonly columns?: readonly TableSourceColumn[];
}

/**
 * Finds out how to read a table.
 * @param options.binary whether the cells are zeros and ones: a first line that counts columns in a CSV file is names
 * @param onClose called with what is to be done once the table is closed
 * @throws DataError where the file is missing, or cannot be read as its extension demands.
 */
async function openSource(
  connection: DuckDBConnection,
  place: TablePlace,
  { binary = false }: { readonly binary?: boolean },
  onClose: (clean: () => Promise<void>) => void,
): Promise<TableSource> {
  const { path, sql, reads = "any" } = place;
  const file = path === undefined ? undefined : await openFile(connection, path, place, binary, onClose);
  const label = path ?? "query";
  try {
    // DuckDB asks twice: for the pattern, and for the file that matches.
    const paths = file?.paths.flatMap((path) => [resolve(path), patternOf(path)]) ?? [];
    if (sql !== undefined) {
      if (file !== undefined) await createDataView(connection, file, place);
      await lockDatabase(connection, reads === "path" ? paths : undefined, true);
      await checkQuery(connection, sql);
    } else await lockDatabase(connection, paths);
    // A comment at the end of a query ends with its line.
    const from = sql === undefined ? file?.from : `(${withoutEnd(sql)}\n)`;
    if (from === undefined)
      throw new OptionError("a table is a file, or the result of a query; neither was given");
    const notes = file?.notes ?? [];
    if (sql === undefined && file?.columns !== undefined)
      return { label, from, notes, columns: file.columns };
    return { label, from, notes, columns: await describeColumns(connection, from) };
  } catch (error) {
    throw sourceError(error, place, label);
  }
}

async function describeColumns(
  connection: DuckDBConnection,
  from: string,
): Promise<readonly TableSourceColumn[]> {
  const rows = (await connection.runAndReadAll(`describe select * from ${from}`)).getRows();
  return rows.map((row) => ({ name: String(row[0]), type: String(row[1]) }));
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

/** A column of text with the type of what it holds, for queries; undefined where it is text. */
function typedColumn(column: TableColumn, source: TableSourceColumn): string | undefined {
  const name = quoteName(column.name);
  const number = source.numbers === undefined ? name : sqlPlainNumber(name, source.numbers);
  switch (column.kind) {
    case "real":
      return `try_cast(${number} as double)`;
    case "whole":
      return Math.max(Math.abs(column.minimum), Math.abs(column.maximum)) <= Number.MAX_SAFE_INTEGER
        ? `cast(try_cast(${number} as double) as bigint)`
        : `try_cast(${number} as double)`;
    case "date":
      return typedDate(name, column.form, column.precision);
    case "boolean": {
      const [no, yes] = column.texts.map((text) => text.trim().toLowerCase());
      if (no === "false" && yes === "true") return `try_cast(${sqlTrimmed(name)} as boolean)`;
      return no === "0" && yes === "1" ? `try_cast(${name} as bigint)` : undefined;
    }
    default:
      return undefined;
  }
}

function typedDate(name: string, form: string, precision: string): string {
  const isDay = precision === "day" || precision === "month" || precision === "year";
  const type = form.endsWith("zone")
    ? "timestamptz"
    : isDay
      ? "date"
      : /[yd]/.test(form)
        ? "timestamp"
        : "time";
  if (form.startsWith("yyyy-MM-dd")) return `try_cast(${sqlTrimmed(name)} as ${type})`;
  return `cast(try_strptime(${sqlTrimmed(name)}, ${quoteText(sqlDateFormat(form))}) as ${type})`;
}

/**
 * Makes the view `data` for a query over a file. The columns of a CSV file are texts; those that hold nothing but numbers, dates or truths become
 * such, so that a query can compare and add them, and gaps become NULL. Whole numbers stay whole, so that a category that is written 3 does not
 * become 3.0.
 */
async function createDataView(
  connection: DuckDBConnection,
  file: FileSource,
  place: TablePlace,
): Promise<void> {
  const { from, columns } = file;
  const label = place.path ?? "query";
  if (columns === undefined) {
    await connection.run(`create or replace temp view data as select * from ${from}`);
    return;
  }
  await connection.run("set timezone = 'UTC'");
  const table = tableOf(connection, { label, from, columns, notes: [] }, place);
  const names = columns.map(({ name }) => name);
  const found = await findColumns(table, {
    columns: names,
    missing: place.reading?.missing ?? [],
    purpose: "types",
  });
  const missing = sqlGaps(place.reading?.missing ?? []);
  const selected = columns.map((source, i) => {
    const column = found.columns[i]?.column;
    const name = quoteName(source.name);
    const typed = column && typedColumn(column, source);
    return `${typed ?? `if(list_contains(${missing}, ${sqlTrimmed(name)}), null, ${name})`} as ${name}`;
  });
  await connection.run(`create or replace temp view data as select ${selected.join(", ")} from ${from}`);
}

function kindOf(path: string): "csv" | "parquet" | "json" | undefined {
  return TABLE_KINDS.get(extname(path).toLowerCase());
}

async function openFile(
  connection: DuckDBConnection,
  path: string,
  place: TablePlace,
  binary: boolean,
  onClose: (clean: () => Promise<void>) => void,
): Promise<FileSource> {
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
  // Folders called year=2020 would become columns.
  if (kind === "parquet") {
    return { from: `read_parquet(${quoteFile(path)}, hive_partitioning = false)`, paths: [path], notes: [] };
  }
  if (kind === "json") {
    await refuseDeepJson(path);
    return {
      from: `read_json_auto(${quoteFile(path)}, hive_partitioning = false)`,
      paths: [path],
      notes: [],
    };
  }
  const csv = await openCsv(path, place.reading ?? {}, binary);
  onClose(csv.remove);
  const { formats, notes } = binary
    ? { formats: new Map(), notes: [] }
    : await formatsOf(connection, csv.from, csv.columns, csv.delimiter, place).catch(
        async (error: unknown) => {
          const isUneven = /CSV Error[\s\S]*Expected Number of Columns/.test(String(error));
          const uneven = isUneven ? await csv.uneven() : undefined;
          throw uneven ?? sourceError(error, place, path);
        },
      );
  const columns = csv.columns.map((column): TableSourceColumn => {
    const numbers = formats.get(column.name);
    return { ...column, ...(numbers !== undefined && { numbers }) };
  });
  return { from: csv.from, paths: csv.paths, columns, notes: [...csv.notes, ...notes] };
}

/** Columns whose cells are looked through in one query. */
const LOOKED_AT_ONCE = 500;

/** How the numbers of columns are written that hold marks which may stand between digits. */
async function formatsOf(
  connection: DuckDBConnection,
  from: string,
  columns: readonly TableSourceColumn[],
  delimiter: string,
  { reading = {} }: TablePlace,
): Promise<ReturnType<typeof numberFormats>> {
  const { decimal, thousands } = reading;
  const names = columns.map(({ name }) => name);
  const hints = { delimiter, decimal, thousands };
  const one = async (expressions: readonly string[]): Promise<readonly unknown[]> => {
    const [answer = []] = (
      await connection.runAndReadAll(`select ${expressions.join(", ")} from ${from}`)
    ).getRows();
    return answer;
  };
  const marked: string[] = [];
  // Without an unusual mark in any column, points are decimal points.
  for (let first = 0; first < names.length; first += LOOKED_AT_ONCE) {
    const group = names.slice(first, first + LOOKED_AT_ONCE);
    const pattern = "'(^|[0-9])[,’''\u00a0\u2009\u202f ][0-9]|[0-9],$|[.][0-9]{3}[.]'";
    const answers = await one(group.map((name) => `bool_or(regexp_matches(${quoteName(name)}, ${pattern}))`));
    marked.push(...group.filter((_, i) => answers[i] === true));
  }
  const isDeclared = decimal === "," || thousands !== undefined;
  if (marked.length === 0 && !isDeclared) return { formats: new Map(), notes: [] };
  const counts = new Map<string, NumberCounts>();
  const keys = Object.keys(COUNTED) as (keyof typeof COUNTED)[];
  const missing = sqlGaps(reading.missing ?? []);
  for (let first = 0; first < names.length; first += COUNTED_AT_ONCE) {
    const group = names.slice(first, first + COUNTED_AT_ONCE);
    const answers = await one(
      group.flatMap((name) => {
        const text = sqlTrimmed(quoteName(name));
        return [
          `count(*) filter (not coalesce(list_contains(${missing}, ${text}), true))`,
          ...keys.map((key) => `count(*) filter (regexp_full_match(${text}, ${quoteText(COUNTED[key])}))`),
        ];
      }),
    );
    for (const [i, name] of group.entries()) {
      const at = i * (keys.length + 1);
      const counted = Object.fromEntries(keys.map((key, k) => [key, Number(answers[at + 1 + k])]));
      counts.set(name, { cells: Number(answers[at]), ...counted } as NumberCounts);
    }
  }
  return numberFormats(counts, hints);
}
