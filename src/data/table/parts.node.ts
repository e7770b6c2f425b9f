import { basename, extname, join } from "node:path";
import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { listFolder } from "../files/files.node.ts";
import { isImage } from "../image/folder.node.ts";
import { randomSplit, range, type SplitName, splitNamed } from "../sources/data-set.ts";
import type { ResolvedDataOptions } from "../sources/options.ts";
import { isTablePath, type TablePlace } from "./duckdb.node.ts";
import { type TableInput, withTables } from "./input.node.ts";
import { type Rows, readRows, type Table, type Wanted } from "./rows.node.ts";

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

function chooseColumns(
  source: Table,
  { columns, categorical, label }: ResolvedDataOptions,
  as: "number" | "bit",
): Wanted[] {
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
  const wanted = chosen.map((name): Wanted => ({ name, as: categorical.includes(name) ? "text" : as }));
  if (label !== undefined) wanted.push({ name: label, as: "text" });
  return wanted;
}

/** @throws DataError where the tables of two splits do not have the same number of columns */
function checkWidth(source: Table, first: Table): void {
  const [own, expected] = [source.columns.length, first.columns.length];
  if (own === expected) return;
  throw new DataError(`${source.label}: ${counted(own, "column")}, where ${first.label} has ${expected}`);
}

/**
 * Reads the rows of a data set and divides them: by table, or at random by the split seed.
 * @param as what columns hold that are not declared as categorical
 * @throws as `openTable`; DataError also where the tables of splits have other columns than that for training
 */
export async function readParts(
  data: TableData,
  options: ResolvedDataOptions,
  as: "number" | "bit",
): Promise<TableParts> {
  const inputs: readonly TableInput[] =
    data.kind === "splits"
      ? SPLITS.map((name) => ({ path: data.files[name], sql: data.sql, reads: data.reads }))
      : [data];
  const rows: Rows[] = [];
  const ends: number[] = [];
  let count = 0;
  const { table, wanted } = await withTables(async (open) => {
    let first: { readonly table: Table; readonly wanted: readonly Wanted[] } | undefined;
    for (const input of inputs) {
      const table = await open(input, { binary: as === "bit" });
      if (first === undefined) first = { table, wanted: chooseColumns(table, options, as) };
      else checkWidth(table, first.table);
      const begin = count;
      for await (const part of readRows(table, first.wanted, "table")) {
        rows.push({ ...part, firstRow: begin + part.firstRow });
        count += part.count;
      }
      if (count === begin) throw new DataError(`${table.label}: the table has no rows`);
      ends.push(count);
    }
    if (first === undefined) throw new DataError("there are no tables");
    return first;
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
  };
}

function nameOf(input: TableInput): string {
  if (input.kind === "rows") return "rows";
  return input.path === undefined ? "query" : basename(input.path, extname(input.path));
}
