import { type Cell, type Column, columnWidth, gapWidth } from "../../data/sources/columns.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import type { Shard } from "../../data/sources/shard.ts";
import { type Clipped, Clippings, decodeRow } from "../../data/table/codec/index.ts";
import { areBinary } from "../../data/table/rows.node.ts";
import { type GappedBatch, streamGappedTable, tableColumns } from "../../data/table/stream.node.ts";
import { DataError, OptionError, RuntimeError } from "../../errors.ts";
import type { InpaintOptions } from "../../model/capabilities.ts";
import { Interrupted } from "../../program/deadline.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import {
  checkOrdered,
  gathered,
  type Source,
  sampleColumns,
  sourceName,
  tableInput,
} from "../run/inputs.node.ts";
import { type LoadedRun, refuse } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";

/** The method by which a model completes. */
type Method = Pick<InpaintOptions, "steps" | "exact" | "method" | "resamplings">;

/** How missing cells are filled in. */
export interface ImputeOptions extends Partial<Pick<InpaintOptions, "draws" | "seed">>, Method {
  /** Class of all rows, for models that are conditional on it; default: that in the table's class column. */
  readonly label?: number | undefined;
  /** Fills in the rows of a shard alone, with the draws that they have without it. Stopped, it gives no part of them. */
  readonly shard?: Shard | undefined;
  /** Called after each part of the table. */
  readonly onProgress?: (counts: ImputeCounts) => void;
  /** Called at the end where drawn cells lay beyond the bounds of their columns, of so many rows, and were set to them. */
  readonly onClipped?: (clipped: readonly Clipped[], rows: number) => void;
}

/** How much of a table was filled in so far. */
export interface ImputeCounts {
  readonly rows: number;
  /** Rows with missing cells, and how many cells these are. */
  readonly incomplete: number;
  readonly cells: number;
}

/** A table filled in: what `writeTable` takes. */
export interface Imputation {
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly rows: AsyncGenerator<readonly (Cell | null)[]>;
}

/** Name of the column that counts the completions of each row. */
const DRAW = "draw";

/** Types that Parquet files can keep; columns of others become text. */
const KEPT_TYPE =
  /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN|VARCHAR|DATE|TIME|TIMESTAMP.*)$/;

/**
 * Fills in the missing cells of a table (empty, NULL or NaN) with draws from a run's conditional density given the other
 * cells of their row, several draws for each row, in constant memory. Every row appears once for each draw, complete
 * ones too, so that the rows of one draw are a complete table. Cells that are there stay as they are, as do columns that
 * the model does not know; zeros and ones are written as 0 and 1, however the table spells them; a column `draw` counts
 * from 0.
 * @throws OptionError where the model cannot do this or the data is no table; DataError while reading, also where a
 * column that the model is conditioned on has a missing cell
 */
export async function imputeTable(
  run: LoadedRun,
  table: Source,
  options: ImputeOptions = {},
): Promise<Imputation> {
  const { config, model } = run;
  if (model.inpaint === undefined) return refuse(run, "fill in missing cells");
  const given = await gathered(table);
  if (given === undefined) throw new OptionError("impute: give a table");
  const source = sourceName(given);
  const input = await tableInput(given, run);
  if (input === undefined) {
    throw new OptionError(
      `${source} is no table; missing cells are filled in in .csv, .tsv, .parquet and .json`,
    );
  }
  if (isPicture(config.dataInfo)) {
    throw new OptionError(
      `${source} is a table, the run was fitted on images; eidos inpaint fills in images`,
    );
  }
  const { seed = 0, shard } = options;
  if (shard !== undefined) await checkOrdered(input);
  const columns = sampleColumns(config.dataInfo);
  const inTable = await tableColumns(input, { binary: areBinary(columns) });
  if (inTable.some(({ name }) => name.toLowerCase() === DRAW)) {
    throw new OptionError(
      `${source} has a column "${DRAW}", which counts the draws of the result; rename it`,
    );
  }
  const known = new Map(columns.map((column) => [column.name, column]));
  return {
    names: [...inTable.map(({ name }) => name), DRAW],
    types: [
      ...inTable.map(({ name, type }) => {
        const column = known.get(name);
        if (column?.kind === "numeric" && column.cells?.of.kind === "whole") return "BIGINT";
        if (column?.kind === "numeric" && column.cells?.of.kind !== "date") return "DOUBLE";
        if (column?.kind === "binary") return "UTINYINT";
        return KEPT_TYPE.test(type) ? type : "VARCHAR";
      }),
      "INTEGER",
    ],
    rows: filledRows(
      run,
      streamGappedTable(input, columns, { seed, shard, changes: run.tableChanges }),
      { source, columns, inTable: inTable.map(({ name }) => name) },
      options,
    ),
  };
}

