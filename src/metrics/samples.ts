import { OptionError } from "../errors.ts";
import { elementCount, type NdArray } from "../tensor/array.ts";

/** A set of samples as rows of numbers, one after another. */
export interface Rows {
  readonly count: number;
  readonly size: number;
  readonly data: Float32Array | Float64Array;
}

/** Rows of a sample set, with all axes but the first counted as one. @throws OptionError for an empty set */
export function rowsOf(samples: NdArray<"float32">): Rows {
  const [count = 0, ...rest] = samples.shape;
  if (count === 0) throw new OptionError("a distance between sample sets needs at least one sample in each");
  return { count, size: elementCount(rest), data: samples.data };
}

/**
 * Rows of two sets that are to be compared.
 * @param metric named in errors
 * @throws OptionError where a set has fewer than `least` samples, the samples differ in size or a number is not finite
 */
export function comparableRows(
  metric: string,
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  least = 1,
): readonly [Rows, Rows] {
  const pair = [rowsOf(x), rowsOf(y)] as const;
  const [left, right] = pair;
  if (left.size !== right.size) {
    throw new OptionError(
      `${metric}: samples of ${left.size} and of ${right.size} numbers do not compare; shapes are [${x.shape}] and [${y.shape}]`,
    );
  }
  for (const [place, { count, size, data }] of pair.entries()) {
    const set = place === 0 ? "first" : "second";
    if (count < least) {
      throw new OptionError(`${metric}: the ${set} set has ${count} samples; at least ${least} are needed`);
    }
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new OptionError(
        `${metric}: sample ${Math.floor(bad / size)} of the ${set} set holds ${data[bad]}, which has no distance`,
      );
    }
  }
  return pair;
}

/** Checks an option that counts something. @throws OptionError where it is not a whole number of at least `least` */
export function checkCount(metric: string, option: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new OptionError(`${metric}: ${option} ${value} must be a whole number of at least ${least}`);
  }
}
