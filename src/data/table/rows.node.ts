import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { nearest } from "../../nearest.ts";
import type { Random } from "../../random.ts";
import { type Column, columnWidth, encodeCategory, encodeNumber, tableWidth } from "../sources/columns.ts";

const NUMERIC_TYPE =
  /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN|VARCHAR|BIGNUM)$/;

/**
 * A column to read: numbers, bits (0 and 1, or what SQL takes for true and false: yes and no too), text where its values are categories or classes, or cells
 * as they are in the table.
 */
export interface Wanted {
  readonly name: string;
  readonly as: "number" | "bit" | "text" | "cell";
  /** Whether cells may be empty, NULL or NaN: numbers are then NaN, bits `GAP`, texts null. Cells may be NULL anyway. */
  readonly gaps?: boolean;
}

/** A bit that is missing. */
export const GAP = 255;

/** Consecutive rows of a table, by column in the order of what was wanted. Texts are null only where they may be. */
export interface Rows {
  readonly firstRow: number;
  readonly count: number;
  readonly columns: readonly (Float64Array | Uint8Array | readonly (string | null)[])[];
}

/** The cells of a column. @throws RangeError where it was not read */
export function columnAt({ columns }: Rows, index: number): Rows["columns"][number] {
  const cells = columns.at(index);
  if (cells === undefined) throw new RangeError(`column ${index} of ${columns.length} that were read`);
  return cells;
}

/** Cells of some rows, by column in the order of what was wanted. */
export interface CellChunk {
  readonly count: number;
  /**
   * Numbers and bits are numbers, or null where a cell is none; texts and cells are texts, or null where they are missing. Where
   * there may be gaps, a missing number is NaN.
   */
  values(column: number): readonly unknown[];
}

/** A table that is open for reading, wherever it is. */
export interface Table {
  /** What messages call it: the path, "query" or "rows in memory". */
  readonly label: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** What messages call a row, which is counted from 0: `row 1`, `rows[0]`. */
  rowName(row: number): string;
  /** Reads columns in order, a few thousand rows at a time. */
  cells(wanted: readonly Wanted[]): AsyncIterable<CellChunk>;
  /** What is in a cell, as text; null where it is missing. */
  cellText(column: string, row: number): Promise<string | null>;
  /** Whether a column holds nothing but 0 and 1. */
  holdsBits(column: string): Promise<boolean>;
}

/**
 * Finds columns by name.
 * @throws DataError naming the columns that are not there, each with the nearest name, and columns that no number can
 * be made of (dates, lists, …).
 */
function checkColumns(source: Table, wanted: readonly Wanted[]): void {
  const names = source.columns.map((column) => column.name);
  const missing = wanted.filter(({ name }) => !names.includes(name));
  if (missing.length > 0) {
    const lost = missing.map(({ name }) => {
      const meant = nearest(name, names);
      return meant === undefined ? `"${name}"` : `"${name}" (did you mean "${meant}"?)`;
    });
    throw new DataError(
      `${source.label}: there is no column ${lost.join(", ")}; there are ${names.join(", ")}`,
    );
  }
  for (const { name, as } of wanted) {
    const type = source.columns.find((column) => column.name === name)?.type ?? "";
    if ((as === "number" || as === "bit") && !NUMERIC_TYPE.test(type)) {
      throw new DataError(
        `${source.label}: column "${name}" is of type ${type}, not a number; leave it out with columns, or convert it with sql`,
      );
    }
  }
}

/** Cells of one column that cannot be used: how many, and the first few rows. */
interface Unusable {
  readonly rows: number[];
  count: number;
}

/** The cells of a column, checked; `note` is called with the rows of those that cannot be used. */
function checkedCells(
  values: readonly unknown[],
  { as, gaps = as === "cell" }: Wanted,
  note: (row: number) => void,
): Rows["columns"][number] {
  switch (as) {
    case "bit":
      return Uint8Array.from(values, (value, row) => {
        if (value === 0 || value === 1) return value;
        if (!(gaps && Number.isNaN(value))) note(row);
        return GAP;
      });
    case "number":
      return Float64Array.from(values, (value, row) => {
        // A negative zero is zero, however a file or a program writes it.
        if (typeof value === "number" && Number.isFinite(value)) return value + 0;
        if (!(gaps && Number.isNaN(value))) note(row);
        return Number.NaN;
      });
    case "text":
    case "cell":
      return values.map((value, row) => {
        if (typeof value === "string") return value;
        if (gaps) return null;
        note(row);
        return "";
      });
  }
}

/**
 * Reads columns of a table in order, a few thousand rows at a time.
 * @param patience how long to go on collecting unusable cells before reporting: to the end of the table, so that all
 * are counted, or to the end of the rows at hand, so that nothing wrong is passed on
 * @throws DataError naming file, column and rows where a number is missing, NaN, infinite or text, a bit is neither 0
 * nor 1, or a text is missing.
 */
