import { Random } from "../random.ts";

/** How the blocks of an autoregressive flow order the elements of a sample. */
export const ELEMENT_ORDERS = ["alternating", "same", "random"] as const;

export type ElementOrders = (typeof ELEMENT_ORDERS)[number];

/**
 * The order of dependence of each block: the elements' own and its reverse in turn, their own in every block, or a random
 * one for each, the same at every call.
 */
export function elementOrders(
  kind: ElementOrders,
  blocks: number,
  dimensions: number,
): readonly (readonly number[])[] {
  const own = Array.from({ length: dimensions }, (_, i) => i);
  const random = new Random(0).split("order");
  return Array.from({ length: blocks }, (_, block) => {
    if (kind === "random") return Array.from(random.split(block).permutation(dimensions));
    return kind === "alternating" && block % 2 === 1 ? own.toReversed() : own;
  });
}
