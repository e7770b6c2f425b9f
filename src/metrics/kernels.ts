import { OptionError } from "../errors.ts";
import type { Rows } from "./rows.ts";
import { forEachRow, type PairValue } from "./rows.ts";

/**
 * A kernel k(x, y) of two samples of d numbers.
 *
 * - `gaussian`: exp(−|x − y|² / 2σ²)
 * - `laplacian`: exp(−Σ |xᵢ − yᵢ| / σ)
 * - `inverse-multiquadric`: 1 / √(1 + |x − y|² / σ²)
 * - `linear`: xᵀy
 * - `polynomial`: (γ xᵀy + c)ᵖ
 *
 * The first three have bandwidths σ; with several, the kernel is the mean over them. By default they are ¼, ½, 1, 2 and
 * 4 times the median distance between two samples of both sets together.
 */
export type Kernel =
  | {
      readonly kind: "gaussian" | "laplacian" | "inverse-multiquadric";
      /** Bandwidths σ, in units of the data. */
      readonly bandwidths?: readonly number[];
    }
  | { readonly kind: "linear" }
  | {
      readonly kind: "polynomial";
      /** p, a whole number (default: 3). */
      readonly degree?: number;
      /** γ (default: 1 / d). */
      readonly scale?: number;
      /** c (default: 1). */
      readonly offset?: number;
    };

/** A kernel as a function of one value for each pair of rows. */
export interface PairKernel {
  readonly value: PairValue;
  of(value: number): number;
  /** None where the kernel has no bandwidth. */
  readonly bandwidths: readonly number[];
}

/** Factors of the median distance, ascending, each twice the one before. */
const FACTORS = [0.25, 0.5, 1, 2, 4];

/** Rows that the median is taken of: all pairs of them are sorted. */
const MEDIAN_ROWS = 1000;

/**
 * A kernel made ready for samples. Its bandwidths come from `pooled`, both sets together.
 * @throws OptionError where a parameter is not acceptable
 */
export function pairKernel(kernel: Kernel, pooled: Rows): PairKernel {
  switch (kernel.kind) {
    case "linear":
      return { value: "innerProduct", of: (product) => product, bandwidths: [] };
    case "polynomial": {
      const { degree = 3, scale = 1 / pooled.size, offset = 1 } = kernel;
      if (!(Number.isInteger(degree) && degree >= 1)) {
        throw new OptionError(`polynomial kernel: degree ${degree} must be a whole number of at least 1`);
      }
      return { value: "innerProduct", of: (product) => (scale * product + offset) ** degree, bandwidths: [] };
    }
    case "gaussian": {
      const bandwidths = bandwidthsOf(kernel, pooled, "squaredDistance");
      const factors = bandwidths.map((sigma) => -1 / (2 * sigma * sigma));
      const of = kernel.bandwidths ? meanOver(factors, Math.exp) : meanOfPowers(factors, 2);
      return { value: "squaredDistance", of, bandwidths };
    }
    case "laplacian": {
      const bandwidths = bandwidthsOf(kernel, pooled, "manhattanDistance");
      const factors = bandwidths.map((sigma) => -1 / sigma);
      const of = kernel.bandwidths ? meanOver(factors, Math.exp) : meanOfPowers(factors, 1);
      return { value: "manhattanDistance", of, bandwidths };
    }
    case "inverse-multiquadric": {
      const bandwidths = bandwidthsOf(kernel, pooled, "squaredDistance");
      const factors = bandwidths.map((sigma) => 1 / (sigma * sigma));
      return { value: "squaredDistance", of: meanOver(factors, (z) => 1 / Math.sqrt(1 + z)), bandwidths };
    }
  }
}

function meanOver(factors: readonly number[], kernel: (z: number) => number): (value: number) => number {
  return (value) => {
    let sum = 0;
    for (const factor of factors) sum += kernel(value * factor);
    return sum / factors.length;
  };
}

/**
 * The mean of exponentials whose factors grow from the last to the first, each by 2^`squarings`: one exponential and its
 * repeated squares, in a fifth of the time.
 */
function meanOfPowers(factors: readonly number[], squarings: number): (value: number) => number {
  const smallest = factors.at(-1) ?? 0;
  return (value) => {
    let term = Math.exp(value * smallest);
    let sum = term;
    for (let k = 1; k < factors.length; k++) {
      for (let s = 0; s < squarings; s++) term *= term;
      sum += term;
    }
    return sum / factors.length;
  };
}

function bandwidthsOf(
  { kind, bandwidths }: Extract<Kernel, { readonly bandwidths?: readonly number[] }>,
  pooled: Rows,
  value: "squaredDistance" | "manhattanDistance",
): readonly number[] {
  if (bandwidths === undefined) {
    const median = medianDistance(pooled, value);
    return FACTORS.map((factor) => factor * median);
  }
  if (
    bandwidths.length === 0 ||
    bandwidths.some((sigma) => !(sigma > 0 && sigma < Number.POSITIVE_INFINITY))
  ) {
    throw new OptionError(`${kind} kernel: bandwidths [${bandwidths}] must be one or more numbers above 0`);
  }
  return bandwidths;
}

/**
 * Median distance between two different rows (Gretton et al. 2012, section 8), of at most 1,000 rows that stand evenly
 * in the set. Where more than half of the distances are 0, it is the median of the others, and 1 where there are none.
 */
function medianDistance(rows: Rows, value: "squaredDistance" | "manhattanDistance"): number {
  const some = evenly(rows, MEDIAN_ROWS);
  const distances = new Float64Array((some.count * (some.count - 1)) / 2);
  let filled = 0;
  const keep = (i: number, values: Float64Array) => {
    for (let j = i + 1; j < values.length; j++) {
      const distance = values[j] ?? 0;
      distances[filled++] = value === "squaredDistance" ? Math.sqrt(distance) : distance;
    }
  };
  forEachRow(some, some, value, keep, true);
  distances.sort();
  return medianOfSorted(distances) || medianOfSorted(distances.filter((distance) => distance > 0)) || 1;
}

function medianOfSorted(values: Float64Array): number {
  const half = values.length / 2;
  return ((values[Math.floor(half - 0.5)] ?? 0) + (values[Math.floor(half)] ?? 0)) / 2;
}

/** At most `most` rows, evenly spaced. */
function evenly(rows: Rows, most: number): Rows {
  const { count, size, data } = rows;
  if (count <= most) return rows;
  const chosen = new Float32Array(most * size);
  for (let i = 0; i < most; i++) {
    const row = Math.floor((i * count) / most);
    chosen.set(data.subarray(row * size, (row + 1) * size), i * size);
  }
  return { count: most, size, data: chosen };
}
