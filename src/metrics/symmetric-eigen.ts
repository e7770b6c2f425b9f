import { SolverError } from "../errors.ts";

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
