import { type Cell, type Column, columnsSchema, columnWidth, gapWidth } from "../../data/sources/columns.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { decodeRow, isMissing, logUnits, Unclipped } from "../../data/table/codec/index.ts";
import { DataError, EidosError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { readSource, type Source, type SourceOptions } from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { sampleRun } from "./sample.node.ts";
import { scoreSamples } from "./score.node.ts";

// Why rows of a table are unusual: which of their cells would make them usual if they were others.

/** What a cell adds to the oddity of its row. */
export interface CellReason {
  readonly column: string;
  /** The cell; null where it is missing. */
  readonly cell: Cell | null;
  /** How much likelier the row would be with another cell in its place, in nats. */
  readonly nats: number;
  /** The cell of those that were tried with which the row is likeliest. */
  readonly usual: Cell | null;
}

/** A row, and its cells in the order of what they add, the oddest first. */
export interface RowReasons {
  /** Cells by column, of the columns that the model knows. */
  readonly cells: Readonly<Record<string, Cell | null>>;
  readonly reasons: readonly CellReason[];
}

/**
 * How reasons were found.
 *
 * - `conditional`: −log p(cell | all other cells of the row), exact: of columns of zeros and ones all values are tried
 * - `replacement`: log of the mean density of the row with the cell replaced by those of training rows chosen at random, minus that of the row
 */
export type ReasonMethod = "conditional" | "replacement";

export interface Reasons {
  readonly method: ReasonMethod;
  /** Replacements of each cell, where there are some. */
  readonly draws?: number;
  /** Whose cells the replacements are: rows that the model drew stand in where the training data is no longer there. */
  readonly of?: "training rows" | "rows that the model drew";
  readonly rows: readonly RowReasons[];
}

/** Replacements of a cell: of models that score slowly fewer, and so many scores of all rows at most. */
const DRAWS = { quick: 64, slow: 4 } as const;
const MOST_SCORES = 100_000;

/** A column, and where its numbers begin. */
interface Placed {
  readonly column: Column;
  readonly start: number;
  readonly width: number;
}

/** Columns of a run's table that the model has a density of; undefined for other data. */
function modeledColumns({
  config,
}: LoadedRun): { readonly columns: readonly Column[]; readonly modeled: readonly Placed[] } | undefined {
  const { columns, kind, sampleShape } = config.dataInfo;
  if (columns === undefined || isPicture({ kind, sampleShape })) return undefined;
  const { given } = config.modelOptions;
  let start = 0;
  const all = columnsSchema.parse(columns);
  const modeled = all.flatMap((column): Placed[] => {
    const at = start;
    start += columnWidth(column);
    const isGiven = Array.isArray(given) && given.includes(column.name);
    return isGiven ? [] : [{ column, start: at, width: columnWidth(column) }];
  });
  return { columns: all, modeled };
}

/** True where rows of a run's data have cells that can be reasons. */
export function hasReasons(run: LoadedRun): boolean {
  return run.model.logProb !== undefined && modeledColumns(run) !== undefined;
}

/** All numbers of a sample that a column of zeros and ones may have. */
function statesOf(column: Column): readonly (readonly number[])[] {
  if (gapWidth(column) === 0) return [[0], [1]];
  return [
    [0, 0],
    [0, 1],
    [1, 0],
  ];
}

const logSum = (values: readonly number[]): number => {
  const top = Math.max(...values);
  return Number.isFinite(top)
    ? top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0))
    : top;
};

/**
 * Log-densities in the units in which the model sees numbers, so that a large number is not odd for being large on a scale; what stands in place of a
 * missing cell is taken out, as of every score.
 */
async function densities(
  run: LoadedRun,
  columns: readonly Column[],
  modeled: readonly Placed[],
  x: NdArray<"float32">,
  seed: number,
): Promise<Float64Array> {
  const width = x.shape[1] ?? 1;
  const scores = await scoreSamples(run, x, { seed });
  return scores.map((score, row) => {
    const there = modeled.filter(({ column, start }) => !isMissing(column, x.data, row * width + start));
    return score - logUnits(columns, x.data, row * width, new Set(there.map(({ column }) => column)));
  });
}

/** Each row with every alternative of every column in turn. */
interface Alternatives {
  readonly x: NdArray<"float32">;
  /** Where those of a row and a column begin, and how many they are. */
  at(row: number, column: number): { readonly first: number; readonly count: number };
}

function alternativesOf(
  x: NdArray<"float32">,
  modeled: readonly Placed[],
  of: (row: number, placed: Placed, column: number) => readonly ArrayLike<number>[],
): Alternatives {
  const [count = 0, width = 1] = x.shape;
  const rows: Float32Array[] = [];
  const places = new Map<number, { readonly first: number; readonly count: number }>();
  for (let row = 0; row < count; row++) {
    for (const [c, placed] of modeled.entries()) {
      const own = of(row, placed, c);
      places.set(row * modeled.length + c, { first: rows.length, count: own.length });
      for (const values of own) {
        const changed = x.data.slice(row * width, (row + 1) * width);
        changed.set(Array.from(values), placed.start);
        rows.push(changed);
      }
    }
  }
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(row, i * width);
  return {
    x: float32(data, [rows.length, width]),
    at: (row, column) => places.get(row * modeled.length + column) ?? { first: 0, count: 0 },
  };
}

/**
 * Why rows are unusual to a run's model, by cell. Of columns of zeros and ones all values are tried, so that what a cell adds is exact; other cells are
 * replaced by those of training rows, whose part of the density is averaged.
 * @param x rows [n, width] as the model sees them
 * @throws OptionError where the model has no likelihood; DataError where the data is no table
 */
