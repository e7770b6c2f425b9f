import { OptionError } from "../../errors.ts";
import { columnPairs, rangeOf, type TableCells } from "./cells.ts";

// Whether synthetic rows are copies of rows that were learned from: distances to the closest record.

/** Numbers on the range of the reference, and levels as they are, column by column. */
function scaled(table: TableCells, reference: TableCells): readonly Float64Array[] {
  return columnPairs("closestDistances", reference, table).map(([known, own]) => {
    if (own.kind === "levels")
      return Float64Array.from(own.values, (value) => (value < 0 ? Number.NaN : value));
    const range = known.kind === "numbers" ? rangeOf(known) : undefined;
    const width = range === undefined ? 0 : range.high - range.low;
    return width === 0 ? own.values : own.values.map((value) => value / width);
  });
}

/**
 * The distance of each row of a table to the closest row of another: the mean over columns of |a − b| over the range of the reference's
 * numbers, 1 at most, and of 0 or 1 for equal and other levels; a gap is at 0 from a gap and at 1 from all else. As SDMetrics'
 * distances to the closest record (a Gower distance). Takes rows · reference rows · columns steps.
 * @param ranges the table whose numbers give the ranges; default: the reference. Distances to different references compare only on the same ranges
 * @throws OptionError where the tables have other columns, or no rows
 */
export function closestDistances(
  table: TableCells,
  reference: TableCells,
  ranges: TableCells = reference,
): Float64Array {
  const [rows, others] = [scaled(table, ranges), scaled(reference, ranges)];
  const isNumber = ranges.columns.map((column) => {
    const range = column.kind === "numbers" ? rangeOf(column) : undefined;
    return range !== undefined && range.high > range.low;
  });
  const width = rows.length;
  // Row by row, so that a distance that is too large already is left.
  const flat = (columns: readonly Float64Array[], count: number): Float64Array => {
    const data = new Float64Array(count * width);
    for (const [k, column] of columns.entries())
      for (let i = 0; i < count; i++) data[i * width + k] = column[i] ?? Number.NaN;
    return data;
  };
  const [a, b] = [flat(rows, table.count), flat(others, reference.count)];
  return Float64Array.from({ length: table.count }, (_, i) => {
    let best = Number.POSITIVE_INFINITY;
    for (let j = 0; j < reference.count && best > 0; j++) {
      let sum = 0;
      for (let k = 0; k < width && sum < best; k++) {
        const [x, y] = [a[i * width + k] ?? 0, b[j * width + k] ?? 0];
        if (x === y) continue;
        const gap = Number.isNaN(x) || Number.isNaN(y);
        if (gap) sum += Number.isNaN(x) && Number.isNaN(y) ? 0 : 1;
        else sum += isNumber[k] ? Math.min(1, Math.abs(x - y)) : 1;
      }
      if (sum < best) best = sum;
    }
    return best / width;
  });
}

/** How close synthetic rows are to rows that were learned from, beside held-out rows. */
export interface TablePrivacy {
  /** The median distance of a synthetic row to the closest training row, and that of a held-out row. */
  readonly median: number;
  readonly heldOutMedian: number;
  /** The fifth percentile of both: copies show there first. */
  readonly low: number;
  readonly heldOutLow: number;
  /** The share of rows that are training rows. */
  readonly copies: number;
  readonly heldOutCopies: number;
  /**
   * How often a synthetic row is nearer to a training row than to a held-out one, as if there were equally many of both; equally near ones count half.
   * About ½ where nothing is copied, 1 where all is.
   */
  readonly nearerToTraining: number;
  /** Rows of each table. */
  readonly rows: { readonly synthetic: number; readonly training: number; readonly heldOut: number };
}

/** A quantile of sorted values, between the two nearest. */
function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const [low = 0, high = low] = [sorted[below], sorted[Math.min(sorted.length - 1, below + 1)]];
  return low + (position - below) * (high - low);
}

const shareOf = (values: Float64Array, isCounted: (value: number, i: number) => boolean): number =>
  values.reduce((sum, value, i) => sum + (isCounted(value, i) ? 1 : 0), 0) / values.length;

/**
 * A share of rows nearest to one of two sets, as it would be of sets of equal size. Where rows are of the distribution of both, the nearest of m + n rows is
 * one of the m with probability m / (m + n): the odds are divided by m / n.
 */
function balanced(share: number, m: number, n: number): number {
  const [nearer, farther] = [share / m, (1 - share) / n];
  return nearer / (nearer + farther);
}

/**
 * Distances of synthetic rows to the closest training row, beside those of held-out rows, which are what a model that has copied nothing
 * comes to; and whether synthetic rows lie nearer to training rows than to held-out ones (as SDMetrics' `DCROverfittingProtection`,
 * which counts equally near rows as held-out, and scales each distance by the ranges of its own reference).
 * @throws OptionError where the tables have other columns, or no rows
 */
export function tablePrivacy(synthetic: TableCells, training: TableCells, heldOut: TableCells): TablePrivacy {
  if (heldOut.count === 0) throw new OptionError("tablePrivacy: there are no held-out rows");
  const toTraining = closestDistances(synthetic, training);
  const ofHeldOut = closestDistances(heldOut, training);
  // On the ranges of one table: one outlier more would bring all rows of its set nearer.
  const far = closestDistances(synthetic, heldOut, training);
  const nearer = toTraining.reduce((sum, distance, i) => {
    const other = far[i] ?? 0;
    return sum + (distance < other ? 1 : distance === other ? 0.5 : 0);
  }, 0);
  const [a, b] = [toTraining.toSorted(), ofHeldOut.toSorted()];
  return {
    median: quantile(a, 0.5),
    heldOutMedian: quantile(b, 0.5),
    low: quantile(a, 0.05),
    heldOutLow: quantile(b, 0.05),
    copies: shareOf(a, (distance) => distance === 0),
    heldOutCopies: shareOf(b, (distance) => distance === 0),
    nearerToTraining: balanced(nearer / synthetic.count, training.count, heldOut.count),
    rows: { synthetic: synthetic.count, training: training.count, heldOut: heldOut.count },
  };
}
