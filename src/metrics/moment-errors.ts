import type { NdArray } from "../tensor/array.ts";
import { forEachRow, meanOf } from "./pairs.ts";
import { comparableRows, type Rows } from "./samples.ts";

/** How far first and second moments of two sets of samples are apart. */
export interface MomentErrors {
  /** Largest difference of the mean of an element. */
  readonly mean: number;
  /** Largest difference of the mean of a product of two different elements; 0 where there is one element. */
  readonly pair: number;
}

/**
 * The largest errors of first and second moments between two sets of samples, [n, …] and [m, …]. For zeros and ones these
 * are probabilities: that an element is one, and that two are both. They are 0 for equal sets only up to the noise of
 * estimates, which grows with the number of elements, the largest error being that of the worst one: compare with the
 * errors between two sets of the data. Takes (n + m) d² / 2 multiplications.
 * @throws OptionError where the samples differ in size or are not finite, or a set is empty
 */
export function momentErrors(x: NdArray<"float32">, y: NdArray<"float32">): MomentErrors {
  const [left, right] = comparableRows("momentErrors", x, y);
  const means = [meanOf(left), meanOf(right)] as const;
  const products = [meanProducts(left), meanProducts(right)] as const;
  return { mean: largestDifference(...means), pair: largestDifference(...products) };
}

/** Means of the products of elements i < j, in the upper triangle of [d, d]; 0 elsewhere. */
function meanProducts({ count, size, data }: Rows): Float64Array {
  const transposed = new Float64Array(size * count);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < size; k++) transposed[k * count + row] = data[row * size + k] ?? 0;
  }
  const columns = { count: size, size: count, data: transposed };
  const means = new Float64Array(size * size);
  const keep = (i: number, values: Float64Array) => {
    for (let j = i + 1; j < size; j++) means[i * size + j] = (values[j] ?? 0) / count;
  };
  forEachRow(columns, columns, "innerProduct", keep, true);
  return means;
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs((a[i] ?? 0) - (b[i] ?? 0)));
  return largest;
}