interface TableLayout {
  readonly source: string;
  /** Of the model. */
  readonly columns: readonly Column[];
  readonly inTable: readonly string[];
}

async function* filledRows(
  run: LoadedRun,
  batches: AsyncIterable<GappedBatch>,
  layout: TableLayout,
  options: ImputeOptions,
): AsyncGenerator<readonly (Cell | null)[]> {
  const { columns, inTable } = layout;
  const { draws = 5, seed = 0 } = options;
  const random = new Random(seed).split("impute");
  const positions = new Map(columns.map(({ name }, i) => [name, i]));
  const starts = valueStarts(columns);
  let [total, incomplete, missing] = [0, 0, 0];
  const clippings = new Clippings();
  for await (const batch of batches) {
    const gaps = gapsOf(batch, columns);
    checkGiven(run, layout, batch, gaps);
    const rows = Array.from({ length: batch.count }, (_, row) => row).filter((row) => gaps[row]?.length);
    let filled: NdArray<"float32">;
    try {
      filled = await fill(run, batch, rows, labelsOf(run, layout, batch, rows, options), {
        ...options,
        draws,
        seed: random.split(batch.firstRow).integer(2 ** 31),
      });
    } catch (error) {
      // What is stopped ends with the rows that are filled in; of none there is no table. A shard is whole, or done again.
      if (error instanceof Interrupted && total > 0 && options.shard === undefined) return;
      throw error;
    }
    total += batch.count;
    incomplete += rows.length;
    missing += rows.reduce((sum, row) => sum + (gaps[row]?.length ?? 0), 0);
    options.onProgress?.({ rows: total, incomplete, cells: missing });
    const width = batch.x.shape[1] ?? 1;
    const order = new Map(rows.map((row, i) => [row, i]));
    for (let row = 0; row < batch.count; row++) {
      const at = order.get(row);
      for (let draw = 0; draw < draws; draw++) {
        const missed = gaps[row] ?? [];
        const cells =
          at === undefined
            ? []
            : decodeMissing(columns, filled.data, (at * draws + draw) * width, missed, clippings);
        yield [
          ...inTable.map((name, i) => {
            const position = positions.get(name);
            if (position === undefined) return batch.cells[i]?.[row] ?? null;
            if (missed.includes(position)) return cells[position] ?? null;
            // However the table spells it.
            return columns[position]?.kind === "binary"
              ? (batch.x.data[row * width + (starts[position] ?? 0)] ?? null)
              : (batch.cells[i]?.[row] ?? null);
          }),
          draw,
        ];
      }
    }
  }
  if (clippings.columns.length > 0) options.onClipped?.(clippings.columns, incomplete * draws);
}

/** Cells of a drawn row. What lies beyond bounds is counted of those that were missing alone: the others stay as the table has them. */
function decodeMissing(
  columns: readonly Column[],
  data: Float32Array,
  at: number,
  missing: readonly number[],
  clippings: Clippings,
): readonly (Cell | null)[] {
  const cells: (Cell | null)[] = columns.map(() => null);
  let start = at;
  for (const [position, column] of columns.entries()) {
    if (missing.includes(position)) cells[position] = decodeRow([column], data, start, clippings)[0] ?? null;
    start += columnWidth(column);
  }
  return cells;
}

