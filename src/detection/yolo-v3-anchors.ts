import { OptionError } from "../errors.ts";
import { constant, float32, type Tensor } from "../tensor/index.ts";
import { type AnchorGrid, anchorLevels, clusterAnchors } from "./anchors.ts";
import type { Size } from "./box-formats.ts";

/** The anchors of all levels. */
export interface YoloV3Anchors {
  readonly levels: readonly AnchorGrid[];
  /** [k, 4], level by level, cell by cell, shape by shape. */
  readonly boxes: Tensor;
  /** Side of each anchor's cell, [k, 1]. */
  readonly strides: Tensor;
}

export interface AnchorOptions {
  /** Width and height of each anchor, smallest first. */
  readonly anchors?: readonly number[] | undefined;
  readonly anchorsPerLevel: number;
}

/**
 * The shapes of anchors, smallest first: those of the options; else clusters of the shapes of training boxes (Redmon and Farhadi
 * 2017, section 2, "Dimension Clusters"); else, where those are too few to be clustered, squares from 4 strides of each level on.
 * @throws OptionError where the options do not have a width and a height for each anchor
 */
export function anchorShapesOf(
  { anchors, anchorsPerLevel }: AnchorOptions,
  strides: readonly number[],
  boxShapes: readonly Size[],
): readonly Size[] {
  const count = anchorsPerLevel * strides.length;
  if (anchors !== undefined) {
    if (anchors.length !== 2 * count) {
      throw new OptionError(
        `option anchors: ${anchors.length} numbers; ${count} anchors (levels × anchorsPerLevel) need ${2 * count}, a width and a height each`,
      );
    }
    return Array.from({ length: count }, (_, i) => ({
      width: anchors[2 * i] ?? 0,
      height: anchors[2 * i + 1] ?? 0,
    }));
  }
  const different = new Set(boxShapes.map(({ width, height }) => `${width}×${height}`)).size;
  if (different >= count) {
    const boxes = Float64Array.from(boxShapes.flatMap(({ width, height }) => [0, 0, width, height]));
    return clusterAnchors(boxes, count).shapes;
  }
  return strides.flatMap((stride) =>
    Array.from({ length: anchorsPerLevel }, (_, i) => {
      const side = 4 * stride * 2 ** (i / anchorsPerLevel);
      return { width: side, height: side };
    }),
  );
}

/** Anchors of levels as tensors. */
export function yoloV3Anchors(levels: readonly AnchorGrid[]): YoloV3Anchors {
  const { boxes, strides } = anchorLevels(levels);
  return {
    levels,
    boxes: constant(float32(boxes, [strides.length, 4])),
    strides: constant(float32(strides, [strides.length, 1])),
  };
}
