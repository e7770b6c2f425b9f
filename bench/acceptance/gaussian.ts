/** A Gaussian with full covariance: the simplest density that knows how columns go together. */
export interface Gaussian {
  readonly mean: readonly number[];
  /** Lower triangular, covariance = L Lᵀ. */
  readonly cholesky: readonly (readonly number[])[];
}

/** The Gaussian of maximum likelihood for rows [n, d], with a hair of variance added against collinear columns. */
export function fitGaussian(values: ArrayLike<number>, dimensions: number): Gaussian {
  const count = values.length / dimensions;
  const at = (row: number, column: number): number => values[row * dimensions + column] ?? 0;
  const rows = Array.from({ length: count }, (_, row) => row);
  const columns = Array.from({ length: dimensions }, (_, column) => column);
  const mean = columns.map((column) => rows.reduce((sum, row) => sum + at(row, column), 0) / count);
  const covariance = columns.map((i) =>
    columns.map((j) => {
      const products = rows.reduce(
        (sum, row) => sum + (at(row, i) - (mean[i] ?? 0)) * (at(row, j) - (mean[j] ?? 0)),
        0,
      );
      return products / count + (i === j ? 1e-6 : 0);
    }),
  );
  const cholesky = columns.map(() => new Array<number>(dimensions).fill(0));
  for (let i = 0; i < dimensions; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = covariance[i]?.[j] ?? 0;
      for (let k = 0; k < j; k++) rest -= (cholesky[i]?.[k] ?? 0) * (cholesky[j]?.[k] ?? 0);
      const row = cholesky[i];
      if (row !== undefined) row[j] = i === j ? Math.sqrt(rest) : rest / (cholesky[j]?.[j] ?? 1);
    }
  }
  return { mean, cholesky };
}

/** Log-densities in nats of rows [n, d]. */
export function gaussianLogProb({ mean, cholesky }: Gaussian, values: ArrayLike<number>): readonly number[] {
  const dimensions = mean.length;
  const logDet = cholesky.reduce((sum, row, i) => sum + Math.log(row[i] ?? 1), 0);
  return Array.from({ length: values.length / dimensions }, (_, row) => {
    // Forward substitution: z = L⁻¹ (x − mean).
    const z: number[] = [];
    for (let i = 0; i < dimensions; i++) {
      let rest = (values[row * dimensions + i] ?? 0) - (mean[i] ?? 0);
      for (let k = 0; k < i; k++) rest -= (cholesky[i]?.[k] ?? 0) * (z[k] ?? 0);
      z.push(rest / (cholesky[i]?.[i] ?? 1));
    }
    const square = z.reduce((sum, value) => sum + value * value, 0);
    return -0.5 * (square + dimensions * Math.log(2 * Math.PI)) - logDet;
  });
}
