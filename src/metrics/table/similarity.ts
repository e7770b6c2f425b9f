import { Random } from "../../random.ts";
import { columnPairs, missingCount, type TableCells } from "./cells.ts";
import { boundaryAdherence, columnCoverage, columnShape, missingSimilarity } from "./columns.ts";
import { pairTrend } from "./pairs.ts";

/** What is measured of one column; a part is left out where it has no value. */
export interface ColumnSimilarity {
  readonly name: string;
  readonly shape?: number;
  readonly coverage?: number;
  /** Of numbers. */
  readonly adherence?: number;
  /** Where a cell of either table is missing. */
  readonly missing?: number;
}

export interface PairSimilarity {
  readonly names: readonly [string, string];
  readonly trend: number;
}

/** How like a synthetic table is to a real one, column by column and pair by pair; all from 0 to 1, 1 best. */
export interface TableSimilarity {
  /** Means over the columns or pairs that have the measure; left out where none has. */
  readonly shapes?: number;
  readonly trends?: number;
  readonly coverage?: number;
  readonly adherence?: number;
  readonly missing?: number;
  readonly columns: readonly ColumnSimilarity[];
  /** From the least alike on. */
  readonly pairs: readonly PairSimilarity[];
  /** Pairs of columns that there are; fewer are measured of wide tables. */
  readonly allPairs: number;
}

export interface TableSimilarityOptions {
  /** Real numbers whose bounds synthetic ones should keep; default: those of `real`. */
  readonly bounds?: TableCells;
  /** Pairs of columns that are measured at most, chosen at random; default: 2,000. */
  readonly mostPairs?: number;
  /** Of that choice. */
  readonly seed?: number;
}

function meanOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** All pairs of columns, or some of them chosen at random. */
function chosenPairs(columns: number, most: number, seed: number): readonly (readonly [number, number])[] {
  const all = (columns * (columns - 1)) / 2;
  const pairs: (readonly [number, number])[] = [];
  if (all <= most) {
    for (let i = 0; i < columns; i++) for (let j = i + 1; j < columns; j++) pairs.push([i, j]);
    return pairs;
  }
  const random = new Random(seed).split("pairs of columns");
  const taken = new Set<number>();
  while (pairs.length < most) {
    const [i, j] = [random.integer(columns), random.integer(columns)];
    const key = i * columns + j;
    if (i >= j || taken.has(key)) continue;
    taken.add(key);
    pairs.push([i, j]);
  }
  return pairs;
}

/**
 * Column shapes, pair trends, coverage, adherence to bounds and shares of gaps of a synthetic table, as SDMetrics' quality and diagnostic
 * reports have them. What people take for a good table is not one number: the columns and pairs with the least values say where to look.
 * @param real held-out rows, or those that were learned from
 * @throws OptionError where the tables have other columns, or no rows
 */
export function tableSimilarity(
  real: TableCells,
  synthetic: TableCells,
  { bounds = real, mostPairs = 2000, seed = 0 }: TableSimilarityOptions = {},
): TableSimilarity {
  const paired = columnPairs("tableSimilarity", real, synthetic);
  const within = columnPairs("tableSimilarity", bounds, synthetic);
  const columns = paired.map(([a, b], i): ColumnSimilarity => {
    const [shape, coverage] = [columnShape(a, b), columnCoverage(a, b)];
    const bound = within[i]?.[0];
    const adherence =
      bound?.kind === "numbers" && b.kind === "numbers" ? boundaryAdherence(bound, b) : undefined;
    return {
      name: a.name,
      ...(shape !== undefined && { shape }),
      ...(coverage !== undefined && { coverage }),
      ...(adherence !== undefined && { adherence }),
      ...(missingCount(a) + missingCount(b) > 0 && { missing: missingSimilarity(a, b) }),
    };
  });
  const pairs = chosenPairs(paired.length, mostPairs, seed).flatMap(([i, j]): PairSimilarity[] => {
    const [x, y] = [paired[i], paired[j]];
    if (x === undefined || y === undefined) return [];
    const trend = pairTrend([x[0], y[0]], [x[1], y[1]]);
    return trend === undefined ? [] : [{ names: [x[0].name, y[0].name], trend }];
  });
  const means = {
    shapes: meanOf(columns.map(({ shape }) => shape)),
    trends: meanOf(pairs.map(({ trend }) => trend)),
    coverage: meanOf(columns.map(({ coverage }) => coverage)),
    adherence: meanOf(columns.map(({ adherence }) => adherence)),
    missing: meanOf(columns.map(({ missing }) => missing)),
  };
  return {
    ...(Object.fromEntries(Object.entries(means).filter(([, value]) => value !== undefined)) as {
      readonly [K in keyof typeof means]?: number;
    }),
    columns,
    pairs: pairs.toSorted((a, b) => a.trend - b.trend),
    allPairs: (paired.length * (paired.length - 1)) / 2,
  };
}
