import { OptionError } from "../../errors.ts";
import { symmetricEigenvalues } from "../../metrics/symmetric-eigen.ts";
import type { PairedRows } from "./pairs.ts";

// Mutual information without a network: what a learnt estimate is compared with. In nats.

/** Of the largest eigenvalue of a correlation matrix: smaller ones are rounding. */
const LEAST_EIGENVALUE = 1e-10;

/**
 * Mutual information of jointly Gaussian variables with the correlations of the rows, −½ Σ log(1 − ρᵢ²) over the canonical correlations ρᵢ, as
 * ½ (log |Rₓ| + log |R_y| − log |R|) with correlation matrices R (Kullback 1959; Cover and Thomas 2006, section 8.5). It sees linear dependence alone.
 * @throws OptionError where there are no more rows than columns, or a column follows from others, which makes it infinite or undefined
 */
export function gaussianMutualInformation({ x, y, count }: PairedRows): number {
  const [first, second] = [x.length / count, y.length / count];
  const size = first + second;
  if (count <= size) {
    throw new OptionError(
      `gaussian: ${count} rows do not determine the correlations of ${size} columns; give more than ${size} rows`,
    );
  }
  const all = new Float64Array(count * size);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < first; k++) all[row * size + k] = x[row * first + k] ?? Number.NaN;
    for (let k = 0; k < second; k++) all[row * size + first + k] = y[row * second + k] ?? Number.NaN;
  }
  const correlations = correlationsOf(all, count, size);
  const range = (from: number, to: number): number => logDeterminant(correlations, size, from, to);
  return Math.max(0, (range(0, first) + range(first, size) - range(0, size)) / 2);
}

/** Correlation matrix [size, size] of standardized or other rows. */
function correlationsOf(rows: Float64Array, count: number, size: number): Float64Array {
  const mean = new Float64Array(size);
  for (let i = 0; i < rows.length; i++) mean[i % size] = (mean[i % size] ?? 0) + (rows[i] ?? 0) / count;
  const products = new Float64Array(size * size);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < size; i++) {
      const left = (rows[row * size + i] ?? 0) - (mean[i] ?? 0);
      for (let j = 0; j <= i; j++) {
        const right = (rows[row * size + j] ?? 0) - (mean[j] ?? 0);
        products[i * size + j] = (products[i * size + j] ?? 0) + left * right;
      }
    }
  }
  const matrix = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const scale = Math.sqrt((products[i * size + i] ?? 0) * (products[j * size + j] ?? 0));
      const value = (products[i * size + j] ?? 0) / scale;
      matrix[i * size + j] = value;
      matrix[j * size + i] = value;
    }
  }
  return matrix;
}

/** log of the determinant of the block of rows and columns from … to. */
function logDeterminant(matrix: Float64Array, size: number, from: number, to: number): number {
  const side = to - from;
  const block = new Float64Array(side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) block[i * side + j] = matrix[(from + i) * size + from + j] ?? Number.NaN;
  }
  const values = symmetricEigenvalues(block, side);
  const largest = Math.max(...values);
  if (!values.every((value) => value > LEAST_EIGENVALUE * largest)) {
    throw new OptionError(
      "gaussian: a column follows linearly from the others, so that the mutual information is infinite, or a column stands twice on one side; leave it out",
    );
  }
  return values.reduce((sum, value) => sum + Math.log(value), 0);
}

/**
 * Mutual information of two single variables by counting: `bins` bins of equal probability a variable (default: the cube root of the number of
 * rows), with the correction of Miller (1955) and Madow for the bias of empty bins. Equal values always stand in one bin.
 * @throws OptionError where a side has several columns
 */
export function histogramMutualInformation({ x, y, count }: PairedRows, bins = defaultBins(count)): number {
  if (x.length !== count || y.length !== count) {
    throw new OptionError(
      `histogram: counts pairs of one column and one column, not of ${x.length / count} and ${y.length / count}; choose ksg or an estimator with a critic`,
    );
  }
  const [left, right] = [binsOf(x, bins), binsOf(y, bins)];
  const counts = new Map<number, number>();
  const [ofLeft, ofRight] = [new Float64Array(bins), new Float64Array(bins)];
  for (let i = 0; i < count; i++) {
    const [a, b] = [left[i] ?? 0, right[i] ?? 0];
    counts.set(a * bins + b, (counts.get(a * bins + b) ?? 0) + 1);
    ofLeft[a] = (ofLeft[a] ?? 0) + 1;
    ofRight[b] = (ofRight[b] ?? 0) + 1;
  }
  let information = 0;
  for (const [cell, pairs] of counts) {
    const expected = (ofLeft[Math.floor(cell / bins)] ?? 0) * (ofRight[cell % bins] ?? 0);
    information += (pairs / count) * Math.log((pairs * count) / expected);
  }
  const used = (parts: Float64Array): number => parts.filter((part) => part > 0).length;
  // Each entropy is too small by (bins − 1) / 2n: that of the pairs by the most.
  const bias = (counts.size - used(ofLeft) - used(ofRight) + 1) / (2 * count);
  return Math.max(0, information - bias);
}

function defaultBins(count: number): number {
  return Math.max(2, Math.round(Math.cbrt(count)));
}

/** The bin of each value, such that each bin has about as many; equal values are in the same one. */
function binsOf(values: Float64Array, bins: number): Uint32Array {
  const sorted = values.slice().sort();
  const first = new Map<number, number>();
  for (const [place, value] of sorted.entries()) if (!first.has(value)) first.set(value, place);
  return Uint32Array.from(values, (value) => Math.floor(((first.get(value) ?? 0) * bins) / values.length));
}
