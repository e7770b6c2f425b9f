import { dateNumber, dateText } from "../data/table/columns/dates.ts";
import { DataError } from "../errors.ts";
import type { ExportedPort } from "../model/exported.ts";
import { nearest } from "../nearest.ts";
import { firstNames, shortened } from "../printable.ts";
import { numbersOf, type Values, valuesOf } from "./tensors.ts";
import type { Row } from "./types.ts";

// Rows of a table as a graph takes and gives them: dates as numbers, gaps as what stands for them.

/** The column of a port. */
export const columnOf = ({ name, column = name }: ExportedPort): string => column;

const quoted = (value: unknown): string => shortened(JSON.stringify(String(value)));

/** A cell at its place in a message. */
export const at = (row: number, port: ExportedPort): string =>
  `rows[${row}]: column ${quoted(columnOf(port))}`;

const PRECISIONS = [
  "year",
  "month",
  "day",
  "hour",
  "minute",
  "second",
  "millisecond",
  "microsecond",
] as const;

/** How dates of a column are written. @throws DataError for what this version does not know */
function writingOf({ date }: ExportedPort) {
  if (date === undefined) return undefined;
  const precision = PRECISIONS.find((known) => known === date.precision);
  if (precision === undefined)
    throw new DataError(`model.json: dates of the precision ${quoted(date.precision)} are unknown here`);
  return { precision, form: date.form, ...(date.zone !== undefined && { zone: date.zone }) };
}

/** FNV-1a of a text's UTF-16 units, modulo the number of codes (Fowler, Noll and Vo), as hashed columns have it. */
function hashed(text: string, codes: number): number {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return (hash >>> 0) % codes;
}

/** A cell that is there, as a graph takes it. @throws DataError */
function presentCell(cell: NonNullable<Row[string]>, row: number, port: ExportedPort): number | string {
  const { type, categories = [], pooled } = port;
  if (type === "string") {
    const text = String(cell);
    if (categories.includes(text) || pooled !== undefined) return text;
    const meant = nearest(text, categories);
    const hint =
      meant !== undefined
        ? `; did you mean ${quoted(meant)}?`
        : `; there are ${firstNames(categories.slice(0, 21).map(quoted), 20)}`;
    throw new DataError(`${at(row, port)}: ${quoted(cell)} is none of its categories${hint}`);
  }
  if (port.hashed !== undefined) return hashed(String(cell), categories.length);
  const writing = writingOf(port);
  if (writing !== undefined && typeof cell === "string") {
    const number = dateNumber(writing, cell);
    if (number !== undefined) return number;
    throw new DataError(`${at(row, port)}: ${quoted(cell)} is no date as ${writing.form}`);
  }
  const number = typeof cell === "string" ? Number.NaN : Number(cell);
  if (Number.isFinite(number)) return number;
  throw new DataError(`${at(row, port)}: ${quoted(cell)} is no finite number`);
}

/** Whether a cell is missing. */
export const isGap = (cell: Row[string], { categories }: ExportedPort): boolean =>
  cell === null ||
  cell === undefined ||
  Number.isNaN(cell) ||
  (cell === "" && categories?.includes("") !== true);

/** A cell that a column can hold, in place of one that is missing. */
export const anyCell = ({ type, hashed, categories = [], minimum = 0 }: ExportedPort): number | string =>
  type === "string" ? (categories[0] ?? "") : hashed !== undefined ? "" : minimum;

/** @throws DataError for a gap of a column that has none */
function cellOf(cell: Row[string], row: number, port: ExportedPort): number | string {
  if (!isGap(cell, port)) return presentCell(cell as NonNullable<Row[string]>, row, port);
  if (port.missing === undefined) {
    throw new DataError(`${at(row, port)}: a cell is missing, and the model knows no gaps of this column`);
  }
  return port.missing === "NaN" ? Number.NaN : port.missing;
}

/**
 * Rows as inputs of a graph, by their names.
 * @param ports those of columns
 * @param first number of the first row, for messages
 * @throws DataError naming the row and column at fault
 */
export function feedsOfRows(
  ports: readonly ExportedPort[],
  rows: readonly Row[],
  first = 0,
): Readonly<Record<string, Values>> {
  for (const [i, row] of rows.entries()) {
    if (typeof row !== "object" || row === null || Array.isArray(row)) {
      throw new DataError(`rows[${first + i}] is no row: give an object with a cell for each column`);
    }
    const port = ports.find((one) => !Object.hasOwn(row, columnOf(one)));
    if (port === undefined) continue;
    const known = new Set(ports.map(columnOf));
    const meant = nearest(
      columnOf(port),
      Object.keys(row).filter((name) => !known.has(name)),
    );
    throw new DataError(
      `${at(first + i, port)} is missing${meant === undefined ? "; write null for a missing cell" : `; did you mean ${quoted(meant)}?`}`,
    );
  }
  return Object.fromEntries(
    ports.map((port) => {
      const column = columnOf(port);
      const cells = rows.map((row, i) => cellOf(row[column], first + i, port));
      return [port.name, valuesOf(port.type, cells)];
    }),
  );
}

/** Columns of the first row that no port takes. */
export function ignoredColumns(ports: readonly ExportedPort[], rows: readonly Row[]): readonly string[] {
  const known = new Set(ports.map(columnOf));
  return Object.keys(rows[0] ?? {}).filter((name) => !known.has(name));
}

/** Cells of one output. @throws DataError for a date beyond the years that are written */
function cellsOf(port: ExportedPort, values: Values): readonly (string | number | null)[] {
  const { missing, hashed, categories = [] } = port;
  if (port.type === "string") {
    return (values.data as readonly string[]).map((cell) => (cell === missing ? null : cell));
  }
  const writing = writingOf(port);
  return Array.from(numbersOf(values), (number) => {
    if (missing === -1 ? number === -1 : Number.isNaN(number)) return null;
    if (hashed !== undefined) return categories[number] ?? null;
    return writing === undefined ? number : dateText({ ...writing, name: columnOf(port) }, number);
  });
}

/** Outputs of a graph as rows: dates as they are written in the column, gaps as null. */
export function rowsOfOutputs(
  ports: readonly ExportedPort[],
  outputs: Readonly<Record<string, Values>>,
  count: number,
): readonly Row[] {
  const columns = ports.map((port) => {
    const values = outputs[port.name];
    if (values === undefined)
      throw new DataError(`the file gives no ${quoted(port.name)}, which model.json names`);
    return [columnOf(port), cellsOf(port, values)] as const;
  });
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map(([name, cells]) => [name, cells[row] ?? null])),
  );
}
