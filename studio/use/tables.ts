import type { ServedColumn } from "eidos/serve";
import { t } from "../i18n/index.ts";
import { GivenError } from "./given-error.ts";

// Tables that a reader drops: text of cells, or JSON.

export type Cell = string | number | boolean | null;

export type TableRow = Readonly<Record<string, Cell>>;

export interface Table {
  /** Name of the file. */
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
}

/** Cells of a text as RFC 4180 has them, line by line; empty lines are left out. */
export function cellsOf(text: string, delimiter: string): readonly (readonly string[])[] {
  const lines: string[][] = [];
  let line: string[] = [];
  let cell = "";
  let isQuoted = false;
  let wasQuoted = false;
  const endCell = (): void => {
    line.push(wasQuoted ? cell : cell.trim());
    cell = "";
    wasQuoted = false;
  };
  const endLine = (): void => {
    if (line.length > 0 || cell !== "" || wasQuoted) {
      endCell();
      lines.push(line);
    }
    line = [];
  };
  for (let i = 0; i < text.length; i++) {
    const letter = text.charAt(i);
    if (isQuoted) {
      if (letter !== '"') cell += letter;
      else if (text.charAt(i + 1) === '"') {
        cell += '"';
        i++;
      } else isQuoted = false;
    } else if (letter === '"' && cell.trim() === "") {
      cell = "";
      isQuoted = true;
      wasQuoted = true;
    } else if (letter === delimiter) endCell();
    else if (letter === "\n") endLine();
    else if (letter !== "\r") cell += letter;
  }
  endLine();
  return lines;
}

/** What stands between cells: whatever the first line has most of. */
function delimiterOf(text: string): string {
  const [first = ""] = text.split("\n", 1);
  const plain = first.replaceAll(/"[^"]*"/g, "");
  const counts = [",", ";", "\t"].map((mark) => [mark, plain.split(mark).length] as const);
  return counts.reduce((best, other) => (other[1] > best[1] ? other : best))[0];
}

/** A cell of a column that holds numbers; dates stay as they are written. */
function numberOf(text: string, delimiter: string): Cell {
  // Where commas do not part cells, they are decimal.
  const plain = delimiter === ";" && /^[+-]?\d+,\d+$/.test(text) ? text.replace(",", ".") : text;
  const value = Number(plain);
  return Number.isFinite(value) ? value : text;
}

const isCell = (value: unknown): value is Cell =>
  value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";

function rowsOfJson(name: string, text: string): readonly TableRow[] {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw new GivenError(t("use.table.json", { name }));
  }
  const list: unknown = typeof given === "object" && given !== null && "rows" in given ? given.rows : given;
  if (!Array.isArray(list)) throw new GivenError(t("use.table.json", { name }));
  return list.map((row: unknown) => {
    if (typeof row !== "object" || row === null || !Object.values(row).every(isCell))
      throw new GivenError(t("use.table.json", { name }));
    return row as TableRow;
  });
}

/**
 * The table of a file: JSON, or text of cells with the names of columns in its first line.
 * @param known columns of the model, whose kinds decide what is a number
 * @param gaps texts that are gaps
 * @throws GivenError where the file is no table
 */
export function parseTable(
  name: string,
  text: string,
  known: readonly ServedColumn[],
  gaps: readonly string[],
): Table {
  const missing = new Set(gaps);
  const plain = text.replace(/^\uFEFF/, "");
  const isText = new Set(known.flatMap((column) => (column.kind === "categorical" ? [column.name] : [])));
  const isKnown = new Set(known.map((column) => column.name));
  if (/^\s*[[{]/.test(plain)) {
    const rows = rowsOfJson(name, plain);
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    if (rows.length === 0) throw new GivenError(t("use.table.empty", { name }));
    const cell = (value: Cell | undefined): Cell =>
      value === undefined || (typeof value === "string" && missing.has(value.trim())) ? null : value;
    return {
      name,
      columns,
      rows: rows.map((row) => Object.fromEntries(columns.map((column) => [column, cell(row[column])]))),
    };
  }
  const delimiter = delimiterOf(plain);
  const [columns = [], ...lines] = cellsOf(plain, delimiter);
  if (lines.length === 0) throw new GivenError(t("use.table.empty", { name }));
  const twice = columns.find((column, i) => columns.indexOf(column) !== i);
  if (twice !== undefined) throw new GivenError(t("use.table.twice", { name, column: twice }));
  const rows = lines.map((cells, row) => {
    if (cells.length > columns.length)
      throw new GivenError(t("use.table.long", { name, row: row + 1, columns: columns.length }));
    return Object.fromEntries(
      columns.map((column, i): [string, Cell] => {
        const cell = cells[i] ?? "";
        if (missing.has(cell.trim())) return [column, null];
        return [column, isKnown.has(column) && !isText.has(column) ? numberOf(cell, delimiter) : cell];
      }),
    );
  });
  return { name, columns, rows };
}

/** A spreadsheet takes such a text for a formula: an apostrophe in front keeps it a text, as `eidos` writes it. */
const FORMULA = /^'*[=+\-@\t\r\n]/;

/** Cells as a file of CSV. */
export function csvOf(columns: readonly string[], rows: readonly (readonly (Cell | undefined)[])[]): string {
  const written = (cell: Cell | undefined): string => {
    if (cell === null || cell === undefined) return "";
    if (typeof cell !== "string") return String(cell);
    const safe = FORMULA.test(cell) && !Number.isFinite(Number(cell)) ? `'${cell}` : cell;
    return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return `${[columns, ...rows].map((row) => row.map(written).join()).join("\n")}\n`;
}
