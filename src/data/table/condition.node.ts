import type { DuckDBConnection } from "@duckdb/node-api";
import * as z from "zod";
import { OptionError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import type { Cell, Column, NumericColumn } from "../sources/columns.ts";
import { dateNumber } from "./columns/index.ts";
import { inQuery, lockDatabase, openDatabase, quoteName, quoteText } from "./database.node.ts";

// Conditions on rows, as a person writes them: an expression of DuckDB's SQL over columns, and nothing else. The text is parsed by DuckDB, its tree is looked
// through before anything is run, and it is put to a database that reads no file.

/** The longest condition. */
const LONGEST = 2000;

/** Rows that are put to a condition at once. */
const ROWS = 1000;

/** Parts that an expression may have. A class that is not here (subqueries, windows, parameters, lambdas, stars, …) is refused. */
const CLASSES: ReadonlySet<string> = new Set(
  "COLUMN_REF CONSTANT COMPARISON CONJUNCTION OPERATOR FUNCTION BETWEEN CASE CAST".split(" "),
);

/** Operators and functions that it may call: of values, without effects, of bounded work. */
const FUNCTIONS: ReadonlySet<string> = new Set(
  (
    "+ - * / // % ** ^ ~~ !~~ ~~* !~~* abs ceil ceiling floor round trunc sqrt ln log log10 log2 exp power pow mod sign least greatest " +
    "lower upper length trim contains starts_with ends_with prefix suffix year month day hour minute second dayofweek isodow dayofyear " +
    "week quarter date_part datepart date_diff datediff date_trunc datetrunc to_years to_months to_weeks to_days to_hours to_minutes to_seconds isnan"
  ).split(" "),
);

/** The tree of `select (expression) from data`, as DuckDB's parser gives it. */
const tree = z.object({
  error: z.literal(false),
  statements: z
    .array(
      z.object({
        node: z.object({
          type: z.literal("SELECT_NODE"),
          modifiers: z.array(z.unknown()).length(0),
          cte_map: z.object({ map: z.array(z.unknown()).length(0) }),
          select_list: z.array(z.looseObject({ class: z.string() })).length(1),
          from_table: z.object({ type: z.literal("BASE_TABLE"), table_name: z.literal("data") }),
          where_clause: z.null(),
          group_expressions: z.array(z.unknown()).length(0),
          having: z.null(),
          qualify: z.null(),
          sample: z.null(),
        }),
      }),
    )
    .length(1),
});

const failure = z.object({ error: z.literal(true), error_message: z.string() });

/** Looks through an expression. @throws OptionError where it holds something that is not allowed, or a column that there is not */
function checkExpression(root: unknown, names: readonly string[]): void {
  const known = new Set(names.map((name) => name.toLowerCase()));
  const left: unknown[] = [root];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node !== "object" || node === null) continue;
    if (!Array.isArray(node)) {
      const {
        class: kind,
        function_name: name,
        column_names: columns,
        type,
      } = node as Readonly<Record<string, unknown>>;
      if (kind !== undefined && !CLASSES.has(String(kind))) {
        throw new OptionError(
          `option where: it holds a ${String(kind).toLowerCase().replaceAll("_", " ")}; a condition is made of column names, values, arithmetic, comparisons, and, or, not`,
        );
      }
      if (kind === "OPERATOR" && !/^(OPERATOR_|COMPARE_)/.test(String(type))) {
        throw new OptionError(`option where: ${String(type).toLowerCase()} is no part of a condition`);
      }
      if (kind === "FUNCTION" && !FUNCTIONS.has(String(name).toLowerCase())) {
        throw new OptionError(`option where: ${String(name)} is no function of a condition`);
      }
      if (kind === "COLUMN_REF") checkColumn(columns, names, known);
      // The text of a constant is no part of the tree.
      if (kind === "CONSTANT") continue;
    }
    for (const value of Object.values(node)) left.push(value);
  }
}

function checkColumn(columns: unknown, names: readonly string[], known: ReadonlySet<string>): void {
  const path = Array.isArray(columns) ? columns.map(String) : [];
  const [name = ""] = path;
  if (path.length === 1 && known.has(name.toLowerCase())) return;
  const whole = path.join(".");
  const meant = nearest(whole, names);
  throw new OptionError(
    `option where: there is no column ${JSON.stringify(whole)}${meant === undefined ? "" : `; did you mean ${quoteName(meant)}?`} (texts stand in single quotes, names with spaces in double ones)`,
  );
}

/** Microseconds of the units of dates, of those that are of one length. */
const MICROSECONDS: Readonly<Record<string, number>> = {
  day: 86_400e6,
  hour: 3600e6,
  minute: 60e6,
  second: 1e6,
  millisecond: 1e3,
  microsecond: 1,
};

