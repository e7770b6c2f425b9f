import { type DataSet, range } from "../data/sources/data-set.ts";
import { elementCount } from "../tensor/array.ts";

/** How often ones occur in the training split of zeros and ones. */
export interface BitSummary {
  /** Share of ones among all values. */
  readonly ones: number;
  /** Ones in a sample. */
  readonly perSample: { readonly minimum: number; readonly mean: number; readonly maximum: number };
  /** Share of rows with a one in each column, the largest first; of vectors only. */
  readonly columns: readonly { readonly name: string; readonly ones: number }[];
}

/** Rows taken from a split at once. */
const ROWS = 1024;

/** Counts the ones of a data set of kind `binary`. */
export function summarizeBits({ splits, sampleShape, columns = [] }: DataSet): BitSummary {
  const split = splits.train;
  const size = elementCount(sampleShape);
  const counts = new Float64Array(size);
  let [total, minimum, maximum] = [0, size, 0];
  for (let first = 0; first < split.count; first += ROWS) {
    const length = Math.min(ROWS, split.count - first);
    const { data } = split.batch(range(first, length)).x;
    for (let row = 0; row < length; row++) {
      let ones = 0;
      for (let i = 0; i < size; i++) {
        const value = data[row * size + i] ?? 0;
        counts[i] = (counts[i] ?? 0) + value;
        ones += value;
      }
      total += ones;
      minimum = Math.min(minimum, ones);
      maximum = Math.max(maximum, ones);
    }
  }
  const share = (ones: number, of: number): number => Number((ones / of).toPrecision(7));
  const shares = columns.map(({ name }, i) => ({ name, ones: share(counts[i] ?? 0, split.count) }));
  return {
    ones: share(total, split.count * size),
    perSample: { minimum, mean: share(total, split.count), maximum },
    columns: shares.sort((a, b) => b.ones - a.ones),
  };
}
