import { OptionError } from "../errors.ts";
import { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";

export interface SlicedWassersteinOptions {
  /** Number of random directions. */
  readonly projections?: number;
  /** Seed of the directions. */
  readonly seed?: number;
}

/** Rows of a sample set, with all axes but the first counted as one. @throws OptionError for an empty set */
export function rowsOf(samples: NdArray<"float32">): { readonly count: number; readonly size: number } {
  const [count = 0, ...rest] = samples.shape;
  if (count === 0) throw new OptionError("a distance between sample sets needs at least one sample in each");
  return { count, size: rest.reduce((product, length) => product * length, 1) };
}

/**
 * Sliced 2-Wasserstein distance between two sets of samples, [n, …] and [m, …]: the root of the mean, over random unit
 * directions θ, of the squared one-dimensional distance W₂²(θ·x, θ·y) between the projected sets. In units of the
 * data; 0 for equal sets. Rabin, Peyré, Delon and Bernot 2011, "Wasserstein barycenter and its application to texture
 * mixing".
 * @throws OptionError where the samples of the sets differ in size or a set is empty
 */
export function slicedWasserstein(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  { projections = 128, seed = 0 }: SlicedWassersteinOptions = {},
): number {
  const [left, right] = [rowsOf(x), rowsOf(y)];
  if (left.size !== right.size) {
    throw new OptionError(
      `slicedWasserstein: samples of ${left.size} and of ${right.size} numbers do not compare`,
    );
  }
  let total = 0;
  for (let k = 0; k < projections; k++) {
    const direction = new Float64Array(left.size);
    new Random(seed).split(k).fillNormal(direction);
    const length = Math.hypot(...direction);
    const unit = direction.map((value) => value / length);
    total += squaredQuantileDistance(project(x.data, left.count, unit), project(y.data, right.count, unit));
  }
  return Math.sqrt(total / projections);
}

/** Projections of all rows on a direction, sorted. */
function project(data: Float32Array, count: number, direction: Float64Array): Float64Array {
  const size = direction.length;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let dot = 0;
    for (let k = 0; k < size; k++) dot += (data[i * size + k] ?? 0) * (direction[k] ?? 0);
    values[i] = dot;
  }
  return values.sort();
}

/** ∫₀¹ (F⁻¹(q) − G⁻¹(q))² dq of two sorted samples, exactly: both quantile functions are steps. */
function squaredQuantileDistance(a: Float64Array, b: Float64Array): number {
  let [i, j, level, total] = [0, 0, 0, 0];
  while (i < a.length && j < b.length) {
    const next = Math.min((i + 1) / a.length, (j + 1) / b.length);
    total += (next - level) * ((a[i] ?? 0) - (b[j] ?? 0)) ** 2;
    level = next;
    // Compared as products of integers: quotients of equal levels may differ in the last bit.
    const order = (i + 1) * b.length - (j + 1) * a.length;
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return total;
}
