import { DataError } from "../../errors.ts";
import type { PlainRows, Row, RowCell } from "../sources/memory.ts";
import { missingTest } from "./columns/missing.ts";
import type { Table, Wanted } from "./rows.node.ts";

/** What messages call a table in memory. */
const LABEL = "rows in memory";

/** Rows that are read at once, as many as DuckDB's. */
const CHUNK = 2048;

const TYPES = { number: "DOUBLE", bigint: "DOUBLE", boolean: "BOOLEAN", string: "VARCHAR" } as const;

type CellType = (typeof TYPES)[keyof typeof TYPES];

/** The type of a cell; undefined where it is missing. */
function typeOf(cell: RowCell): CellType | undefined {
  return cell === null || cell === undefined ? undefined : TYPES[typeof cell as keyof typeof TYPES];
}

/** The number that a text writes, as DuckDB reads it; undefined where it writes none. */
function numberIn(text: string): number | undefined {
  const plain = text.trim();
  if (/^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain)) return Number(plain);
  if (/^-?inf(inity)?$/i.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  return /^-?nan$/i.test(plain) ? Number.NaN : undefined;
}

/** The bit that a text writes in words; undefined where it writes none. */
function bitIn(text: string): 0 | 1 | undefined {
  if (/^(true|t|yes|y)$/i.test(text)) return 1;
  return /^(false|f|no|n)$/i.test(text) ? 0 : undefined;
}

/** A cell as it was wanted: see `CellChunk`. */
function read(
  cell: RowCell,
  { as, gaps = false }: Wanted,
  isGap: (text: string | null) => boolean,
): number | string | null {
  const text = cell === null || cell === undefined ? null : String(cell);
  if (as === "cell") return text;
  if (as === "text") return isGap(text) ? null : text;
  if (isGap(text)) return gaps ? Number.NaN : null;
  if (typeof cell !== "string") return cell === null || cell === undefined ? null : Number(cell);
  return numberIn(cell) ?? (as === "bit" ? bitIn(cell) : undefined) ?? null;
}

/**
 * Rows in memory as a table.
 * @throws DataError where a column holds texts and numbers
 */
export function memoryTable({ rows }: PlainRows, missing: readonly string[] = []): Table {
  const isGap = missingTest(missing);
  const names = Object.keys(rows[0] ?? {});
  const columns = names.map((name) => {
    const first = rows.findIndex((row) => typeOf(row[name]) !== undefined);
    return { name, first, type: typeOf(rows[first]?.[name]) ?? "VARCHAR" };
  });
  /** @throws DataError naming a row whose cell is of another type than those above it */
  const checkType = (name: string, part: readonly Row[], firstRow: number) => {
    const column = columns.find((column) => column.name === name);
    if (column === undefined) return;
    const other = part.findIndex((row) => (typeOf(row[name]) ?? column.type) !== column.type);
    if (other < 0) return;
    const [cell, model] = [part[other]?.[name], rows[column.first]?.[name]];
    throw new DataError(
      `${LABEL}: column "${name}" holds a ${typeof cell} in rows[${firstRow + other}] and a ${typeof model} in rows[${column.first}]; make them of one type`,
    );
  };
  return {
    label: LABEL,
    columns: columns.map(({ name, type }) => ({ name, type })),
    notes: [],
    rowName: (row) => `rows[${row}]`,
    async *cells(wanted, share = { first: 0, count: rows.length }) {
      const end = Math.min(rows.length, share.first + share.count);
      for (let start = share.first; start < end; start += CHUNK) {
        const part = rows.slice(start, Math.min(end, start + CHUNK));
        for (const { name } of wanted) checkType(name, part, start);
        yield {
          count: part.length,
          values(index) {
            const column = wanted[index];
            if (column === undefined) throw new RangeError(`column ${index} of ${wanted.length}`);
            return part.map((row) => read(row[column.name], column, isGap));
          },
        };
      }
    },
    countRows: async () => rows.length,
    async cellText(column, row) {
      const cell = rows[row]?.[column];
      return cell === null || cell === undefined ? null : String(cell);
    },
    async countDistinct(names) {
      return names.map((name) => {
        const texts = rows.map((row) => read(row[name], { name, as: "text" }, isGap));
        return [name, new Set(texts.filter((text) => text !== null)).size] as const;
      });
    },
    async holdsBits(column) {
      const wanted: Wanted = { name: column, as: "number" };
      return rows.every((row) => {
        const value = read(row[column], wanted, isGap);
        return value === 0 || value === 1;
      });
    },
  };
}