export async function reasonsOf(
  run: LoadedRun,
  x: NdArray<"float32">,
  { seed = 0 }: { readonly seed?: number } = {},
): Promise<Reasons> {
  const known = modeledColumns(run);
  if (known === undefined) {
    throw new DataError(`${run.config.data} is no table; only rows of tables have reasons`);
  }
  const { columns, modeled } = known;
  const [count = 0, width = 1] = x.shape;
  const isBinary = modeled.every(({ column }) => column.kind === "binary");
  const random = new Random(seed).split("reasons");
  const affordable = Math.floor(MOST_SCORES / Math.max(1, count * modeled.length));
  const usual = run.model.scoresSlowly === true ? DRAWS.slow : DRAWS.quick;
  const draws = Math.max(1, Math.min(usual, affordable));
  // The same training rows for all cells of a column: one batch of them for each draw.
  const others = isBinary ? undefined : await replacements(run, draws * modeled.length, random);
  const { x: changed, at } = alternativesOf(x, modeled, (row, { column, start, width: own }, c) => {
    if (others === undefined) {
      const held = x.data.subarray(row * width + start, row * width + start + own);
      return statesOf(column).filter((state) => state.some((value, i) => value !== held[i]));
    }
    return Array.from({ length: draws }, (_, draw) => {
      const from = (c * draws + draw) * width + start;
      return others.x.data.subarray(from, from + own);
    });
  });
  const before = await densities(run, columns, modeled, x, seed);
  const after = await densities(run, columns, modeled, changed, seed);
  const rows = Array.from({ length: count }, (_, row): RowReasons => {
    const cells = decodeRow(columns, x.data, row * width, new Unclipped());
    const reasons = modeled.map(({ column }, c): CellReason => {
      const { first, count: tried } = at(row, c);
      const own = before[row] ?? 0;
      const position = columns.indexOf(column);
      const cell = cells[position] ?? null;
      const others = Array.from(
        { length: tried },
        (_, i) => decodeRow(columns, changed.data, (first + i) * width, new Unclipped())[position] ?? null,
      );
      const values = Array.from(after.subarray(first, first + tried), (value, i) => {
        // The same cell with other noise is no other cell.
        if (others[i] === cell) return own;
        return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
      });
      const nats = isBinary ? logSum([own, ...values]) - own : logSum(values) - Math.log(tried) - own;
      const likeliest = values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), 0);
      return {
        column: column.name,
        cell,
        nats: Number.isNaN(nats) ? 0 : nats,
        usual: others[likeliest] ?? null,
      };
    });
    return {
      cells: Object.fromEntries(columns.map(({ name }, i) => [name, cells[i] ?? null])),
      reasons: reasons.toSorted((a, b) => b.nats - a.nats),
    };
  });
  return isBinary
    ? { method: "conditional", rows }
    : { method: "replacement", draws, of: others?.of ?? "training rows", rows };
}

/** Rows whose cells replace others: of the training split, or drawn by the model where its data are no longer there. */
async function replacements(
  run: LoadedRun,
  count: number,
  random: Random,
): Promise<{ readonly x: NdArray<"float32">; readonly of: NonNullable<Reasons["of"]> }> {
  try {
    const { train } = (await run.data()).splits;
    const positions = Array.from({ length: count }, (_, i) => random.split(i).integer(train.count));
    return { x: train.batch(positions).x, of: "training rows" };
  } catch (error) {
    if (!(error instanceof EidosError) || run.model.sample === undefined) throw error;
    const seed = random.integer(2 ** 31);
    return { x: await sampleRun(run, { count, seed, gaps: true }), of: "rows that the model drew" };
  }
}

/** The rows of some data at positions, in this order, as they were read to be scored. */
export async function rowsAt(
  run: LoadedRun,
  source: Source | undefined,
  positions: ArrayLike<number>,
  options: SourceOptions,
): Promise<NdArray<"float32">> {
  const wanted = new Map(Array.from(positions, (position, i) => [position, i]));
  let width = 1;
  let data = new Float32Array(0);
  let left = wanted.size;
  for await (const { x, firstRow } of readSource(run, source, options)) {
    const [count = 0, size = 1] = x.shape;
    if (data.length === 0) {
      width = size;
      data = new Float32Array(positions.length * width);
    }
    for (let row = 0; row < count; row++) {
      const place = wanted.get(firstRow + row);
      if (place === undefined) continue;
      data.set(x.data.subarray(row * width, (row + 1) * width), place * width);
      left--;
    }
    if (left === 0) break;
  }
  return float32(data, [positions.length, width]);
}

/** Cells that are reasons: those that add at least a nat, the oddest first, at most so many. */
export function mainReasons({ reasons }: RowReasons, most = 3): readonly CellReason[] {
  return reasons.filter(({ nats }) => nats >= 1).slice(0, most);
}

const shownCell = (cell: Cell | null): string => (cell === null ? "missing" : String(cell));

/** Main reasons as a line: `alcohol 14.9 (+8.2 nats, 10.1 would be usual)`. */
export function reasonLine(row: RowReasons, most?: number): string {
  return mainReasons(row, most)
    .map(({ column, cell, nats, usual }) => {
      const added = Number.isFinite(nats) ? `+${nats.toFixed(1)} nats` : "impossible";
      return `${column} ${shownCell(cell)} (${added}; ${shownCell(usual)} would be usual)`;
    })
    .join(", ");
}

/** How reasons were found, for a person. */
export function reasonNote({ method, draws, of }: Pick<Reasons, "method" | "draws" | "of">): string {
  return method === "conditional"
    ? "why: −log p(cell | other cells), exact"
    : `why: how much likelier the row is with the cells of ${draws} ${of} in place of its own, in the mean`;
}
