import { ShapeError, SolverError } from "../errors.ts";
import { float32, type NdArray } from "../tensor/array.ts";

/** Eigenvalues of a symmetric matrix, in no order, and its eigenvectors as rows: A = Vᵀ diag(values) V. */
export interface SymmetricEigen {
  readonly values: Float64Array;
  /** [n, n]: row i belongs to value i. */
  readonly vectors: Float64Array;
}

/** Steps that one eigenvalue may take; two are usual. */
const MOST_STEPS = 60;

/**
 * Eigenvalues and eigenvectors of a symmetric matrix [n, n] in float64, to rounding of its largest eigenvalue: Householder
 * reflections to a tridiagonal matrix, then implicit QR steps with Wilkinson's shift (Golub and Van Loan 2013, "Matrix
 * computations", algorithms 8.3.1 to 8.3.3). Takes time in proportion to n³: a few seconds for n = 784.
 * @throws SolverError where the matrix holds numbers that are not finite
 */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const { diagonal, offDiagonal, reflections } = tridiagonal(matrix, n);
  const vectors = transposedProduct(reflections, n);
  diagonalise(diagonal, offDiagonal, (k, cosine, sine) => rotateRows(vectors, n, k, cosine, sine));
  return { values: diagonal, vectors };
}

/** Eigenvalues alone, as `symmetricEigen`, in a third of its time. @throws SolverError as there */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const { diagonal, offDiagonal } = tridiagonal(matrix, n);
  diagonalise(diagonal, offDiagonal, () => {});
  return diagonal;
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Element k stands between diagonal elements k and k + 1. */
  readonly offDiagonal: Float64Array;
  /** Unit vectors v of the reflections 1 − 2vvᵀ in the order of use; the k-th begins at element k + 1. */
  readonly reflections: readonly Float64Array[];
}

function tridiagonal(matrix: Float64Array, n: number): Tridiagonal {
  const a = matrix.slice();
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(Math.max(0, n - 1));
  const reflections: Float64Array[] = [];
  const product = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    diagonal[k] = a[k * n + k] ?? 0;
    if (k + 2 >= n) {
      if (k + 1 < n) offDiagonal[k] = a[k * n + k + 1] ?? 0;
      continue;
    }
    // Row k stands for column k: the matrix is symmetric.
    const first = k + 1;
    const v = a.slice(k * n + first, (k + 1) * n);
    const norm = Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
    const turned = (v[0] ?? 0) > 0 ? -norm : norm;
    offDiagonal[k] = turned;
    v[0] = (v[0] ?? 0) - turned;
    const length = Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
    const unit = length > 0 ? v.map((value) => value / length) : v;
    reflections.push(unit);
    if (length === 0) continue;
    // A ← A − 2(v wᵀ + w vᵀ) with w = Av − (vᵀAv) v.
    let along = 0;
    for (let i = first; i < n; i++) {
      let sum = 0;
      for (let j = first; j < n; j++) sum += (a[i * n + j] ?? 0) * (unit[j - first] ?? 0);
      product[i] = sum;
      along += sum * (unit[i - first] ?? 0);
    }
    for (let i = first; i < n; i++) product[i] = 2 * ((product[i] ?? 0) - along * (unit[i - first] ?? 0));
    for (let i = first; i < n; i++) {
      const vi = unit[i - first] ?? 0;
      const wi = product[i] ?? 0;
      for (let j = first; j < n; j++) {
        a[i * n + j] = (a[i * n + j] ?? 0) - vi * (product[j] ?? 0) - wi * (unit[j - first] ?? 0);
      }
    }
  }
  return { diagonal, offDiagonal, reflections };
}