export async function* readRows(
  source: Table,
  wanted: readonly Wanted[],
  patience: "table" | "rows",
): AsyncGenerator<Rows, void, undefined> {
  checkColumns(source, wanted);
  const unusable = wanted.map((): Unusable => ({ rows: [], count: 0 }));
  let firstRow = 0;
  for await (const chunk of source.cells(wanted)) {
    const { count } = chunk;
    const columns = wanted.map((column, index) =>
      checkedCells(chunk.values(index), column, (row) => {
        const bad = unusable[index];
        if (bad === undefined) return;
        if (bad.rows.length < 3) bad.rows.push(firstRow + row);
        bad.count++;
      }),
    );
    if (patience === "rows") await reportUnusable(source, wanted, unusable);
    yield { firstRow, count, columns };
    firstRow += count;
  }
  await reportUnusable(source, wanted, unusable);
}

/** What is wrong with cells that are no numbers, bits or texts, and what to do about it. */
const FAULTS = {
  bit: {
    what: "neither 0 nor 1",
    advice:
      "Correct or remove these rows, choose other columns, or name a column that holds classes with label",
  },
  number: {
    what: "no number",
    advice: "Correct or remove these rows, declare the column as categorical, or choose other columns",
  },
  text: { what: "missing values", advice: "Fill in or remove these rows" },
} as const;

async function reportUnusable(
  source: Table,
  wanted: readonly Wanted[],
  unusable: readonly Unusable[],
): Promise<void> {
  const broken = wanted.flatMap(({ name, as }, index) => {
    const bad = unusable[index];
    return bad === undefined || bad.count === 0 ? [] : [{ name, as, ...bad }];
  });
  if (broken.length === 0) return;
  const shown = await Promise.all(
    broken.slice(0, 3).map(async ({ name, rows, count }) => {
      const cells = await Promise.all(
        rows.map(async (row) => {
          const text = await source.cellText(name, row);
          const cell = text === null || text.trim() === "" ? "missing" : JSON.stringify(text.slice(0, 40));
          return `${source.rowName(row)} (${cell})`;
        }),
      );
      const more = count > rows.length ? ` and ${counted(count - rows.length, "more row")}` : "";
      return `column "${name}": ${cells.join(", ")}${more}`;
    }),
  );
  const rest =
    broken.length > shown.length ? `; and ${counted(broken.length - shown.length, "more column")}` : "";
  const kind = (["bit", "number", "text"] as const).find((as) => broken.some((column) => column.as === as));
  const { what, advice } = FAULTS[kind ?? "text"];
  throw new DataError(`${source.label}: ${what} in ${shown.join("; ")}${rest}. ${advice}`);
}

const READ_AS = { numeric: "number", binary: "bit", categorical: "text" } as const;

/** What is read of a table for a column of samples. */
export function wantedOf({ name, kind }: Column): Wanted {
  return { name, as: READ_AS[kind] };
}

/** True where the columns are those of zeros and ones, which have a rule of their own for headers. */
export function areBinary(columns: readonly Column[]): boolean {
  return columns.some(({ kind }) => kind === "binary");
}

interface EncodeTarget {
  readonly target: Float32Array;
  readonly known?: Float32Array;
  /** The table, for error messages. */
  readonly table: Pick<Table, "label" | "rowName">;
}

/**
 * Encodes rows into samples, `[count, width]`, in `target`. Missing cells, where rows may have them, become zeros there
 * and in `known`, which is 1 elsewhere.
 */
export function encodeRows(
  columns: readonly Column[],
  rows: Rows,
  random: Random,
  { target, table, known }: EncodeTarget,
): void {
  const width = tableWidth(columns);
  let offset = 0;
  for (const [index, column] of columns.entries()) {
    const cells = columnAt(rows, index);
    if (column.kind === "binary") {
      for (let row = 0; row < rows.count; row++) {
        const bit = Number(cells[row]);
        if (known !== undefined && bit === GAP) continue;
        target[row * width + offset] = bit;
        known?.fill(1, row * width + offset, row * width + offset + 1);
      }
    } else if (column.kind === "numeric") {
      for (let row = 0; row < rows.count; row++) {
        const value = Number(cells[row]);
        if (known !== undefined && Number.isNaN(value)) continue;
        encodeNumber(column, value, target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + 1);
      }
    } else {
      const noise = random.split(column.name);
      const positions = new Map(column.categories.map((category, position) => [category, position]));
      for (let row = 0; row < rows.count; row++) {
        if (known !== undefined && cells[row] === null) continue;
        const position = positions.get(String(cells[row]));
        if (position === undefined) {
          throw new DataError(
            `${table.label}: column "${column.name}", ${table.rowName(rows.firstRow + row)}: the category ${JSON.stringify(cells[row])} ` +
              `was not there in training (${column.categories.slice(0, 8).join(", ")}${column.categories.length > 8 ? ", …" : ""})`,
          );
        }
        // A generator for each row: a row's noise does not depend on how the table is read.
        encodeCategory(column, position, noise.split(rows.firstRow + row), target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + columnWidth(column));
      }
    }
    offset += columnWidth(column);
  }
}
