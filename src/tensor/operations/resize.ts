import { OptionError } from "../../errors.ts";
import { pair } from "../convolution/convolution.ts";
import { shapeError, sizeAt, type Tensor } from "../graph.ts";
import { constant, filled } from "../leaves.ts";
import { matmul } from "./matmul.ts";
import { upsampleNearest } from "./pooling.ts";

/** Weights of the input positions in each output position: rows of a resizing matrix [output, input]. */
type Interpolation = (position: number, from: number, to: number) => readonly (readonly [number, number])[];

// Resizing is linear and separable, so it is one small matrix product an axis, and so is its gradient.
function resizeWith(
  operation: string,
  x: Tensor,
  size: number | readonly [number, number],
  interpolation: Interpolation,
): Tensor {
  if (x.rank !== 4) throw shapeError(operation, [x], "wants [N, C, H, W]");
  const [height, width] = checkedSize(operation, size);
  const matrix = (axis: 2 | 3, to: number): Tensor => {
    const from = sizeAt(operation, x, axis);
    const weights = filled(x.dtype, [to, from], 0);
    for (let i = 0; i < to; i++) {
      for (const [j, weight] of interpolation(i, from, to)) {
        weights.data[i * from + j] = Number(weights.data[i * from + j] ?? 0) + weight;
      }
    }
    return constant(weights);
  };
  const wide = x.shape[3] === width ? x : matmul(x, matrix(3, width), { transposeB: true });
  return x.shape[2] === height ? wide : matmul(matrix(2, height), wide);
}

function checkedSize(operation: string, size: number | readonly [number, number]): readonly [number, number] {
  const sizes = pair(size);
  if (sizes.some((value) => !Number.isInteger(value) || value < 1)) {
    throw new OptionError(`${operation}: the size [${sizes}] must be positive integers`);
  }
  return sizes;
}

/**
 * Resizes maps [N, C, H, W] to a size [height, width] by the nearest input element: output i takes input ⌊i·H / H'⌋, as
 * PyTorch's `interpolate` in mode nearest.
 * @throws ShapeError
 * @throws OptionError where the size is not positive
 */
export function resizeNearest(x: Tensor, size: number | readonly [number, number]): Tensor {
  const [height, width] = checkedSize("resizeNearest", size);
  const factors = [height / Number(x.shape[2]), width / Number(x.shape[3])] as const;
  if (x.rank === 4 && factors.every(Number.isInteger)) return upsampleNearest(x, factors);
  return resizeWith("resizeNearest", x, size, (i, from, to) => [[Math.floor((i * from) / to), 1]]);
}

/**
 * Resizes maps [N, C, H, W] to a size [height, width] by bilinear interpolation with pixel centers at half integers, as
 * PyTorch's `interpolate` in mode bilinear with align_corners false (and without antialiasing).
 * @throws ShapeError
 * @throws OptionError where the size is not positive
 */
export function resizeBilinear(x: Tensor, size: number | readonly [number, number]): Tensor {
  return resizeWith("resizeBilinear", x, size, (i, from, to) => {
    const center = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(Math.floor(center), from - 1);
    const high = Math.min(low + 1, from - 1);
    return [
      [low, 1 - (center - low)],
      [high, center - low],
    ];
  });
}