/** Where in a sample the values of columns begin. */
function valueStarts(columns: readonly Column[]): readonly number[] {
  let start = 0;
  return columns.map((column) => {
    const own = start + gapWidth(column);
    start += columnWidth(column);
    return own;
  });
}

/** Positions of the model's columns that are missing, for each row. */
function gapsOf({ known, count }: GappedBatch, columns: readonly Column[]): readonly (readonly number[])[] {
  const width = known.shape[1] ?? 1;
  const starts = valueStarts(columns);
  return Array.from({ length: count }, (_, row) =>
    starts.flatMap((offset, i) => (known.data[row * width + offset] === 1 ? [] : [i])),
  );
}

/** @throws DataError where a column that the model is conditioned on is missing */
function checkGiven(
  { config }: LoadedRun,
  { source, columns }: TableLayout,
  { firstRow }: GappedBatch,
  gaps: readonly (readonly number[])[],
): void {
  const { given } = config.modelOptions;
  if (!Array.isArray(given)) return;
  for (const [row, positions] of gaps.entries()) {
    const name = positions
      .map((position) => columns[position]?.name ?? "")
      .find((gap) => given.includes(gap));
    if (name === undefined) continue;
    throw new DataError(
      `${source}: column "${name}", row ${firstRow + row + 1}: the cell is missing, but the model is conditioned on this column; fill it in, or fit a model without --given ${name}`,
    );
  }
}

/** Classes of the rows that are filled in; undefined where the model is not conditional, or weighs its classes. */
function labelsOf(
  { config }: LoadedRun,
  { source, inTable }: TableLayout,
  { cells, firstRow }: GappedBatch,
  rows: readonly number[],
  { label }: ImputeOptions,
): number | readonly number[] | undefined {
  const column = config.dataOptions.label;
  if (label !== undefined || config.modelOptions.conditional !== true || typeof column !== "string")
    return label;
  const position = inTable.indexOf(column);
  if (position < 0) return undefined;
  const names = config.dataInfo.classNames ?? [];
  return rows.map((row) => {
    const cell = cells[position]?.[row] ?? null;
    const index = cell === null ? -1 : names.indexOf(cell);
    if (index >= 0) return index;
    const what =
      cell === null ? "the class is missing" : `the class ${JSON.stringify(cell)} was not there in training`;
    throw new DataError(
      `${source}: column "${column}", row ${firstRow + row + 1}: ${what}, and the model is conditioned on it; correct it, or leave the column out to weigh classes by their shares`,
    );
  });
}

/** Completions of some rows of a batch, [rows, draws, width]. */
async function fill(
  run: LoadedRun,
  { x, known }: GappedBatch,
  rows: readonly number[],
  label: number | readonly number[] | undefined,
  { draws, seed, steps, exact, method, resamplings }: Pick<InpaintOptions, "draws" | "seed"> & Method,
): Promise<NdArray<"float32">> {
  const width = x.shape[1] ?? 1;
  const { model, session } = run;
  if (rows.length === 0 || model.inpaint === undefined) return float32([], [0, draws, width]);
  checkResult(run, "impute", { rows: rows.length, draws });
  const pick = ({ data }: NdArray<"float32">): NdArray<"float32"> => {
    const picked = new Float32Array(rows.length * width);
    for (const [i, row] of rows.entries())
      picked.set(data.subarray(row * width, (row + 1) * width), i * width);
    return float32(picked, [rows.length, width]);
  };
  const filled = await model.inpaint(session, {
    x: pick(x),
    known: pick(known),
    draws,
    seed,
    ...(label !== undefined && { label }),
    ...(steps !== undefined && { steps }),
    ...(exact !== undefined && { exact }),
    ...(method !== undefined && { method }),
    ...(resamplings !== undefined && { resamplings }),
  });
  if (filled.data.some((value) => !Number.isFinite(value))) {
    throw new RuntimeError("a draw is not finite; the model has diverged, fit it with a lower learningRate");
  }
  return filled;
}
