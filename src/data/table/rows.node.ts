import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { nearest } from "../../nearest.ts";
import { firstNames } from "../../printable.ts";
import type { Random } from "../../random.ts";
import { type Column, columnWidth, gapsOfColumn, tableWidth } from "../sources/columns.ts";
import type { RowShare } from "../sources/shard.ts";
import { encodeGap, encodeUnknown, encodeValue, isNoisy, valueOfCell } from "./codec/index.ts";
import type { NumberFormat } from "./columns/numbers.ts";

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

/** A column of a table that is open. */
export interface TableSourceColumn {
  readonly name: string;
  /** SQL's type of it. */
  readonly type: string;
  /** Whether the file has no name for it. */
  readonly unnamed?: boolean;
  /** How its numbers are written, where they are not as in programs. */
  readonly numbers?: NumberFormat;
}

/** A table that is open for reading, wherever it is. */
export interface Table {
  /** What messages call it: the path, "query" or "rows in memory". */
  readonly label: string;
  readonly columns: readonly TableSourceColumn[];
  /** Lines for a person on how the file was read: what was guessed or left out. */
  readonly notes: readonly string[];
  /** What messages call a row, which is counted from 0: `row 1`, `rows[0]`. */
  rowName(row: number): string;
  /** Reads columns in order, a few thousand rows at a time. @param share of the rows; of Parquet, no more row groups are read than hold it */
  cells(wanted: readonly Wanted[], share?: RowShare): AsyncIterable<CellChunk>;
  /** How many rows there are. */
  countRows(): Promise<number>;
  /** What is in a cell, as text; null where it is missing. */
  cellText(column: string, row: number): Promise<string | null>;
  /** How many different texts columns hold, gaps apart. */
  countDistinct(names: readonly string[]): Promise<readonly (readonly [string, number])[]>;
  /** Whether a column holds nothing but 0 and 1. */
  holdsBits(column: string): Promise<boolean>;
}

/** Columns that an error names: those that are missing, and those that there are. */
const [NAMED, MOST_NAMED] = [8, 40];

/** @throws DataError naming the columns that are not there, each with the nearest name */
export function checkNames(source: Table, wanted: readonly string[]): void {
  const names = source.columns.map((column) => column.name);
  const known = new Set(names);
  const missing = wanted.filter((name) => !known.has(name));
  if (missing.length > 0) {
    // Of a table that is another one altogether, all are missing.
    const lost = missing.slice(0, NAMED).map((name) => {
      const meant = nearest(name, names);
      return meant === undefined ? `"${name}"` : `"${name}" (did you mean "${meant}"?)`;
    });
    throw new DataError(
      `${source.label}: there is no column ${lost.join(", ")}${missing.length > NAMED ? ", …" : ""}; there are ${firstNames(names, MOST_NAMED)}`,
    );
  }
}

/**
 * Finds columns by name.
 * @throws DataError naming the columns that are not there, each with the nearest name, and columns that no number can
 * be made of (dates, lists, …).
 */