/** The transpose of the product of all reflections; each is applied to as few elements as it can change. */
function transposedProduct(reflections: readonly Float64Array[], n: number): Float64Array {
  const q = new Float64Array(n * n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  for (let k = reflections.length - 1; k >= 0; k--) {
    const v = reflections[k];
    if (v === undefined) continue;
    const first = k + 1;
    for (let i = first; i < n; i++) {
      let sum = 0;
      for (let j = first; j < n; j++) sum += (q[i * n + j] ?? 0) * (v[j - first] ?? 0);
      sum *= 2;
      for (let j = first; j < n; j++) q[i * n + j] = (q[i * n + j] ?? 0) - sum * (v[j - first] ?? 0);
    }
  }
  return q;
}

function rotateRows(vectors: Float64Array, n: number, k: number, cosine: number, sine: number): void {
  const [top, bottom] = [k * n, (k + 1) * n];
  for (let j = 0; j < n; j++) {
    const upper = vectors[top + j] ?? 0;
    const lower = vectors[bottom + j] ?? 0;
    vectors[top + j] = cosine * upper + sine * lower;
    vectors[bottom + j] = cosine * lower - sine * upper;
  }
}

/** Turns the diagonal into the eigenvalues; `rotate` sees every rotation of rows k and k + 1. */
function diagonalise(
  d: Float64Array,
  e: Float64Array,
  rotate: (k: number, cosine: number, sine: number) => void,
): void {
  const at = (values: Float64Array, k: number) => values[k] ?? 0;
  let largest = 0;
  for (let k = 0; k < d.length; k++) largest = Math.max(largest, Math.abs(at(d, k)) + Math.abs(at(e, k)));
  if (!Number.isFinite(largest)) {
    throw new SolverError("symmetricEigen: the matrix holds numbers that are not finite");
  }
  const negligible = Number.EPSILON * largest;
  let steps = 0;
  for (let high = d.length - 1; high > 0; ) {
    if (Math.abs(at(e, high - 1)) <= negligible) {
      high -= 1;
      steps = 0;
      continue;
    }
    if (++steps > MOST_STEPS) {
      throw new SolverError(`symmetricEigen: eigenvalue ${high} did not converge in ${MOST_STEPS} steps`);
    }
    let low = high - 1;
    while (low > 0 && Math.abs(at(e, low - 1)) > negligible) low -= 1;
    const half = (at(d, high - 1) - at(d, high)) / 2;
    const last = at(e, high - 1);
    const root = Math.hypot(half, last);
    const shift = at(d, high) - (last * last) / (half + (half < 0 ? -root : root));
    let x = at(d, low) - shift;
    let z = at(e, low);
    for (let k = low; k < high; k++) {
      const radius = Math.hypot(x, z);
      const [c, s] = radius === 0 ? [1, 0] : [x / radius, z / radius];
      if (k > low) e[k - 1] = radius;
      const [upper, lower, between] = [at(d, k), at(d, k + 1), at(e, k)];
      d[k] = c * c * upper + 2 * c * s * between + s * s * lower;
      d[k + 1] = s * s * upper - 2 * c * s * between + c * c * lower;
      e[k] = c * s * (lower - upper) + (c * c - s * s) * between;
      if (k + 1 < high) {
        x = at(e, k);
        z = s * at(e, k + 1);
        e[k + 1] = c * at(e, k + 1);
      }
      rotate(k, c, s);
    }
  }
}

/** Rows in the directions in which they vary most. */
export interface PrincipalComponents {
  /** [n, count]: coordinates along the axes, from the mean; the first axis is that of the largest variance. */
  readonly scores: NdArray<"float32">;
  /** Share of each axis in the whole variance. */
  readonly shares: readonly number[];
}

/** The directions in which rows vary most. */
export interface PrincipalAxes {
  readonly mean: Float64Array;
  /** Unit vectors; the first is that of the largest variance. */
  readonly axes: readonly Float64Array[];
  /** Share of each axis in the whole variance. */
  readonly shares: readonly number[];
}

/**
 * The first principal axes of rows [n, d], by the eigenvectors of their covariance (Pearson 1901). The largest entry of each axis is positive,
 * so that the result does not depend on the solver. Takes time in proportion to n d² + d³; where there are fewer rows than columns, to n² d + n³, by the
 * eigenvectors of the rows' inner products, which the axes are combinations of.
 * @throws ShapeError where the rows are no matrix, or have fewer columns than axes are asked for
 */
export function principalAxes(rows: NdArray<"float32">, count: number): PrincipalAxes {
  const [n = 0, d = 0] = rows.shape;
  if (rows.shape.length !== 2 || n === 0 || d < count) {
    throw new ShapeError(`principal components: ${count} of rows of shape [${rows.shape}]`);
  }
  const { data } = rows;
  const mean = new Float64Array(d);
  for (let i = 0; i < data.length; i++) mean[i % d] = (mean[i % d] ?? 0) + (data[i] ?? 0) / n;
  const centered = Float64Array.from(data, (value, i) => value - (mean[i % d] ?? 0));
  // Of n rows no more than n directions vary: the axes beyond have no variance and are whatever the covariance gives.
  const byRows = n < d && count <= n;
  const side = byRows ? n : d;
  const products = new Float64Array(side * side);
  if (byRows) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let k = 0; k < d; k++) sum += (centered[i * d + k] ?? 0) * (centered[j * d + k] ?? 0);
        products[i * n + j] = sum / n;
      }
    }
  } else {
    for (let row = 0; row < n; row++) {
      const own = centered.subarray(row * d, (row + 1) * d);
      for (let i = 0; i < d; i++) {
        const value = (own[i] ?? 0) / n;
        if (value === 0) continue;
        for (let j = 0; j <= i; j++) products[i * d + j] = (products[i * d + j] ?? 0) + value * (own[j] ?? 0);
      }
    }
  }
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < i; j++) products[j * side + i] = products[i * side + j] ?? 0;
  }
  const { values, vectors } = symmetricEigen(products, side);
  const order = Array.from(values.keys())
    .sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0))
    .slice(0, count);
  const total = values.reduce((sum, value) => sum + value, 0);
  return {
    mean,
    axes: order.map((i) => {
      const vector = vectors.subarray(i * side, (i + 1) * side);
      return upright(byRows ? combination(centered, vector, d) : vector);
    }),
    shares: order.map((i) => (total > 0 ? Math.max(0, values[i] ?? 0) / total : 0)),
  };
}

