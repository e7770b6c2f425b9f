import { type Column, columnsSchema, columnWidth, gapWidth } from "../../../data/sources/columns.ts";
import type { DataSet, Split } from "../../../data/sources/data-set.ts";
import { encodeUnknown, isMissing, sampleValue } from "../../../data/table/codec/index.ts";
import { OptionError } from "../../../errors.ts";
import { checkNames, type NamesOf } from "../../../options.ts";
import { Random } from "../../../random.ts";
import { float32, type NdArray } from "../../../tensor/array.ts";
import type { TableResult } from "./synthetic.ts";

// Whether imputations are as sure as they should be: cells of held-out rows are hidden at random and drawn.

/** Central intervals of draws whose coverage is measured. */
export const INTERVALS = [0.5, 0.8, 0.9] as const;

/**
 * Draws of each cell: of 19, the truth has 20 equally likely ranks where draws are right, of which 10, 16 and 18 lie within the central intervals of
 * 50, 80 and 90 %. So coverage is exact, not that of estimated quantiles.
 */
export const DRAWS = 19;

/** How well cells of a column are filled in. */
export interface ColumnImputation {
  readonly name: string;
  /** Cells that were hidden. */
  readonly cells: number;
  /** Of numbers: the share of cells within the central interval of each of `INTERVALS`; equal ones are ranked at random. */
  readonly coverage?: readonly number[];
  /** Of numbers: mean |median of draws − truth| over that of the median of the training rows: 0 right, 1 no better than that. */
  readonly error?: number;
  /** Of levels: the share of draws that equal the truth, and the share of pairs of draws that are equal, which is the same where draws are right. */
  readonly agreement?: { readonly truth: number; readonly draws: number };
}

/** How well a model fills in cells that it is not shown. */
export interface ImputationQuality {
  readonly intervals: typeof INTERVALS;
  /** Over all cells of numbers; left out where none were hidden. */
  readonly coverage?: readonly number[];
  /** Mean over columns of numbers. */
  readonly error?: number;
  /** Over all cells of levels. */
  readonly agreement?: { readonly truth: number; readonly draws: number };
  readonly columns: readonly ColumnImputation[];
  readonly rows: number;
  readonly cells: number;
  /** The share of cells that were hidden. */
  readonly hidden: number;
}

/** Fills in unknown numbers: [rows, draws, width] of x and known, both [rows, width]. */
export type Impute = (
  x: NdArray<"float32">,
  known: NdArray<"float32">,
  draws: number,
) => Promise<NdArray<"float32">>;

export interface ImputationOptions {
  /** Rows of the split, chosen at random, at most. */
  readonly rows: number;
  readonly seed: number;
  /** Share of cells that are hidden, at least one of each row; default: 0.2. */
  readonly hidden?: number;
  /** Columns that the model is conditioned on, which stay. */
  readonly given?: readonly string[];
}

const NAMES: NamesOf<ImputationOptions> = { rows: true, seed: true, hidden: true, given: true };

/** A hidden cell and its draws. */
interface DrawnCell {
  readonly truth: number;
  readonly drawn: readonly number[];
}

/** What became of the hidden cells of a column: ranks of numbers, draws of levels. */
interface Found {
  readonly name: string;
  readonly cells: number;
  readonly ranks?: readonly number[];
  readonly error?: number;
  readonly values?: readonly DrawnCell[];
}

interface Hidden {
  readonly row: number;
  readonly column: number;
  readonly truth: number;
}

/** Where the numbers of each column begin. */
function startsOf(columns: readonly Column[]): readonly number[] {
  let start = 0;
  return columns.map((column) => {
    const own = start;
    start += columnWidth(column);
    return own;
  });
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
};

/** The share of ranks within the central interval of a level, of 0 … draws. */
function within(ranks: readonly number[], level: number, draws: number): number {
  const outside = Math.round(((1 - level) / 2) * (draws + 1));
  return ranks.filter((rank) => rank >= outside && rank <= draws - outside).length / ranks.length;
}

/** The share of draws that are the truth, and of pairs of draws that are equal. */
function agreementOf(cells: readonly DrawnCell[]): NonNullable<ColumnImputation["agreement"]> {
  let [truth, draws] = [0, 0];
  for (const cell of cells) {
    const count = cell.drawn.length;
    const counts = new Map<number, number>();
    for (const value of cell.drawn) counts.set(value, (counts.get(value) ?? 0) + 1);
    truth += (counts.get(cell.truth) ?? 0) / count;
    for (const times of counts.values()) draws += (times * (times - 1)) / (count * (count - 1));
  }
  return { truth: truth / cells.length, draws: draws / cells.length };
}

/**
 * Hides cells of rows of a split at random, draws them given the others, and compares the draws with what was there.
 * @throws OptionError where no cell can be hidden
 */
