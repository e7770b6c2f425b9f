import { OptionError } from "../../errors.ts";
import { elementCount, type NdArray } from "../../tensor/array.ts";

/** Features of samples as rows of numbers, [count, size]. */
export interface FeatureRows {
  readonly count: number;
  readonly size: number;
  readonly data: Float64Array;
}

/** Features of samples whose classes are known. */
export interface LabeledFeatures extends FeatureRows {
  /** The class of each row, from 0 on. */
  readonly labels: Uint32Array;
}

/**
 * Features [n, …] as rows; all axes but the first are one.
 * @param what named in errors
 * @throws OptionError where there are none, or a value is not finite
 */
export function featureRows(features: NdArray<"float32">, what = "features"): FeatureRows {
  const [count = 0, ...rest] = features.shape;
  const size = elementCount(rest);
  if (count === 0 || size === 0)
    throw new OptionError(`${what}: of shape [${features.shape}]; nothing is there`);
  const bad = features.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new OptionError(
      `${what}: row ${Math.floor(bad / size)} holds ${features.data[bad]} in column ${bad % size}; features must be finite`,
    );
  }
  return { count, size, data: Float64Array.from(features.data) };
}

/** @throws OptionError where there are not as many classes as rows, or a class is no whole number from 0 on */
export function withLabels(rows: FeatureRows, labels: ArrayLike<number>, what = "features"): LabeledFeatures {
  if (labels.length !== rows.count) {
    throw new OptionError(`${what}: ${rows.count} rows and ${labels.length} classes do not belong together`);
  }
  const bad = Array.from(labels).findIndex((label) => !Number.isInteger(label) || label < 0);
  if (bad >= 0)
    throw new OptionError(`${what}: row ${bad} has the class ${labels[bad]}; classes are 0, 1, …`);
  return { ...rows, labels: Uint32Array.from(labels) };
}

/** Some of the rows, in this order. */
export function pickRows(rows: LabeledFeatures, positions: ArrayLike<number>): LabeledFeatures {
  const { size } = rows;
  const data = new Float64Array(positions.length * size);
  const labels = new Uint32Array(positions.length);
  for (let i = 0; i < positions.length; i++) {
    const row = positions[i] ?? 0;
    data.set(rows.data.subarray(row * size, (row + 1) * size), i * size);
    labels[i] = rows.labels[row] ?? 0;
  }
  return { count: positions.length, size, data, labels };
}

/** @throws OptionError where all rows are of one class: there is nothing to tell apart */
export function checkClasses(labels: Uint32Array, what: string): void {
  const [first] = labels;
  if (labels.some((label) => label !== first)) return;
  throw new OptionError(
    `${what}: all ${labels.length} rows are of class ${first}; a probe tells classes apart, give rows of at least two`,
  );
}

/** Takes mean and deviation of each column of training rows out of rows, and leaves out constant columns. */
export interface Standardization {
  /** Columns that are the same in all training rows, which are left out. */
  readonly constant: number;
  readonly size: number;
  apply<R extends FeatureRows>(rows: R): R;
}

/** @throws OptionError where all columns are constant */
export function standardizationOf(rows: FeatureRows, what = "features"): Standardization {
  const { count, size, data } = rows;
  const [mean, squares] = [new Float64Array(size), new Float64Array(size)];
  for (let i = 0; i < data.length; i++) mean[i % size] = (mean[i % size] ?? 0) + (data[i] ?? 0) / count;
  for (let i = 0; i < data.length; i++) {
    squares[i % size] = (squares[i % size] ?? 0) + ((data[i] ?? 0) - (mean[i % size] ?? 0)) ** 2 / count;
  }
  const deviations = squares.map(Math.sqrt);
  // Rounding leaves a constant column a deviation of about its last digit.
  const isVaried = (k: number): boolean =>
    (deviations[k] ?? 0) > 1e-9 * Math.max(1e-30, Math.abs(mean[k] ?? 0));
  const kept = Array.from({ length: size }, (_, k) => k).filter(isVaried);
  if (kept.length === 0) {
    throw new OptionError(
      `${what}: all ${size} columns are the same in all ${count} rows; they say nothing of a sample`,
    );
  }
  return {
    constant: size - kept.length,
    size: kept.length,
    apply(others) {
      if (others.size !== size) {
        throw new OptionError(`${what}: rows of ${others.size} numbers, where ${size} were learnt from`);
      }
      const result = new Float64Array(others.count * kept.length);
      for (let row = 0; row < others.count; row++) {
        for (const [i, k] of kept.entries()) {
          const value = (others.data[row * size + k] ?? 0) - (mean[k] ?? 0);
          result[row * kept.length + i] = value / (deviations[k] ?? 1);
        }
      }
      return { ...others, size: kept.length, data: result };
    },
  };
}

/** Share of rows whose prediction is right. */
export function accuracyOf(predicted: ArrayLike<number>, { labels }: LabeledFeatures): number {
  return labels.reduce((right, label, i) => right + (predicted[i] === label ? 1 : 0), 0) / labels.length;
}
