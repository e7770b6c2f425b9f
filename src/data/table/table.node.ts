import { createHash } from "node:crypto";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { checkMemory, counted, FLOAT_BYTES, showCount } from "../../memory.ts";
import { firstNames } from "../../printable.ts";
import { Random } from "../../random.ts";
import {
  type BinaryColumn,
  type Column,
  columnWidth,
  gapsOfColumn,
  gapWidth,
  tableWidth,
} from "../sources/columns.ts";
import { type DataSet, describeSplits, type SplitName, storedSplit } from "../sources/data-set.ts";
import { type DataOptions, resolveDataOptions } from "../sources/options.ts";
import { columnOf, tableSplit } from "./codec/index.ts";
import { isOfFiles, readParts, type TableData } from "./parts.node.ts";
import { encodeRows, GAP, type Rows, valuesOfRows } from "./rows.node.ts";

/** In order of size where all are numbers, else by code point, so that the order is the same everywhere. */
function sortedCategories(values: Iterable<string>): string[] {
  const distinct = [...new Set(values)];
  if (distinct.every((value) => value.trim() !== "" && !Number.isNaN(Number(value)))) {
    return distinct.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
  }
  return distinct.sort((a, b) => (a < b ? -1 : 1));
}

/** Classes in order, and the position of that of each row. */
export function classesOf(texts: readonly string[]): {
  readonly classes: readonly string[];
  readonly labels: Uint32Array;
} {
  const classes = sortedCategories(texts);
  const positions = new Map(classes.map((name, index) => [name, index]));
  const positionOf = (text: string) => {
    const position = positions.get(text);
    if (position === undefined) throw new RangeError(`class ${text} is not among ${classes.length}`);
    return position;
  };
  return { classes, labels: Uint32Array.from(texts, positionOf) };
}

/** All texts of a column; null where they are missing. */
function cellTextsOf(rows: readonly Rows[], column: number): readonly (string | null)[] {
  return rows.flatMap(({ columns }) => columns[column] as readonly (string | null)[]);
}

/** All texts of a column that was read without gaps. */
function textsOf(rows: readonly Rows[], column: number): readonly string[] {
  return rows.flatMap(({ columns }) => columns[column] as readonly string[]);
}

/** All numbers of a column. */
function numbersOf(rows: readonly Rows[], column: number, count: number): Float64Array {
  const whole = new Float64Array(count);
  for (const { firstRow, columns } of rows) whole.set(columns[column] as Float64Array, firstRow);
  return whole;
}

/** Refuses a table whose rows, encoded, would not fit into memory: each category is a number of each row. @throws MemoryError */
function checkWidth(
  columns: readonly Column[],
  { label, count, width }: { readonly label: string; readonly count: number; readonly width: number },
): void {
  const categorical = columns.filter((column) => column.kind === "categorical");
  const [most] = categorical.toSorted((a, b) => b.categories.length - a.categories.length);
  const widest =
    most === undefined
      ? ""
      : `, ${showCount(most.categories.length)} of them the categories of "${most.name}"`;
  checkMemory(
    {
      what: `${label}: ${showCount(count)} rows of ${showCount(width)} numbers${widest}`,
      bytes: count * width * FLOAT_BYTES,
      instead:
        "pool rare categories (--pool-rare), make fewer of long texts (--hash-text), or leave columns out (--columns)",
    },
    memoryLimit(),
  );
}

