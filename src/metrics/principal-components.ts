import { ShapeError } from "../errors.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

/** Rows in the directions in which they vary most. */
export interface PrincipalComponents {
  /** [n, count]: places along the axes, from the mean; the first axis is that of the largest variance. */
  readonly scores: NdArray<"float32">;
  /** Share of each axis in the whole variance. */
  readonly shares: readonly number[];
}

/**
 * The first principal components of rows [n, d], by the eigenvectors of their covariance (Pearson 1901). The largest entry of
 * each axis is positive, so that the result does not depend on the solver.
 * @throws ShapeError where the rows are no matrix or have fewer columns than components are asked for
 */
export function principalComponents(rows: NdArray<"float32">, count: number): PrincipalComponents {
  const [n = 0, d = 0] = rows.shape;
  if (rows.shape.length !== 2 || n === 0 || d < count) {
    throw new ShapeError(`principal components: ${count} of rows of shape [${rows.shape}]`);
  }
  const { data } = rows;
  const means = new Float64Array(d);
  for (let i = 0; i < data.length; i++) means[i % d] = (means[i % d] ?? 0) + (data[i] ?? 0) / n;
  const centred = Float64Array.from(data, (value, i) => value - (means[i % d] ?? 0));
  const covariance = new Float64Array(d * d);
  for (let row = 0; row < n; row++) {
    const own = centred.subarray(row * d, (row + 1) * d);
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < d; j++) {
        covariance[i * d + j] = (covariance[i * d + j] ?? 0) + ((own[i] ?? 0) * (own[j] ?? 0)) / n;
      }
    }
  }
  const { values, vectors } = symmetricEigen(covariance, d);
  const order = Array.from(values.keys()).sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
  const total = values.reduce((sum, value) => sum + value, 0);
  const axes = order.slice(0, count).map((i) => upright(vectors.subarray(i * d, (i + 1) * d)));
  const scores = new Float32Array(n * count);
  for (let row = 0; row < n; row++) {
    for (const [k, axis] of axes.entries()) {
      let place = 0;
      for (let i = 0; i < d; i++) place += (centred[row * d + i] ?? 0) * (axis[i] ?? 0);
      scores[row * count + k] = place;
    }
  }
  const shares = order.slice(0, count).map((i) => (total > 0 ? Math.max(0, values[i] ?? 0) / total : 0));
  return { scores: float32(scores, [n, count]), shares };
}

function upright(axis: Float64Array): Float64Array {
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? axis.map((value) => -value) : axis;
}
