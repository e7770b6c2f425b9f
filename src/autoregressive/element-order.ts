import { OptionError } from "../errors.ts";
import { Random } from "../random.ts";
import { constant, int64, type Tensor, topK } from "../tensor/index.ts";

/** Orders by name: that of the flattened sample, or a random one. */
export const ELEMENT_ORDERS = ["natural", "random"] as const;

export type ElementOrder = (typeof ELEMENT_ORDERS)[number];

/** The element at each place. @param seed of a random order */
export function elementOrder(kind: ElementOrder, dimensions: number, seed: number): readonly number[] {
  return kind === "random"
    ? Array.from(new Random(seed).split("order").permutation(dimensions))
    : Array.from({ length: dimensions }, (_, i) => i);
}

/** @throws OptionError where an order does not name each element once */
export function checkOrder(order: readonly number[], dimensions: number): void {
  const named = new Set(order);
  if (order.length === dimensions && order.every((i) => i >= 0 && i < dimensions && named.has(i))) {
    if (named.size === dimensions && order.every(Number.isInteger)) return;
  }
  throw new OptionError(`order [${order}]: must name each of ${dimensions} elements, from 0 on, once`);
}

/** An order as the programs take it, int64 [D]. */
export function orderTensor(order: readonly number[]): Tensor {
  return constant(int64(order, [order.length]));
}

/** The place of each element of an order, int64 [D]: the inverse permutation. */
export function placesOf(order: Tensor): Tensor {
  return topK(order.cast("float32"), Number(order.shape[0]), -1, "smallest").indices;
}

/** A random order, another at each run of the program, int64 [D]. @param keys uniform numbers, [D] */
export function orderByKeys(keys: Tensor): Tensor {
  return topK(keys, Number(keys.shape[0])).indices;
}

/** A whole number below `count` from a uniform number on [0, 1), as floats; rounding does not lead to `count` itself. */
export function uniformInteger(u: Tensor, count: Tensor | number): Tensor {
  const top = typeof count === "number" ? count - 1 : count.sub(1);
  return u.mul(count).floor().minimum(top);
}