export async function imputationQuality(
  { columns: stored, splits }: Pick<DataSet, "columns" | "splits">,
  split: Split,
  impute: Impute,
  options: ImputationOptions,
): Promise<ImputationQuality> {
  checkNames("imputationQuality", options, NAMES);
  const { rows: most, seed, hidden: share = 0.2, given = [] } = options;
  const columns: readonly Column[] = columnsSchema.parse(stored);
  const starts = startsOf(columns);
  const random = new Random(seed).split("hidden cells");
  const count = Math.min(most, split.count);
  const { x } = split.batch(random.split("rows").permutation(split.count).subarray(0, count));
  const width = x.shape[1] ?? 1;
  const shown = Float32Array.from(x.data);
  const known = new Float32Array(shown.length).fill(1);
  const cells: Hidden[] = [];
  for (let row = 0; row < count; row++) {
    const own = random.split("row").split(row);
    const there = columns.flatMap((column, i) =>
      given.includes(column.name) || isMissing(column, x.data, row * width + (starts[i] ?? 0)) ? [] : [i],
    );
    const first = there[own.integer(Math.max(1, there.length))];
    for (const i of there) {
      const column = columns[i];
      if (column === undefined || (i !== first && own.uniform() >= share)) continue;
      const at = row * width + (starts[i] ?? 0);
      const truth = sampleValue(column, x.data, at);
      if (truth === undefined) continue;
      cells.push({ row, column: i, truth });
      encodeUnknown(column, own.split(i), shown, at);
      known.fill(0, at + gapWidth(column), at + columnWidth(column));
      shown.fill(0, at + gapWidth(column), at + columnWidth(column));
    }
  }
  if (cells.length === 0) {
    throw new OptionError("imputations: no cell can be hidden; the model is given all that are there");
  }
  const drawn = await impute(float32(shown, x.shape), float32(known, x.shape), DRAWS);
  const ties = random.split("ties");
  const train = splits.train.batch(
    new Random(seed).permutation(splits.train.count).subarray(0, Math.min(2000, splits.train.count)),
  ).x;
  const found = columns.flatMap((column, i): readonly Found[] => {
    const own = cells.filter((cell) => cell.column === i);
    if (own.length === 0) return [];
    const values = own.map(({ row, truth }) => ({
      truth,
      drawn: Array.from({ length: DRAWS }, (_, draw) => {
        const at = (row * DRAWS + draw) * width + (starts[i] ?? 0);
        return sampleValue(column, drawn.data, at) ?? Number.NaN;
      }),
    }));
    if (column.kind !== "numeric") return [{ name: column.name, cells: own.length, values }];
    const ranks = values.map(({ truth, drawn: draws }) => {
      const below = draws.filter((value) => value < truth).length;
      const equal = draws.filter((value) => value === truth).length;
      return below + ties.integer(equal + 1);
    });
    const usual = median(
      Array.from({ length: train.shape[0] ?? 0 }, (_, row) =>
        sampleValue(column, train.data, row * width + (starts[i] ?? 0)),
      ).filter((value) => value !== undefined),
    );
    const [error, plain] = values.reduce(
      ([a, b], { truth, drawn: draws }) => [a + Math.abs(median(draws) - truth), b + Math.abs(usual - truth)],
      [0, 0] as readonly [number, number],
    );
    return [{ name: column.name, cells: own.length, ranks, ...(plain > 0 && { error: error / plain }) }];
  });
  const allRanks = found.flatMap(({ ranks = [] }) => ranks);
  const allLevels = found.flatMap(({ values = [] }) => values);
  const errors = found.flatMap(({ error }) => (error === undefined ? [] : [error]));
  const coverageOf = (ranks: readonly number[]) => INTERVALS.map((level) => within(ranks, level, DRAWS));
  return {
    intervals: INTERVALS,
    ...(allRanks.length > 0 && { coverage: coverageOf(allRanks) }),
    ...(errors.length > 0 && { error: errors.reduce((sum, error) => sum + error, 0) / errors.length }),
    ...(allLevels.length > 0 && { agreement: agreementOf(allLevels) }),
    columns: found.map(({ name, cells: hidden, ranks, values, error }) => ({
      name,
      cells: hidden,
      ...(ranks !== undefined && { coverage: coverageOf(ranks) }),
      ...(error !== undefined && { error }),
      ...(values !== undefined && { agreement: agreementOf(values) }),
    })),
    rows: count,
    cells: cells.length,
    hidden: cells.length / (count * columns.length),
  };
}

/** How imputations are, as lines, with what each is of. */
export function imputationResults({
  coverage,
  error,
  agreement,
  rows,
  cells,
  columns,
}: ImputationQuality): readonly TableResult[] {
  const of = `${cells} cells of ${rows} rows hidden at random, ${DRAWS} draws of each`;
  const worst = columns
    .flatMap(({ name, error: own }) => (own === undefined ? [] : [{ name, own }]))
    .toSorted((a, b) => b.own - a.own)[0];
  return [
    ...INTERVALS.flatMap((level, i) => {
      const value = coverage?.[i];
      if (value === undefined) return [];
      const name = `imputed within ${100 * level} %`;
      const meaning = `${level} is right, less is too sure; truth within the central interval of draws; ${of}`;
      return [{ name, value, samples: rows, note: meaning }];
    }),
    ...(error === undefined
      ? []
      : [
          {
            name: "error of imputed numbers",
            value: error,
            samples: rows,
            note: `0 is best, 1 no better than the median of the column; of the median of draws${worst === undefined ? "" : `; largest: ${worst.name} ${worst.own.toFixed(2)}`}`,
          },
        ]),
    ...(agreement === undefined
      ? []
      : [
          {
            name: "imputed levels right",
            value: agreement.truth,
            samples: rows,
            note: `share of draws; two draws are equal in ${agreement.draws.toFixed(3)}, which is the same where draws are right; ${of}`,
          },
        ]),
  ];
}
