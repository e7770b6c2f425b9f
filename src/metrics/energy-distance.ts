import type { NdArray } from "../tensor/array.ts";
import { forEachRow } from "./pairs.ts";
import { comparableRows, type Rows } from "./samples.ts";

/**
 * Squared energy distance between two sets of samples, [n, …] and [m, …]: 2 E|X − Y| − E|X − X′| − E|Y − Y′| with
 * Euclidean distances (Székely and Rizzo 2013, "Energy statistics", equation 5). The last two means are over distinct
 * pairs, so that the estimate is unbiased: about 0, of either sign, for sets from the same distribution. Takes time in
 * proportion to (n + m)².
 * @throws OptionError where the samples of the sets differ in size, are not finite, or a set has fewer than two
 */
export function energyDistance(x: NdArray<"float32">, y: NdArray<"float32">): number {
  const [left, right] = comparableRows("energyDistance", x, y, 2);
  let across = 0;
  forEachRow(left, right, "squaredDistance", (_, values) => {
    for (let j = 0; j < values.length; j++) across += Math.sqrt(values[j] ?? 0);
  });
  return (2 * across) / (left.count * right.count) - meanWithin(left) - meanWithin(right);
}

/** Mean distance of two different rows. */
function meanWithin(rows: Rows): number {
  let sum = 0;
  const add = (i: number, values: Float64Array) => {
    for (let j = i + 1; j < values.length; j++) sum += Math.sqrt(values[j] ?? 0);
  };
  forEachRow(rows, rows, "squaredDistance", add, true);
  return (2 * sum) / (rows.count * (rows.count - 1));
}
