import { OptionError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { rowsOf } from "./sliced-wasserstein.ts";

/**
 * Squared energy distance between two sets of samples, [n, …] and [m, …]: 2 E|X − Y| − E|X − X′| − E|Y − Y′| with
 * Euclidean distances (Székely and Rizzo 2013, "Energy statistics", equation 5). The last two means are over distinct
 * pairs, so that the estimate is unbiased: about 0, of either sign, for sets from the same distribution. Takes time in
 * proportion to (n + m)².
 * @throws OptionError where the samples of the sets differ in size or a set has fewer than two samples
 */
export function energyDistance(x: NdArray<"float32">, y: NdArray<"float32">): number {
  const [left, right] = [rowsOf(x), rowsOf(y)];
  if (left.size !== right.size) {
    throw new OptionError(
      `energyDistance: samples of ${left.size} and of ${right.size} numbers do not compare`,
    );
  }
  if (left.count < 2 || right.count < 2)
    throw new OptionError("energyDistance: needs two samples in each set");
  const across = sumOfDistances(x.data, y.data, left.size) / (left.count * right.count);
  const withinX = sumOfDistances(x.data, x.data, left.size) / (left.count * (left.count - 1));
  const withinY = sumOfDistances(y.data, y.data, left.size) / (right.count * (right.count - 1));
  return 2 * across - withinX - withinY;
}

function sumOfDistances(a: Float32Array, b: Float32Array, size: number): number {
  let total = 0;
  for (let i = 0; i < a.length; i += size) {
    for (let j = 0; j < b.length; j += size) {
      let squared = 0;
      for (let k = 0; k < size; k++) squared += ((a[i + k] ?? 0) - (b[j + k] ?? 0)) ** 2;
      total += Math.sqrt(squared);
    }
  }
  return total;
}
