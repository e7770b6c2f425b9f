import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { arange, type Dim, type Tensor, uniform } from "../../tensor/index.ts";
import { between, chosen } from "./draws.ts";

// Parts of images, enlarged to the size of the whole and maybe mirrored. Bilinear interpolation parts into rows and columns, so that a
// view is Wy · X · Wxᵀ with a matrix of weights for each axis: two products, whatever the part.

/** A part of each image, in pixels: numbers [n]. Sides need not be whole. */
export interface Crop {
  readonly top: Tensor;
  readonly left: Tensor;
  /** At least 1. */
  readonly height: Tensor;
  readonly width: Tensor;
  /** 1 where the part is mirrored left to right; default: none is. */
  readonly mirrored?: Tensor;
}

/** How parts are drawn. */
export interface CropOptions {
  /** Smallest share of the image's area; the largest is 1. */
  readonly area: number;
  /** Largest ratio of the sides of a part to those of the image, r; drawn from 1/r to r, even in its logarithm. */
  readonly ratio: number;
  /** Probability of being mirrored. */
  readonly flip: number;
}

/**
 * Weights of linear interpolation along an axis, [n, size, size]: location i of the part stands at start + (i + ½) · length / size − ½ of the
 * image, held within the part, and location j of the image counts max(0, 1 − |that − j|).
 */
function axisWeights(start: Tensor, length: Tensor, size: number, mirrored?: Tensor): Tensor {
  const column = (values: Tensor): Tensor => values.reshape([dimAt(values, 0), 1, 1]);
  const locations = arange(0, size, 1, "float32");
  const own = locations.reshape([1, size, 1]);
  const read =
    mirrored === undefined
      ? own
      : own.add(
          own
            .mul(-2)
            .add(size - 1)
            .mul(column(mirrored)),
        );
  const inPart = read
    .add(0.5)
    .mul(column(length).mul(1 / size))
    .sub(0.5);
  const at = inPart.maximum(0).minimum(column(length).sub(1)).add(column(start));
  return at.sub(locations).abs().neg().add(1).relu();
}

/**
 * A part of each image by bilinear interpolation, as large as the whole image: x [n, c, h, w] → [n, c, h, w]. With sides in whole pixels
 * equal to torchvision's `resized_crop`. No gradient flows to the choice of the part.
 * @throws ShapeError
 */
export function cropAndResize(x: Tensor, { top, left, height, width, mirrored }: Crop): Tensor {
  const [n, channels] = [dimAt(x, 0), sizeAt("cropAndResize", x, 1)];
  const [rows, columns] = [sizeAt("cropAndResize", x, 2), sizeAt("cropAndResize", x, 3)];
  const across = axisWeights(left, width, columns, mirrored);
  const down = axisWeights(top, height, rows);
  const narrowed = x.reshape([n, channels * rows, columns]).matmul(across, { transposeB: true });
  return down.unsqueeze(1).matmul(narrowed.reshape([n, channels, rows, columns]));
}

/**
 * A random part of each of n images (Szegedy et al. 2015, "Going deeper with convolutions", section 6; Chen et al. 2020, "SimCLR", appendix
 * A): a share of the area drawn from [area, 1], a ratio of the sides, and a position evenly among those where the part lies inside. Sides
 * are limited to those of the image, at least 1 pixel, and are not rounded.
 * @throws ShapeError
 */
export function randomCrop(
  n: Dim,
  [rows, columns]: readonly [number, number],
  { area, ratio, flip }: CropOptions,
): Crop {
  const side = between(n, area, 1).sqrt();
  const stretch = between(n, -0.5 * Math.log(ratio), 0.5 * Math.log(ratio)).exp();
  const height = side.div(stretch).mul(rows).clamp(1, rows);
  const width = side.mul(stretch).mul(columns).clamp(1, columns);
  const position = (length: Tensor, size: number): Tensor => uniform([n]).mul(length.neg().add(size));
  return {
    top: position(height, rows),
    left: position(width, columns),
    height,
    width,
    ...(flip > 0 && { mirrored: chosen(n, flip) }),
  };
}