/**
 * A table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB), or a folder with a table for each split. Numeric
 * columns are standardized by the training split; categorical ones must be declared and become noisy one-hot codes (see
 * `Column`); `label` is left out of the samples and becomes the class. The split of one table is random by seed.
 * @param stored the columns of a run whose data it is, by which rows are encoded; found in the table where they are left out
 * @throws DataError where the file is missing, empty or unreadable, a column is missing, or a cell cannot be used
 * (naming file, column and rows); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openTable(
  data: TableData,
  options: DataOptions = {},
  stored?: readonly Column[],
): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label: classColumn } = resolved;
  const read = await readParts(data, resolved, "number", stored);
  const { name, table, wanted, rows, count, parts, division, found, notes } = read;

  const features = classColumn === undefined ? wanted : wanted.slice(0, -1);
  const cells = features.map(({ as }, i) =>
    as === "text" ? cellTextsOf(rows, i) : numbersOf(rows, i, count),
  );
  const columns = stored ?? found.map((column, i) => columnOf(column, cells[i] ?? [], parts.train));
  const width = tableWidth(columns);
  checkWidth(columns, { label: table.label, count, width });
  const store = new Float32Array(count * width);
  const values = valuesOfRows(columns, { firstRow: 0, count, columns: cells }, table);
  encodeRows(columns, values, new Random(seed).split("table"), { target: store, firstRow: 0 });

  const { classes, labels } = classColumn === undefined ? {} : classesOf(textsOf(rows, features.length));
  const encoded = { columns, values, store, labels };
  const split = (name: SplitName) => tableSplit(encoded, parts[name]);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ columns, classes, seed })).update(store);
  for (const rows of Object.values(parts)) hash.update(rows);
  return {
    name,
    kind: "table",
    sampleShape: [width],
    splits,
    ...(isOfFiles(data) && { origin: { kind: "table", rows: parts.train } }),
    columns,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.digest("hex").slice(0, 16),
    describe: () => [
      `${table.label}: ${counted(count, "row")}, ${counted(columns.length, "column")}${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
      `${describeSplits(splits)}, ${division}`,
      ...notes,
      ...columns.flatMap((column) =>
        column.kind === "categorical" ? [`"${column.name}" has ${column.categories.length} categories`] : [],
      ),
      ...columnLines(columns, values, parts.train),
    ],
  };
}

/** Columns named in a line of `describe`. */
const NAMED = 8;

/** Names of columns as a line shows them. */
const named = (names: readonly string[]): string => firstNames(names, NAMED);

/** Lines on what models see of the columns: gaps, scales, whole numbers, constants. */
function columnLines(
  columns: readonly Column[],
  values: readonly Float64Array[],
  train: Uint32Array,
): readonly string[] {
  const lines: string[] = [];
  const list = (what: string, names: readonly string[]): void => {
    if (names.length > 0) lines.push(`${what}: ${named(names)}`);
  };
  const numeric = columns.flatMap((column) =>
    column.kind === "numeric" && column.cells ? [{ ...column, cells: column.cells }] : [],
  );
  list(
    "whole numbers",
    numeric.filter(({ cells }) => cells.of.kind === "whole").map(({ name }) => name),
  );
  list(
    "learned on another scale",
    numeric.flatMap(({ name, cells: { scale } }) =>
      scale.kind === "standard" ? [] : [`${name} (${scale.kind})`],
    ),
  );
  list(
    "gaps, which are learned",
    columns.flatMap((column, i) => {
      const missing = values[i]?.filter(Number.isNaN).length ?? 0;
      return missing === 0 ? [] : [`${column.name} (${missing} of ${values[i]?.length})`];
    }),
  );
  const constant = columns.filter((column, i) => {
    const first = values[i]?.[train[0] ?? 0];
    return column.kind === "numeric" && train.every((row) => values[i]?.[row] === first);
  });
  return [
    ...lines,
    ...constant.map(
      ({ name }) => `"${name}" is constant over the training split: a density of it has no bound`,
    ),
  ];
}

/** The columns of a table of bits: with gaps where bits are missing, by their share in the training split. */
function binaryColumns(
  names: readonly string[],
  rows: readonly Rows[],
  train: Uint32Array,
): readonly BinaryColumn[] {
  const missing = names.map(() => 0);
  const trained = names.map(() => 0);
  const isTrained = new Set(train);
  for (const { firstRow, columns } of rows) {
    for (const i of names.keys()) {
      const column = columns[i] as Uint8Array;
      for (let row = column.indexOf(GAP); row >= 0; row = column.indexOf(GAP, row + 1)) {
        missing[i] = (missing[i] ?? 0) + 1;
        if (isTrained.has(firstRow + row)) trained[i] = (trained[i] ?? 0) + 1;
      }
    }
  }
  return names.map((name, i): BinaryColumn => {
    if (missing[i] === 0) return { kind: "binary", name };
    return { kind: "binary", name, gaps: Math.max(0.5, trained[i] ?? 0) / Math.max(1, train.length) };
  });
}

