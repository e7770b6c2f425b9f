import { OptionError } from "../../errors.ts";
import type { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";

/** Pairs of a first and a second variable, row by row. */
export interface PairedRows {
  readonly count: number;
  /** [count, size of a first variable]. */
  readonly x: Float64Array;
  /** [count, size of a second variable]. */
  readonly y: Float64Array;
}

/** A side of the pairs, for errors. */
type SideName = "x" | "y";

/**
 * The rows of two arrays [n, …], in which every coordinate has mean 0 and deviation 1. Mutual information does not change by that.
 * @throws OptionError where the arrays have different numbers of rows or too few, a value is not finite, or a column is constant: it says nothing
 */
export function pairedRows(x: NdArray<"float32">, y: NdArray<"float32">, least: number): PairedRows {
  const [count = 0] = x.shape;
  if (count !== y.shape[0]) {
    throw new OptionError(
      `mutual information: x has ${count} rows and y ${y.shape[0] ?? 0}; each row is a pair, so both have as many`,
    );
  }
  if (count < least) {
    throw new OptionError(`mutual information: ${count} rows are too few; at least ${least} are needed`);
  }
  return { count, x: standardized(x, count, "x"), y: standardized(y, count, "y") };
}

function standardized({ data, shape }: NdArray<"float32">, count: number, side: SideName): Float64Array {
  const size = elementCount(shape.slice(1));
  if (size === 0) throw new OptionError(`mutual information: ${side} has no columns`);
  const result = new Float64Array(count * size);
  for (let k = 0; k < size; k++) {
    let [mean, squares] = [0, 0];
    for (let row = 0; row < count; row++) {
      const value = data[row * size + k] ?? Number.NaN;
      if (!Number.isFinite(value)) {
        throw new OptionError(
          `mutual information: row ${row}, column ${k} of ${side} holds ${value}; leave such rows out`,
        );
      }
      // Welford's way, which no large offset spoils.
      const step = value - mean;
      mean += step / (row + 1);
      squares += step * (value - mean);
    }
    const deviation = Math.sqrt(squares / count);
    if (!(deviation > 0)) {
      throw new OptionError(
        `mutual information: column ${k} of ${side} is constant, so it says nothing of anything; leave it out`,
      );
    }
    for (let row = 0; row < count; row++) {
      result[row * size + k] = ((data[row * size + k] ?? 0) - mean) / deviation;
    }
  }
  return result;
}

/** Some of the rows, in that order. */
export function pickPairs({ count, x, y }: PairedRows, rows: ArrayLike<number>): PairedRows {
  const pick = (values: Float64Array): Float64Array => {
    const size = values.length / count;
    const picked = new Float64Array(rows.length * size);
    for (let i = 0; i < rows.length; i++) {
      const from = (rows[i] ?? 0) * size;
      picked.set(values.subarray(from, from + size), i * size);
    }
    return picked;
  };
  return { count: rows.length, x: pick(x), y: pick(y) };
}

/** Rows to learn from, rows that choose the best critic, and rows that the estimate is made on. */
export interface DividedPairs {
  readonly training: PairedRows;
  readonly validation: PairedRows;
  readonly test: PairedRows;
}

/** How many rows each part has. */
export type PartCounts = { readonly [Part in keyof DividedPairs]: number };

/** Parts of that many rows, drawn at random. */
export function dividedPairs(pairs: PairedRows, counts: PartCounts, random: Random): DividedPairs {
  const order = random.permutation(pairs.count);
  const part = (from: number, count: number): PairedRows =>
    pickPairs(pairs, order.subarray(from, from + count));
  const { training, validation, test } = counts;
  return {
    test: part(0, test),
    validation: part(test, validation),
    training: part(test + validation, training),
  };
}

/** Rows from … to as arrays for a program. */
export function pairFeeds({ count, x, y }: PairedRows, from: number, to: number) {
  const [first, second] = [x.length / count, y.length / count];
  return {
    x: float32(x.subarray(from * first, to * first), [to - from, first]),
    y: float32(y.subarray(from * second, to * second), [to - from, second]),
  };
}