/** The type of a column in a condition: dates are timestamps, but for years, which are numbers. */
function typeOf(column: Column): string {
  if (column.kind === "categorical") return "VARCHAR";
  if (column.kind === "binary") return "UTINYINT";
  if (column.cells?.of.kind === "date") return column.cells.of.precision === "year" ? "BIGINT" : "TIMESTAMP";
  return column.cells?.of.kind === "whole" ? "BIGINT" : "DOUBLE";
}

/** A date as DuckDB writes a timestamp. */
function timestamp({ name, cells }: NumericColumn, cell: Cell): string {
  if (cells?.of.kind !== "date") return "NULL";
  const { precision } = cells.of;
  const number = dateNumber(cells.of, String(cell));
  if (number === undefined)
    throw new OptionError(`option where: column "${name}" holds ${String(cell)}, which is no date`);
  if (precision === "year") return String(number);
  if (precision === "month") {
    return `make_timestamp(${Math.floor(number / 12)}, ${(number % 12) + 1}, 1, 0, 0, 0)`;
  }
  return `make_timestamp(${Math.round(number * (MICROSECONDS[precision] ?? 1))})`;
}

/** A cell as a literal. */
function literal(column: Column, cell: Cell | null): string {
  if (cell === null) return "NULL";
  if (column.kind === "categorical") return quoteText(String(cell));
  if (column.kind === "numeric" && column.cells?.of.kind === "date") return timestamp(column, cell);
  const number = Number(cell);
  return Number.isFinite(number) ? String(number) : "NULL";
}

/** A condition that rows of a table are put to. */
export interface Condition {
  /** Which of the rows fulfil it; a row for which it is NULL, as where a cell is missing, does not. @throws OptionError */
  holds(rows: readonly (readonly (Cell | null)[])[]): Promise<readonly boolean[]>;
  close(): void;
}

/** What DuckDB says, in one line. */
const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]?.replace(/^\w+ Error: /, "") ?? "";

/**
 * Reads a condition on rows of some columns: comparisons, arithmetic, `and`, `or`, `not`, `in (…)`, `between`, `like`, `is null`, `case`, casts and functions of
 * values over column names, in DuckDB's SQL. Nothing else is run: no statement, no subquery, no function that reads.
 * @throws OptionError that says what is wrong with it; MissingPackageError
 */
export async function openCondition(text: string, columns: readonly Column[]): Promise<Condition> {
  if (text.length > LONGEST)
    throw new OptionError(`option where: ${text.length} characters; ${LONGEST} at most`);
  const database = await openDatabase();
  const { connection } = database;
  try {
    const names = columns.map(({ name }) => name);
    await lockDatabase(connection, [], true);
    checkExpression(await parsed(connection, text), names);
    const list = columns.map((column) => `${quoteName(column.name)} ${typeOf(column)}`).join(", ");
    await connection.run(`create temp table data (${list})`);
    const query = `select coalesce(((${text}\n))::boolean, false) from data order by rowid`;
    // Types are checked before any row is drawn.
    await told(() => connection.runAndReadAll(query));
    return {
      async holds(rows) {
        const all: boolean[] = [];
        for (let first = 0; first < rows.length; first += ROWS) {
          const part = rows.slice(first, first + ROWS);
          const values = part.map(
            (row) => `(${columns.map((column, i) => literal(column, row[i] ?? null)).join(", ")})`,
          );
          await connection.run("delete from data");
          await connection.run(`insert into data values ${values.join(", ")}`);
          const found = await told(() => connection.runAndReadAll(query));
          for (const [value] of found.getRows()) all.push(value === true);
        }
        return all;
      },
      close: () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** @throws OptionError with what DuckDB says */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new OptionError(`option where: ${messageOf(error)}`);
  }
}

/** The tree of the expression that a text is. @throws OptionError where it is something else */
async function parsed(connection: DuckDBConnection, text: string): Promise<unknown> {
  const query = `select (${inQuery(text)}\n) from data`;
  const [[json] = []] = (
    await connection.runAndReadAll(`select json_serialize_sql(${quoteText(query)})::varchar`)
  ).getRows();
  const read: unknown = JSON.parse(String(json));
  const failed = failure.safeParse(read);
  const isOther = failed.success && failed.data.error_message.startsWith("Only SELECT");
  if (failed.success && !isOther) {
    throw new OptionError(`option where: ${messageOf(failed.data.error_message)}`);
  }
  const whole = tree.safeParse(read);
  if (!whole.success) {
    throw new OptionError(
      'option where: a condition is one expression over column names, as "end" > start and price < 3 * weight',
    );
  }
  return whole.data.statements[0]?.node.select_list[0];
}