/** Bits row by row, one byte each; a column with gaps is two, of which the first is 1 where the bit is missing. */
export function bitsOf(rows: readonly Rows[], count: number, own: readonly Column[]): Uint8Array {
  const width = tableWidth(own);
  const store = new Uint8Array(count * width);
  for (const { firstRow, count: length, columns } of rows) {
    let offset = 0;
    for (const [i, column] of own.entries()) {
      const bits = columns[i] as Uint8Array;
      const gap = gapWidth(column);
      for (let row = 0, at = firstRow * width + offset; row < length; row++, at += width) {
        const bit = bits[row] ?? 0;
        if (bit === GAP) store[at] = 1;
        else store[at + gap] = bit;
      }
      offset += gap + 1;
    }
  }
  return store;
}

/** How many of some rows have a one in each column. */
function countOnes(store: Uint8Array, width: number, rows: Uint32Array): Uint32Array {
  const ones = new Uint32Array(width);
  for (const row of rows) {
    const start = row * width;
    for (let i = 0; i < width; i++) ones[i] = (ones[i] ?? 0) + (store[start + i] ?? 0);
  }
  return ones;
}

/**
 * Vectors of zeros and ones: a table by file (CSV, TSV, Parquet, JSON) or SQL query (DuckDB), or a folder with a table for
 * each split. Every cell is 0 or 1, true or false, yes or no; `label` is left out of the samples and becomes the class. A CSV
 * file needs no names in its first line. The split of one table is random by seed.
 * @throws DataError as `openTable`, also where a cell is neither 0 nor 1 (naming file, column, rows and what is
 * there); MissingPackageError where DuckDB is not installed; OptionError for bad options.
 */
export async function openBinaryTable(
  data: TableData,
  options: DataOptions = {},
  stored?: readonly Column[],
): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { splitSeed: seed, label: classColumn, categorical } = resolved;
  if (categorical.length > 0) {
    throw new OptionError(
      `option categorical: ${categorical.join(", ")} cannot hold categories in a table of zeros and ones; make them columns of zeros and ones by sql, or leave binary out`,
    );
  }
  const read = await readParts(data, resolved, "bit", stored);
  const { name, table, wanted, rows, count, parts, division, notes } = read;
  const features = classColumn === undefined ? wanted : wanted.slice(0, -1);
  const names = features.map(({ name }) => name);
  const columns = stored ?? binaryColumns(names, rows, parts.train);
  const width = tableWidth(columns);
  const store = bitsOf(rows, count, columns);
  const { classes, labels } = classColumn === undefined ? {} : classesOf(textsOf(rows, names.length));
  const split = (name: SplitName) => storedSplit(store, [width], parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ columns, classes, seed })).update(store);
  if (labels !== undefined) hash.update(labels);
  for (const rows of Object.values(parts)) hash.update(rows);
  const ones = countOnes(store, width, parts.train);
  return {
    name,
    kind: "binary",
    sampleShape: [width],
    splits,
    ...(isOfFiles(data) && { origin: { kind: "table", rows: parts.train } }),
    columns,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.digest("hex").slice(0, 16),
    describe: () => [
      `${table.label}: ${counted(count, "row")} of ${names.length} zeros and ones${classColumn === undefined ? "" : `, class "${classColumn}"`}`,
      `${describeSplits(splits)}, ${division}`,
      ...notes,
      ...constantLines(columns, ones, parts.train.length),
      ...gapLine(columns),
    ],
  };
}

/** A line on columns of bits with gaps. */
function gapLine(columns: readonly Column[]): readonly string[] {
  const gapped = columns.flatMap((column) => {
    const share = gapsOfColumn(column);
    return share === undefined ? [] : [`${column.name} (${Number((100 * share).toPrecision(2))} %)`];
  });
  return gapped.length === 0 ? [] : [`gaps, which are learned: ${named(gapped)}`];
}

/** A line for columns that are always 0, and one for those that are always 1, in the training split. */
function constantLines(columns: readonly Column[], ones: Uint32Array, rows: number): string[] {
  let at = 0;
  const places = columns.map((column) => {
    const own = at + gapWidth(column);
    at += columnWidth(column);
    return own;
  });
  return [0, 1].flatMap((value) => {
    const names = columns.flatMap((column, i) =>
      gapsOfColumn(column) === undefined && ones[places[i] ?? -1] === value * rows ? [column.name] : [],
    );
    if (names.length === 0) return [];
    return [`always ${value} in the training split: ${names.length} of the columns (${named(names)})`];
  });
}
