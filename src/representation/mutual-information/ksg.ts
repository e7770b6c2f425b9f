import { OptionError } from "../../errors.ts";
import type { PairedRows } from "./pairs.ts";

/** Neighbors where no number is given, as in most uses. */
export const USUAL_NEIGHBORS = 3;

/**
 * Mutual information in nats from k nearest neighbors, the first estimator of Kraskov, Stögbauer and Grassberger 2004 (Estimating mutual information,
 * arXiv:cond-mat/0305641, equation 8): ψ(k) + ψ(N) − ⟨ψ(nₓ + 1) + ψ(n_y + 1)⟩, where nₓ counts the rows whose x is nearer than the k-th neighbor
 * in both variables. Distances are the largest difference of a coordinate. Its bias is small for few coordinates and values up to a few nats, and large
 * and downward for many coordinates or strong dependence. It takes N² comparisons.
 * @throws OptionError where there are not more rows than neighbors
 */
export function ksgMutualInformation({ x, y, count }: PairedRows, neighbors = USUAL_NEIGHBORS): number {
  if (!Number.isInteger(neighbors) || neighbors < 1 || count <= neighbors) {
    throw new OptionError(`ksg: ${neighbors} neighbors need more than ${neighbors} rows; there are ${count}`);
  }
  const [first, second] = [x.length / count, y.length / count];
  const [inX, inY] = [new Float64Array(count), new Float64Array(count)];
  const nearest = new Float64Array(neighbors);
  const digammas = digammaOfIntegers(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    distancesFrom(x, first, i, inX);
    distancesFrom(y, second, i, inY);
    nearest.fill(Number.POSITIVE_INFINITY);
    for (let j = 0; j < count; j++) {
      if (j === i) continue;
      const distance = Math.max(inX[j] ?? 0, inY[j] ?? 0);
      if (distance < (nearest[neighbors - 1] ?? 0)) insert(nearest, distance);
    }
    const radius = nearest[neighbors - 1] ?? 0;
    let [nearX, nearY] = [0, 0];
    for (let j = 0; j < count; j++) {
      if (j === i) continue;
      if ((inX[j] ?? 0) < radius) nearX += 1;
      if ((inY[j] ?? 0) < radius) nearY += 1;
    }
    sum += (digammas[nearX + 1] ?? 0) + (digammas[nearY + 1] ?? 0);
  }
  return (digammas[neighbors] ?? 0) + (digammas[count] ?? 0) - sum / count;
}

/** Largest difference of a coordinate between row i and each row. */
function distancesFrom(rows: Float64Array, size: number, i: number, target: Float64Array): void {
  for (let j = 0; j < target.length; j++) {
    let largest = 0;
    for (let k = 0; k < size; k++) {
      const difference = Math.abs((rows[i * size + k] ?? 0) - (rows[j * size + k] ?? 0));
      if (difference > largest) largest = difference;
    }
    target[j] = largest;
  }
}

/** Puts a value in its place in ascending numbers, of which the last falls out. */
function insert(ascending: Float64Array, value: number): void {
  let place = ascending.length - 1;
  for (; place > 0 && (ascending[place - 1] ?? 0) > value; place--) {
    ascending[place] = ascending[place - 1] ?? 0;
  }
  ascending[place] = value;
}

const EULER = 0.5772156649015329;

/** ψ(m) for m = 1 … count + 1, at index m: ψ(1) = −γ, ψ(m + 1) = ψ(m) + 1 / m. */
function digammaOfIntegers(count: number): Float64Array {
  const values = new Float64Array(count + 2);
  values[1] = -EULER;
  for (let m = 1; m <= count; m++) values[m + 1] = (values[m] ?? 0) + 1 / m;
  return values;
}
