import type { Conv2d } from "../nn/convolution.ts";
import { concat, split, type Tensor } from "../tensor/index.ts";

// Branches of a trident network, which are stacked in the batch and differ in the dilation of their 3×3 convolutions.

/** How far apart the elements of a kernel are, in each of the branches that are stacked in a batch. */
export type Dilations = readonly number[];

/** A network without branches. */
export const PLAIN: Dilations = [1];

/** A map for each branch: [n, C, H, W] → [branches · n, C, H, W], branch by branch. */
export function stackedMaps(x: Tensor, { length }: Dilations): Tensor {
  return concat(new Array<Tensor>(length).fill(x), 0);
}

/**
 * A convolution of maps stacked in branches [branches · n, C, H, W], with the same weight for all: that of each branch has its
 * kernel's elements so many times as far apart, and as much more padding, so that sizes stay. @throws ShapeError
 */
export function convolveBranches(conv: Conv2d, x: Tensor, dilations: Dilations): Tensor {
  const isPointwise = conv.weight.shape.slice(2).every((size) => size === 1);
  if (isPointwise || dilations.every((dilation) => dilation === 1)) return conv.forward(x);
  const parts = dilations.length === 1 ? [x] : split(x, 0, dilations.length);
  return concat(
    parts.map((part, i) => conv.spread(part, dilations[i] ?? 1)),
    0,
  );
}
