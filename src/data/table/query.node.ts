import type { DuckDBConnection } from "@duckdb/node-api";
import * as z from "zod";
import { OptionError } from "../../errors.ts";
import { importDuckDb, inQuery, quoteText, withDuckDb } from "./database.node.ts";

// Queries of users and of run folders: one SELECT, which reads and does nothing else.

/** A query without the semicolons that end it. An expression for them would try each of many spaces as a beginning. */
export function withoutEnd(sql: string): string {
  let end = sql.length;
  while (end > 0 && /[\s;]/.test(sql[end - 1] ?? "")) end--;
  return sql.slice(0, end);
}

/**
 * The functions that a query may select from. All of them read; DuckDB has others, which write logs and profiles, change settings, or
 * run a text as a query.
 */
const READING_FUNCTIONS: ReadonlySet<string> = new Set(
  (
    "range generate_series unnest repeat repeat_row histogram histogram_values summary json_each json_tree glob sniff_csv " +
    "read_text read_blob read_csv read_csv_auto read_parquet parquet_scan parquet_schema parquet_metadata parquet_file_metadata " +
    "parquet_kv_metadata read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto " +
    "read_ndjson_objects read_ndjson_objects_auto duckdb_functions duckdb_settings duckdb_types pragma_version"
  ).split(" "),
);

/** Functions of values that do more than give a value. */
const ACTING_FUNCTIONS: ReadonlySet<string> = new Set(["write_log", "sleep_ms"]);

/** The first function in a query, as DuckDB's parser gives it, that does more than read; undefined where there is none. */
function actingFunction(tree: unknown): string | undefined {
  const left: unknown[] = [tree];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node !== "object" || node === null) continue;
    if (!Array.isArray(node)) {
      const { function: called, type, function_name: name } = node as Readonly<Record<string, unknown>>;
      if (typeof name === "string" && ACTING_FUNCTIONS.has(name.toLowerCase())) return name;
      if (type === "TABLE_FUNCTION") {
        const table = (called as { readonly function_name?: unknown } | undefined)?.function_name;
        if (typeof table !== "string" || !READING_FUNCTIONS.has(table.toLowerCase())) return String(table);
      }
    }
    for (const value of Object.values(node)) left.push(value);
  }
  return undefined;
}

/**
 * @throws OptionError where a text is more, or something else, than one SELECT, or calls a function that does more than read: a query
 * would have effects
 */
export async function checkQuery(connection: DuckDBConnection, sql: string): Promise<void> {
  const { StatementType } = await importDuckDb();
  const refuse = (why: string): never => {
    throw new OptionError(`${quotedQuery(sql)}: ${why}`);
  };
  inQuery(sql);
  const statements = await connection.extractStatements(sql);
  if (statements.count !== 1) refuse(`a query is a single SELECT; these are ${statements.count} statements`);
  // Preparing a statement may run what it calls: it is looked through first.
  const [[text] = []] = (
    await connection.runAndReadAll(`select json_serialize_sql(${quoteText(sql)})::varchar`)
  ).getRows();
  const parsed: { readonly error?: boolean } = JSON.parse(String(text));
  if (parsed.error !== true) {
    const acting = actingFunction(parsed);
    if (acting !== undefined) refuse(`it calls ${acting}, and a query reads data and does nothing else`);
  }
  const type = (await statements.prepare(0)).statementType;
  if (type !== StatementType.SELECT) refuse(`a query is a single SELECT; this is ${StatementType[type]}`);
  if (parsed.error === true) refuse("it cannot be looked through for what it does; write it in another way");
}

/**
 * Whether a query does no more than choose rows and columns of `data`: the columns that it gives are those of the file, under their names.
 * Anything else, a text that is no query among it, computes columns or takes them from elsewhere.
 */
export async function isChoice(sql: string): Promise<boolean> {
  const text = await withDuckDb(async (connection) => {
    const query = `select json_serialize_sql(${quoteText(inQuery(sql))})::varchar`;
    return String((await connection.runAndReadAll(query)).getRows()[0]?.[0]);
  });
  const parsed = choice.safeParse(JSON.parse(text));
  return parsed.success && parsed.data.statements.length === 1;
}

/** An empty list or map, as DuckDB writes them. */
const nothing = z.union([
  z.array(z.unknown()).length(0),
  z.record(z.string(), z.unknown()).refine((map) => Object.keys(map).length === 0),
]);

/** The tree of such a query, as DuckDB's parser gives it. */
const choice = z.object({
  statements: z.array(
    z.object({
      node: z.object({
        type: z.literal("SELECT_NODE"),
        cte_map: z.object({ map: z.array(z.unknown()).length(0) }),
        select_list: z.array(
          z.union([
            z.object({ class: z.literal("COLUMN_REF"), alias: z.literal("") }),
            z.object({
              class: z.literal("STAR"),
              replace_list: nothing.optional(),
              rename_list: nothing.optional(),
              columns: z.literal(false),
            }),
          ]),
        ),
        from_table: z.object({ type: z.literal("BASE_TABLE"), table_name: z.literal("data") }),
      }),
    }),
  ),
});

/** The beginning of a query, for messages. */
export function quotedQuery(sql: string): string {
  const line = sql.replaceAll(/\s+/g, " ").trim();
  return `query "${line.length > 80 ? `${line.slice(0, 80)}…` : line}"`;
}
