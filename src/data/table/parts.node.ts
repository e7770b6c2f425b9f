import { basename, dirname, extname, join } from "node:path";
import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { listFolder } from "../files/files.node.ts";
import { isImage } from "../image/listing.node.ts";
import type { Column } from "../sources/columns.ts";
import { randomSplit, range, type SplitName, splitNamed } from "../sources/data-set.ts";
import type { ResolvedDataOptions } from "../sources/options.ts";
import { type FoundColumn, findColumns } from "./columns/find.node.ts";
import { isLearned, type LearnedColumn } from "./columns/schema.ts";
import { isTablePath, type TablePlace } from "./duckdb.node.ts";
import { type TableInput, withTables } from "./input.node.ts";
import { readingOf } from "./reading.ts";
import { checkNames, type Rows, readRows, type Table, type Wanted, wantedOf } from "./rows.node.ts";
import { readSchema } from "./schema-file.node.ts";

/** A folder that holds a table for each split. */
export interface SplitTables {
  readonly kind: "splits";
  readonly folder: string;
  readonly files: Readonly<Record<SplitName, string>>;
}

/** What a data set of rows is read from: one table, which is divided at random, or a table for each split. */
export type TableData = TableInput | (SplitTables & Pick<TablePlace, "sql" | "reads">);

/** Rows of a data set of rows, and where they belong. */
export interface TableParts {
  /** The file name, the name of the folder, "query" or "rows". */
  readonly name: string;
  /** The table, or the first of several, for messages; of several the label is the folder's. */
  readonly table: Pick<Table, "label" | "rowName">;
  /** What was read; the column of classes, where there is one, is the last. */
  readonly wanted: readonly Wanted[];
  readonly rows: readonly Rows[];
  readonly count: number;
  readonly parts: Readonly<Record<SplitName, Uint32Array>>;
  /** How the rows were divided. */
  readonly division: string;
  /** What the columns are that were read, in the order of `wanted`; none of zeros and ones, and of a run, whose columns are known. */
  readonly found: readonly LearnedColumn[];
  /** Lines for a person: what was guessed, and what was left out of the table. */
  readonly notes: readonly string[];
}

const SPLITS = ["train", "validation", "test"] as const;

/**
 * The tables of a folder that holds one for each split: train, validation (or val, valid) and test, as `.csv`, `.tsv`,
 * `.parquet` or `.json`. Undefined where it is no such folder: none of its tables is called so, or it holds images.
 * @throws DataError where a split has no table, or two
 */
export async function findSplitTables(folder: string): Promise<SplitTables | undefined> {
  const found = new Map<SplitName, string>();
  const entries = await listFolder(folder);
  const hasImages = entries.some(
    (entry) => isImage(entry) || (entry.isDirectory() && splitNamed(entry.name) !== undefined),
  );
  if (hasImages) return undefined;
  for (const entry of entries) {
    const split = isTablePath(entry.name) ? splitNamed(basename(entry.name, extname(entry.name))) : undefined;
    if (split === undefined || entry.isDirectory()) continue;
    const other = found.get(split);
    if (other !== undefined) {
      throw new DataError(`${folder}: ${basename(other)} and ${entry.name} are both ${split}; remove one`);
    }
    found.set(split, join(folder, entry.name));
  }
  if (found.size === 0) return undefined;
  const fileOf = (split: SplitName): string => {
    const file = found.get(split);
    if (file !== undefined) return file;
    const held = [...found.values()].map((path) => basename(path)).join(", ");
    throw new DataError(
      `${folder}: holds ${held}, but no table ${split} (.csv, .tsv, .parquet or .json); add it, or give one table to be divided at random`,
    );
  };
  return {
    kind: "splits",
    folder,
    files: { train: fileOf("train"), validation: fileOf("validation"), test: fileOf("test") },
  };
}

/** The names of the columns that are looked at. @throws DataError where none is left, or one that is categorical is not among them */
function chosenNames(source: Table, { columns, categorical, label }: ResolvedDataOptions): readonly string[] {
  const names = columns ?? source.columns.map((column) => column.name);
  const chosen = names.filter((name) => name !== label);
  const stray = categorical.find((name) => !chosen.includes(name));
  if (stray !== undefined) {
    throw new DataError(
      `${source.label}: the categorical column "${stray}" is not among the columns read: ${chosen.join(", ")}`,
    );
  }
  if (chosen.length === 0) {
    throw new DataError(`${source.label}: no columns are left to learn from; choose some with columns`);
  }
  return chosen;
}

