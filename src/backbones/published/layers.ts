import { Conv2d } from "../../nn/convolution.ts";
import { fans, normal } from "../../nn/initializers.ts";
import type { BatchNorm2d } from "../../nn/normalization.ts";
import type { Initializer, Tensor } from "../../tensor/index.ts";
import type { Backbone, FeatureLevel } from "../backbone.ts";
import { convolveBranches, type Dilations, PLAIN } from "../dilations.ts";

/** What a backbone that is built as it was published is made from: its widths and depths are given. */
export interface PublishedOptions {
  /** The stride at which it ends; default: 32. */
  readonly coarsestStride?: number;
  /** Whether the batch norms of a stage, 1 … 5, use the statistics they are given even in training; default: none. */
  readonly frozenNorm?: (stage: number) => boolean;
}

/** A backbone with the layout and the names of a published network. */
export interface PublishedBackbone extends Backbone {
  readonly levels: readonly FeatureLevel[];
}

/** Strides at which the stages after the stem end. */
export const STRIDES = [4, 8, 16, 32] as const;

/**
 * He et al. 2015, section 2.2: normal with deviation √(2 / fanOut), which keeps the size of gradients; of a grouped convolution the
 * outputs of one group count.
 */
function fanOutNormal(groups: number): Initializer {
  return (target, shape, random) =>
    normal(Math.sqrt((2 * groups) / fans(shape).fanOut))(target, shape, random);
}

/** How a convolution of a published network differs from a 1×1 one. */
export interface PlainConvolution {
  /** Default: 1. */
  readonly kernel?: number;
  /** Default: 1. */
  readonly stride?: number;
  /** Default: 1. */
  readonly groups?: number;
  /**
   * Zeros around the map: as many on either side (PyTorch), or, where the map is halved, one less above and to the left
   * (TensorFlow's "same", for maps of even sides); default: even.
   */
  readonly padding?: "even" | "same";
}

/** A convolution without bias, as they stand before batch normalization. */
export function convolution(
  inputs: number,
  outputs: number,
  { kernel = 1, stride = 1, groups = 1, padding = "even" }: PlainConvolution = {},
): Conv2d {
  const after = (kernel - 1) / 2;
  // "Same" wants kernel − stride zeros in all where the stride divides the side; what is odd of them comes last.
  const before = padding === "same" && stride === 2 ? after - 1 : after;
  return new Conv2d(inputs, outputs, kernel, {
    stride,
    padding: [before, before, after, after],
    groups,
    bias: false,
    initializeWeight: fanOutNormal(groups),
  });
}

/** A convolution and its normalization, by the indices 0 and 1 that PyTorch's sequences give them. */
export type NormalizedConvolution = readonly [Conv2d, BatchNorm2d];

/** Both applied. @param dilations of the branches that x is stacked in. @throws ShapeError */
export function applied(
  [conv, norm]: NormalizedConvolution,
  x: Tensor,
  dilations: Dilations = PLAIN,
): Tensor {
  return norm.forward(convolveBranches(conv, x, dilations));
}