function checkColumns(source: Table, wanted: readonly Wanted[]): void {
  checkNames(
    source,
    wanted.map(({ name }) => name),
  );
  const typeOf = new Map(source.columns.map(({ name, type }) => [name, type]));
  for (const { name, as } of wanted) {
    const type = typeOf.get(name) ?? "";
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
 * @param share reads these rows alone
 * @throws DataError naming file, column and rows where a number is missing, NaN, infinite or text, a bit is neither 0
 * nor 1, or a text is missing.
 */
export async function* readRows(
  source: Table,
  wanted: readonly Wanted[],
  patience: "table" | "rows",
  share?: RowShare,
): AsyncGenerator<Rows, void, undefined> {
  checkColumns(source, wanted);
  const unusable = wanted.map((): Unusable => ({ rows: [], count: 0 }));
  let firstRow = share?.first ?? 0;
  for await (const chunk of source.cells(wanted, share)) {
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
export function wantedOf(column: Column): Wanted {
  const isDate = column.kind === "numeric" && column.cells?.of.kind === "date";
  return {
    name: column.name,
    as: isDate ? "text" : READ_AS[column.kind],
    ...(gapsOfColumn(column) !== undefined && { gaps: true }),
  };
}

/** True where the columns are those of zeros and ones, which have a rule of their own for headers. */
export function areBinary(columns: readonly Column[]): boolean {
  return columns.some(({ kind }) => kind === "binary");
}

/** The table, for error messages. */
type NamedTable = Pick<Table, "label" | "rowName">;

/** What is wrong with a cell that its column cannot hold. */
function faultOf(column: Column, cell: unknown): string {
  if (column.kind === "categorical") {
    const known = firstNames(column.categories, 8);
    return `the category ${JSON.stringify(cell)} was not there in training (${known})`;
  }
  const isDate = column.kind === "numeric" && column.cells?.of.kind === "date";
  const what = isDate ? `date (${column.cells.of.form})` : "number";
  return `${JSON.stringify(cell)} is no ${what}; correct or remove the row`;
}

/** Columns whose faults a message has. */
const FAULTY_COLUMNS = 5;

/** The first faulty row of each column, and how many more there are. */
class Faults {
  private readonly found = new Map<Column, { readonly row: number; readonly text: string; more: number }>();

  add(column: Column, cell: unknown, row: number): void {
    const known = this.found.get(column);
    if (known === undefined) this.found.set(column, { row, text: faultOf(column, cell), more: 0 });
    else known.more++;
  }

  /** @throws DataError where there are any */
  report({ label, rowName }: NamedTable): void {
    if (this.found.size === 0) return;
    const lines = [...this.found].map(([{ name }, { row, text, more }]) => {
      const others = more === 0 ? "" : ` (and ${counted(more, "more row")})`;
      return `column "${name}", ${rowName(row)}: ${text}${others}`;
    });
    const rest = lines.length - FAULTY_COLUMNS;
    const last = rest > 0 ? [`and ${counted(rest, "more column")}`] : [];
    throw new DataError(`${label}: ${[...lines.slice(0, FAULTY_COLUMNS), ...last].join("; ")}`);
  }
}

/**
 * What the cells of rows are to their columns, column by column: numbers, positions of categories, bits (`valueOfCell`); NaN where a cell is missing.
 * @throws DataError naming the first row of each column whose cell it cannot hold
 */
export function valuesOfRows(
  columns: readonly Column[],
  rows: Rows,
  table: NamedTable,
): readonly Float64Array[] {
  const faults = new Faults();
  const values = columns.map((column, index) => {
    const cells = columnAt(rows, index);
    return Float64Array.from({ length: rows.count }, (_, row) => {
      const cell = cells[row] ?? null;
      if (cell === null || Number.isNaN(cell) || (column.kind === "binary" && cell === GAP))
        return Number.NaN;
      const value = valueOfCell(column, cell);
      if (value === undefined) faults.add(column, cell, rows.firstRow + row);
      return value ?? Number.NaN;
    });
  });
  faults.report({ label: table.label, rowName: (row) => table.rowName(row) });
  return values;
}

/** Where rows are encoded to. */
interface EncodeTarget {
  readonly target: Float32Array;
  /**
   * Where it is given, missing cells are to be filled in: 1 for numbers that come from a cell or say that it is there, 0 for those that are
   * open. Otherwise samples say that they are missing.
   */
  readonly known?: Float32Array;
  /** Number of the first row, on which its noise depends. */
  readonly firstRow: number;
}

/**
 * Encodes values of rows, as `valuesOfRows` gives them, into samples, `[count, width]`.
 * @param random a row's noise depends on its number alone, not on how the table is read
 */
export function encodeRows(
  columns: readonly Column[],
  values: readonly Float64Array[],
  random: Random,
  { target, known, firstRow }: EncodeTarget,
): void {
  const width = tableWidth(columns);
  let offset = 0;
  for (const [index, column] of columns.entries()) {
    const own = values[index] ?? new Float64Array();
    const noise = random.split(column.name);
    const isPlain = !isNoisy(column);
    for (const [row, value] of own.entries()) {
      const at = row * width + offset;
      const rowNoise = isPlain ? noise : noise.split(firstRow + row);
      if (!Number.isNaN(value)) {
        encodeValue(column, value, rowNoise, target, at);
        known?.fill(1, at, at + columnWidth(column));
      } else if (known === undefined) encodeGap(column, rowNoise, target, at);
      else known.fill(1, at, at + encodeUnknown(column, rowNoise, target, at));
    }
    offset += columnWidth(column);
  }
}