/** Several tables of the same columns as one. */
function together(tables: readonly Table[], first: Table): Table {
  if (tables.length === 1) return first;
  return {
    ...first,
    notes: [...new Set(tables.flatMap(({ notes }) => notes))],
    async *cells(wanted, share) {
      if (share !== undefined) throw new RangeError("shares are of one table");
      for (const table of tables) yield* table.cells(wanted);
    },
    async countRows() {
      const counts = await Promise.all(tables.map((table) => table.countRows()));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async countDistinct(names) {
      // Of columns with so many values that they are not counted one by one: at least those of the table that has the most.
      const counts = await Promise.all(tables.map((table) => table.countDistinct(names)));
      return names.map((name, i) => [name, Math.max(...counts.map((of) => of[i]?.[1] ?? 0))] as const);
    },
  };
}

/** Columns named in a line. */
const NAMED = 5;

/** Lines on the columns that are left out, one for each kind. */
function leftOutNotes(found: readonly FoundColumn[]): string[] {
  const left = found.flatMap(({ column }) => (isLearned(column) ? [] : [column]));
  if (left.length === 0) return [];
  const shown = left.slice(0, NAMED).map(({ name, kind, why }) => `"${name}" (${kind}: ${why})`);
  const more = left.length > NAMED ? `, and ${left.length - NAMED} more` : "";
  return [
    `left out: ${left.length} column${left.length === 1 ? "" : "s"}, ${shown.join(", ")}${more}; --columns or a schema takes them in`,
  ];
}

/** What is found of the columns of tables, for a person. */
export interface TableProfile {
  /** What messages call the table. */
  readonly label: string;
  readonly rows: number;
  readonly columns: readonly FoundColumn[];
  /** Lines on what was guessed, dropped or odd. */
  readonly notes: readonly string[];
}

/** Looks at all columns of a table, those that no model would learn among them. @throws as `openTable` */
export async function profileTable(data: TableData, options: ResolvedDataOptions): Promise<TableProfile> {
  return withTables(async (open) => {
    const tables: Table[] = [];
    for (const input of inputsOf(data, options)) tables.push(await open(input, { missing: options.missing }));
    const [first] = tables;
    if (first === undefined) throw new DataError("there are no tables");
    const table = together(tables, first);
    const names = options.columns ?? table.columns.map(({ name }) => name);
    checkNames(table, [...names, ...(options.label === undefined ? [] : [options.label])]);
    const { columns, rows, notes } = await findOf(table, options);
    const label = data.kind === "splits" ? data.folder : table.label;
    return { label, rows, columns, notes: [...table.notes, ...notes] };
  });
}

async function findOf(table: Table, options: ResolvedDataOptions) {
  const { columns, categorical, label, missing, poolRare, hashText, columnScale, schema } = options;
  return findColumns(table, {
    columns,
    categorical,
    missing,
    poolRare,
    hashText,
    columnScale,
    without: label === undefined ? [] : [label],
    declared: schema === undefined ? undefined : await readSchema(schema),
  });
}

const READ_AS = { real: "number", whole: "number", date: "text", boolean: "text", category: "text" } as const;

export function inputsOf(data: TableData, options: ResolvedDataOptions): readonly TableInput[] {
  const reading = readingOf(options);
  if (data.kind === "rows") return [data];
  if (data.kind !== "splits") return [{ ...data, reading }];
  return SPLITS.map((name) => ({ path: data.files[name], sql: data.sql, reads: data.reads, reading }));
}

/** @throws DataError where the tables of two splits do not have the same number of columns */
function checkWidth(source: Table, first: Table): void {
  const [own, expected] = [source.columns.length, first.columns.length];
  if (own === expected) return;
  throw new DataError(`${source.label}: ${counted(own, "column")}, where ${first.label} has ${expected}`);
}

/** Whether rows are those of files as they are, which have an order that another process finds, too. */
export function isOfFiles(data: TableData): boolean {
  if (data.kind === "rows" || data.sql !== undefined) return false;
  return data.kind === "splits" || data.path !== undefined;
}

/**
 * Reads the rows of a data set and divides them: by table, or at random by the split seed.
 * @param as what columns hold that are not declared as categorical
 * @param stored the columns of a run, which are read as they are
 * @throws as `openTable`; DataError also where the tables of splits have other columns than that for training
 */
export async function readParts(
  data: TableData,
  options: ResolvedDataOptions,
  as: "number" | "bit",
  stored?: readonly Column[],
): Promise<TableParts> {
  const rows: Rows[] = [];
  const ends: number[] = [];
  let count = 0;
  const { table, wanted, found, notes } = await withTables(async (open) => {
    const tables: Table[] = [];
    for (const input of inputsOf(data, options)) {
      const table = await open(input, { binary: as === "bit", missing: options.missing });
      if (tables[0] !== undefined) checkWidth(table, tables[0]);
      tables.push(table);
    }
    const [first] = tables;
    if (first === undefined) throw new DataError("there are no tables");
    const chosen = stored?.map(({ name }) => name) ?? chosenNames(first, options);
    checkNames(first, [...chosen, ...(options.label === undefined ? [] : [options.label])]);
    const all = together(tables, first);
    const profile = as === "bit" || stored !== undefined ? undefined : await findOf(all, options);
    const found = profile?.columns.flatMap(({ column }) => (isLearned(column) ? [column] : [])) ?? [];
    if (profile !== undefined && found.length === 0) {
      throw new DataError(
        `${first.label}: no columns are left to learn from; ${leftOutNotes(profile.columns).join("; ")}`,
      );
    }
    const gaps = options.rows === "all";
    const wanted =
      stored?.map(wantedOf) ??
      (profile === undefined
        ? chosen.map((name): Wanted => ({ name, as: "bit", gaps }))
        : found.map(
            (column): Wanted => ({
              name: column.name,
              as: READ_AS[column.kind],
              gaps: gaps && column.gaps > 0,
            }),
          ));
    if (options.label !== undefined) wanted.push({ name: options.label, as: "text" });
    for (const table of tables) {
      const begin = count;
      for await (const part of readRows(table, wanted, "table")) {
        rows.push({ ...part, firstRow: begin + part.firstRow });
        count += part.count;
      }
      if (count === begin) throw new DataError(`${table.label}: the table has no rows`);
      ends.push(count);
    }
    const notes = [
      ...all.notes,
      ...(profile === undefined ? [] : [...profile.notes, ...leftOutNotes(profile.columns)]),
    ];
    return { table: first, wanted, found, notes };
  });
  const { label, rowName } = table;
  if (data.kind === "splits") {
    const [train = 0, validation = 0] = ends;
    return {
      name: basename(data.folder),
      table: { label: data.folder, rowName },
      wanted,
      rows,
      count,
      parts: {
        train: range(0, train),
        validation: range(train, validation - train),
        test: range(validation, count - validation),
      },
      division: "split by tables",
      found,
      notes,
    };
  }
  if (count < 3) {
    throw new DataError(
      `${label}: ${counted(count, "row")} ${count === 1 ? "is" : "are"} too few to train, validate and test on`,
    );
  }
  return {
    name: nameOf(data),
    table: { label, rowName },
    wanted,
    rows,
    count,
    parts: randomSplit(count, options, new Random(options.splitSeed).split("table").split("split")),
    division: `split with seed ${options.splitSeed}`,
    found,
    notes,
  };
}

/** Words for splits in the benchmarks of density estimation: `X.train.data`; `ts` is training. */
const TRIPLE = /^(.+)[._-](train|training|ts|valid|validation|val|test)[.](data|csv|tsv|parquet)$/i;

/**
 * The three tables that lie beside each other as `X.train.data`, `X.valid.data` and `X.test.data`: by the path without the ending, `folder/X`, or
 * that of one of them. Undefined where there are none.
 */
export async function findTriple(path: string): Promise<SplitTables | undefined> {
  const folder = dirname(path);
  const own = basename(path);
  const stem = TRIPLE.exec(own)?.[1] ?? own;
  const found = new Map<SplitName, string>();
  const entries = await listFolder(folder).catch(() => []);
  for (const entry of entries) {
    const [, of, word = ""] = TRIPLE.exec(entry.name) ?? [];
    if (of !== stem || entry.isDirectory()) continue;
    const split = word.toLowerCase() === "ts" ? "train" : splitNamed(word);
    if (split !== undefined && !found.has(split)) found.set(split, join(folder, entry.name));
  }
  const [train, validation, test] = SPLITS.map((split) => found.get(split));
  if (train === undefined || validation === undefined || test === undefined) return undefined;
  return { kind: "splits", folder: join(folder, stem), files: { train, validation, test } };
}

function nameOf(input: TableInput): string {
  if (input.kind === "rows") return "rows";
  return input.path === undefined ? "query" : basename(input.path, extname(input.path));
}
