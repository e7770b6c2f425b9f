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
  for (const [position, { count, size, data }] of pair.entries()) {
    const set = position === 0 ? "first" : "second";
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

/** What is computed for each pair of rows. */
export type PairValue = "squaredDistance" | "innerProduct" | "manhattanDistance";

/** Rows of the first set that are taken together: their buffer stays in the processor's cache. */
const BLOCK = 16;

/**
 * Values for all pairs of a row of `a` and a row of `b`, in float64: squared Euclidean distances |a − b|², inner
 * products aᵀb or Manhattan distances Σ |a − b|. The pairs are visited row by row of `a` in order; `use` gets the number
 * of the row and the values for all rows of `b`, in an array that is overwritten later. Squared distances are
 * |a|² + |b|² − 2aᵀb of rows from which the mean of `b` was taken; they are never negative and exactly 0 for equal rows.
 * Takes a.count · b.count · size multiplications, about 10⁹ a second, and memory in proportion to the sets.
 * @param laterOnly where `a` and `b` are the same set: only the values at the row itself and at later rows count, which
 * halves the work; the others are left undefined.
 */
export function forEachRow(
  a: Rows,
  b: Rows,
  value: PairValue,
  use: (row: number, values: Float64Array) => void,
  laterOnly = false,
): void {
  const { size } = b;
  const center = value === "innerProduct" ? new Float64Array(size) : meanOf(b);
  const right = padded(b, center);
  const left = a.data === b.data && a.count === b.count ? right : padded(a, center);
  const stride = paddedCount(b.count);
  const block = new Float64Array(BLOCK * stride);
  const fill = value === "manhattanDistance" ? fillManhattan : fillProducts;
  const leftNorms = value === "squaredDistance" ? squaredNorms(left, a.count, size) : undefined;
  const rightNorms = leftNorms && (left === right ? leftNorms : squaredNorms(right, b.count, size));
  for (let first = 0; first < a.count; first += BLOCK) {
    const rows = Math.min(BLOCK, a.count - first);
    const from = laterOnly ? first : 0;
    fill(left, right, size, first, paddedCount(rows), from, stride, block);
    for (let row = 0; row < rows; row++) {
      const values = block.subarray(row * stride, row * stride + b.count);
      if (leftNorms !== undefined && rightNorms !== undefined) {
        const norm = leftNorms[first + row] ?? 0;
        for (let j = from; j < b.count; j++) {
          values[j] = Math.max(0, norm + (rightNorms[j] ?? 0) - 2 * (values[j] ?? 0));
        }
      }
      use(first + row, values);
    }
  }
}

/** Sets are filled up with rows of zeros to a multiple of four, so that tiles have no edges. */
function paddedCount(count: number): number {
  return Math.ceil(count / 4) * 4;
}

function padded({ count, size, data }: Rows, center: Float64Array): Float64Array {
  const target = new Float64Array(paddedCount(count) * size);
  for (let i = 0; i < count; i++) {
    const start = i * size;
    for (let k = 0; k < size; k++) target[start + k] = (data[start + k] ?? 0) - (center[k] ?? 0);
  }
  return target;
}

/** The mean row. */
export function meanOf({ count, size, data }: Rows): Float64Array {
  const mean = new Float64Array(size);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < size; k++) mean[k] = (mean[k] ?? 0) + (data[i * size + k] ?? 0);
  }
  return mean.map((value) => value / count);
}

/** Squared norms, summed in the order of `fillProducts`, so that the distance of equal rows cancels to 0. */
function squaredNorms(data: Float64Array, count: number, size: number): Float64Array {
  const norms = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let k = i * size; k < (i + 1) * size; k++) sum += (data[k] ?? 0) * (data[k] ?? 0);
    norms[i] = sum;
  }
  return norms;
}

/** Inner products of `rows` rows of a from `first` with the rows of b from `from`, in tiles of four by two. */
function fillProducts(
  a: Float64Array,
  b: Float64Array,
  size: number,
  first: number,
  rows: number,
  from: number,
  stride: number,
  target: Float64Array,
): void {
  for (let j = from; j < stride; j += 2) {
    for (let i = 0; i < rows; i += 4) {
      let [s00, s01, s10, s11, s20, s21, s30, s31] = [0, 0, 0, 0, 0, 0, 0, 0];
      let p0 = (first + i) * size;
      let q0 = j * size;
      for (let k = 0; k < size; k++, p0++, q0++) {
        const b0 = b[q0] ?? 0;
        const b1 = b[q0 + size] ?? 0;
        const a0 = a[p0] ?? 0;
        const a1 = a[p0 + size] ?? 0;
        const a2 = a[p0 + 2 * size] ?? 0;
        const a3 = a[p0 + 3 * size] ?? 0;
        s00 += a0 * b0;
        s01 += a0 * b1;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s20 += a2 * b0;
        s21 += a2 * b1;
        s30 += a3 * b0;
        s31 += a3 * b1;
      }
      const position = i * stride + j;
      target[position] = s00;
      target[position + 1] = s01;
      target[position + stride] = s10;
      target[position + stride + 1] = s11;
      target[position + 2 * stride] = s20;
      target[position + 2 * stride + 1] = s21;
      target[position + 3 * stride] = s30;
      target[position + 3 * stride + 1] = s31;
    }
  }
}

/** Manhattan distances, in the positions of `fillProducts`. */
function fillManhattan(
  a: Float64Array,
  b: Float64Array,
  size: number,
  first: number,
  rows: number,
  from: number,
  stride: number,
  target: Float64Array,
): void {
  for (let j = from; j < stride; j += 2) {
    for (let i = 0; i < rows; i += 2) {
      let [s00, s01, s10, s11] = [0, 0, 0, 0];
      let p = (first + i) * size;
      let q = j * size;
      for (let k = 0; k < size; k++, p++, q++) {
        const b0 = b[q] ?? 0;
        const b1 = b[q + size] ?? 0;
        const a0 = a[p] ?? 0;
        const a1 = a[p + size] ?? 0;
        s00 += Math.abs(a0 - b0);
        s01 += Math.abs(a0 - b1);
        s10 += Math.abs(a1 - b0);
        s11 += Math.abs(a1 - b1);
      }
      const position = i * stride + j;
      target[position] = s00;
      target[position + 1] = s01;
      target[position + stride] = s10;
      target[position + stride + 1] = s11;
    }
  }
}