/** The unit vector along Σ weight · row. */
function combination(rows: Float64Array, weights: Float64Array, d: number): Float64Array {
  const sum = new Float64Array(d);
  for (const [row, weight] of weights.entries()) {
    for (let k = 0; k < d; k++) sum[k] = (sum[k] ?? 0) + weight * (rows[row * d + k] ?? 0);
  }
  const length = Math.sqrt(sum.reduce((all, value) => all + value * value, 0));
  return length > 0 ? sum.map((value) => value / length) : sum;
}

/** Coordinates of rows [n, d] along axes, from their mean: [n, axes]. @throws ShapeError where rows are of another length */
export function alongAxes(rows: NdArray<"float32">, { mean, axes }: PrincipalAxes): NdArray<"float32"> {
  const [n = 0, d = 0] = rows.shape;
  if (rows.shape.length !== 2 || d !== mean.length) {
    throw new ShapeError(
      `principal components: rows of shape [${rows.shape}], where the axes have ${mean.length} numbers`,
    );
  }
  const scores = new Float32Array(n * axes.length);
  for (let row = 0; row < n; row++) {
    for (const [k, axis] of axes.entries()) {
      let coordinate = 0;
      for (let i = 0; i < d; i++)
        coordinate += ((rows.data[row * d + i] ?? 0) - (mean[i] ?? 0)) * (axis[i] ?? 0);
      scores[row * axes.length + k] = coordinate;
    }
  }
  return float32(scores, [n, axes.length]);
}

/** The first principal components of rows [n, d]: their coordinates along `principalAxes`. @throws ShapeError as there */
export function principalComponents(rows: NdArray<"float32">, count: number): PrincipalComponents {
  const axes = principalAxes(rows, count);
  return { scores: alongAxes(rows, axes), shares: axes.shares };
}

function upright(axis: Float64Array): Float64Array {
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? axis.map((value) => -value) : axis;
}
