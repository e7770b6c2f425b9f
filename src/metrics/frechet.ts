import { OptionError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { comparableRows, forEachRow, meanOf, type Rows } from "./rows.ts";
import { symmetricEigen, symmetricEigenvalues } from "./symmetric-eigen.ts";

/** A normal distribution in d dimensions. */
export interface Gaussian {
  /** [d]. */
  readonly mean: Float64Array;
  /** [d, d], symmetric and without negative eigenvalues. */
  readonly covariance: Float64Array;
}

/**
 * Fréchet distance between normal distributions fitted to two sets of features, [n, …] and [m, …], **squared**, as it is
 * always reported:
 *
 *     d² = |μ − ν|² + Tr(C + D − 2 (C D)^½)
 *
 * (Dowson and Landau 1982; for generated images Heusel et al. 2017, "GANs trained by a two time-scale update rule
 * converge to a local Nash equilibrium", equation 6: the FID where the features are those of Inception). Means and
 * unbiased covariances are taken in float64. The estimate is too large for few samples, by an amount that grows with the
 * number of features: compare only numbers from equal counts, and take many more samples than features.
 * @throws OptionError where the features differ in size or are not finite, or a set has fewer than two
 */
export function frechetDistance(x: NdArray<"float32">, y: NdArray<"float32">): number {
  const [left, right] = comparableRows("frechetDistance", x, y, 2);
  return frechetDistanceOfGaussians(fitGaussian(left), fitGaussian(right));
}

/**
 * The squared Fréchet distance of two normal distributions, which is also their squared 2-Wasserstein distance. The trace
 * of (C D)^½ is the sum of the roots of the eigenvalues of C^½ D C^½, a symmetric matrix: no root of a general matrix is
 * taken, and singular covariances do no harm.
 * @throws OptionError where the dimensions differ
 */
export function frechetDistanceOfGaussians(a: Gaussian, b: Gaussian): number {
  const n = a.mean.length;
  if (b.mean.length !== n || a.covariance.length !== n * n || b.covariance.length !== n * n) {
    throw new OptionError(
      `frechetDistanceOfGaussians: means of ${n} and ${b.mean.length} numbers with covariances of ${a.covariance.length} and ${b.covariance.length} do not compare`,
    );
  }
  let apart = 0;
  let traces = 0;
  for (let i = 0; i < n; i++) {
    apart += ((a.mean[i] ?? 0) - (b.mean[i] ?? 0)) ** 2;
    traces += (a.covariance[i * n + i] ?? 0) + (b.covariance[i * n + i] ?? 0);
  }
  return Math.max(0, apart + traces - 2 * traceOfRoot(a.covariance, b.covariance, n));
}

/** Tr (C D)^½ with C = Vᵀ Λ V: the roots of the eigenvalues of Λ^½ V D Vᵀ Λ^½. */
function traceOfRoot(c: Float64Array, d: Float64Array, n: number): number {
  const { values, vectors } = symmetricEigen(c, n);
  const roots = values.map((value) => Math.sqrt(Math.max(0, value)));
  const scaled = vectors.map((value, position) => value * (roots[Math.floor(position / n)] ?? 0));
  const inner = timesTransposed(timesTransposed(scaled, d, n), scaled, n);
  return symmetricEigenvalues(inner, n).reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
}

/** a bᵀ of two matrices [n, n]. */
function timesTransposed(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const product = new Float64Array(n * n);
  const [left, right] = [
    { count: n, size: n, data: a },
    { count: n, size: n, data: b },
  ] as const;
  forEachRow(left, right, "innerProduct", (i, values) => product.set(values, i * n));
  return product;
}

/** Mean and unbiased covariance of rows: the inner products of centered columns. */
function fitGaussian(rows: Rows): Gaussian {
  const { count, size, data } = rows;
  const mean = meanOf(rows);
  const columns = new Float64Array(size * count);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < size; k++) columns[k * count + i] = (data[i * size + k] ?? 0) - (mean[k] ?? 0);
  }
  const covariance = new Float64Array(size * size);
  const centered = { count: size, size: count, data: columns };
  const keep = (a: number, values: Float64Array) => {
    for (let b = a; b < size; b++) {
      const value = (values[b] ?? 0) / (count - 1);
      covariance[a * size + b] = value;
      covariance[b * size + a] = value;
    }
  };
  forEachRow(centered, centered, "innerProduct", keep, true);
  return { mean, covariance };
}

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
