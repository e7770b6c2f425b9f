import type { FoundColumn } from "../data/table/columns/find.node.ts";
import { isLearned, type TableColumn } from "../data/table/columns/schema.ts";
import type { TableProfile } from "../data/table/parts.node.ts";
import { print, printLine, showTable } from "./format.ts";

/** Columns that are shown one by one; of wider tables, a summary. */
const SHOWN = 60;

const BARS = "▁▂▃▄▅▆▇█";

/** Shares as bars, the largest of full height; a share above 0 has a bar that is seen. */
function bars(shares: readonly number[]): string {
  const most = Math.max(...shares);
  return shares
    .map((share) => (share === 0 ? " " : BARS[Math.min(7, Math.ceil((share / most) * 8) - 1)]))
    .join("");
}

const short = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text;

/** A value of a column with the digits that matter: all of those that a column with a step has. */
function number(value: number, resolution?: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  if (resolution !== undefined) return String(Number(value.toPrecision(15)));
  return String(Number(value.toPrecision(6)));
}

function range(column: TableColumn): string {
  switch (column.kind) {
    case "real":
    case "whole":
      return [column.minimum, column.maximum].map((value) => number(value, column.resolution)).join(" … ");
    case "date":
      return `${column.minimum} … ${column.maximum}`;
    case "boolean":
      return `${column.texts[0]} (${column.counts[0]}), ${column.texts[1]} (${column.counts[1]})`;
    case "category": {
      const most = [...column.levels].sort((a, b) => b.count - a.count).slice(0, 3);
      const more = column.levels.length > 3 ? ", …" : "";
      return `${most.map(({ level, count }) => `${short(level, 14)} (${count})`).join(", ")}${more}`;
    }
    default:
      return column.example === undefined ? "" : `as ${short(column.example, 24)}`;
  }
}

function shape({ column, shape }: FoundColumn): string {
  if (shape !== undefined) return bars(shape.histogram);
  if (column.kind === "boolean") return bars(column.counts);
  return column.kind === "category" ? bars(column.levels.slice(0, 8).map(({ count }) => count)) : "";
}

/** Where steps begin that do not begin at 0. */
function from({
  minimum,
  offset,
}: {
  readonly minimum: number | string;
  readonly offset?: number | undefined;
}): string {
  if (offset === undefined) return "";
  return ` from ${typeof minimum === "string" ? minimum : number(minimum)}`;
}

/** What will be done with a column, and why. */
function plan(column: TableColumn): string {
  if (!isLearned(column)) return column.why;
  const what = {
    real: "a number",
    whole: "a whole number",
    date: column.kind === "date" ? `a whole number of ${column.precision}s` : "",
    boolean: "one of two",
    category: column.kind === "category" ? `one of ${column.levels.length}` : "",
  }[column.kind];
  const step =
    (column.kind === "real" || column.kind === "whole" || column.kind === "date") &&
    column.resolution !== undefined &&
    (column.kind === "real" || column.resolution > 1)
      ? `, in steps of ${number(column.resolution)}${from(column)}`
      : "";
  return column.why === "" ? `${what}${step}` : `${what}${step}; ${column.why}`;
}

function gaps({ gaps }: TableColumn, rows: number): string {
  return gaps === 0 ? "" : `${gaps} (${Number(((100 * gaps) / rows).toPrecision(2))} %)`;
}

/** Prints what the columns of a table are, and what will be done with them. */
export function printColumns({ label, rows, columns, notes }: TableProfile): void {
  printLine(`${label}: ${rows} rows, ${columns.length} columns`);
  for (const note of notes) printLine(note);
  print("");
  if (columns.length > SHOWN) printSummary(columns);
  else {
    const head = ["column", "kind", "range or levels", "gaps", "distinct", "values", "what it is learned as"];
    const lines = columns.map((found) => [
      short(found.column.name, 28),
      found.column.kind,
      range(found.column),
      gaps(found.column, rows),
      String(found.column.distinct),
      shape(found),
      short(plan(found.column), 120),
    ]);
    print(showTable(head, lines));
  }
}

/** Columns named for a kind. */
const NAMED = 6;

/** Of a wide table: for each kind how many columns, their names, gaps and ranges. */
function printSummary(columns: readonly FoundColumn[]): void {
  const kinds = [...new Set(columns.map(({ column }) => column.kind))];
  const lines = kinds.map((kind) => {
    const own = columns.filter(({ column }) => column.kind === kind);
    const names = own.slice(0, NAMED).map(({ column }) => short(column.name, 20));
    const gapped = own.filter(({ column }) => column.gaps > 0).length;
    const ends = own.flatMap(({ column }) =>
      column.kind === "real" || column.kind === "whole" ? [column.minimum, column.maximum] : [],
    );
    const least = ends.reduce((a, b) => Math.min(a, b), Infinity);
    const most = ends.reduce((a, b) => Math.max(a, b), -Infinity);
    return [
      kind,
      String(own.length),
      ends.length === 0 ? "" : `${number(least)} … ${number(most)}`,
      gapped === 0 ? "" : `in ${gapped} columns`,
      `${names.join(", ")}${own.length > NAMED ? ", …" : ""}`,
    ];
  });
  print(showTable(["kind", "columns", "range of all", "gaps", "names"], lines));
  print("");
  printLine("--json and --schema-out give every column");
}
