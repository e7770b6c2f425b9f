import { dimAt, sizeAt } from "../../tensor/graph.ts";
import {
  arange,
  constant,
  type Dim,
  gather,
  gatherElements,
  int64,
  normal,
  slice,
  type Tensor,
  topK,
  uniform,
  where,
} from "../../tensor/index.ts";
import { between } from "./draws.ts";

// What hides a part of a sample: noise, masks, values of other rows.

/** Gaussian noise of this deviation on every number. */
export function addNoise(x: Tensor, deviation: number): Tensor {
  return x.add(normal(x.shape).mul(deviation));
}

/**
 * 0 in a square of each image and 1 elsewhere, [n, 1, h, w] (DeVries and Taylor 2017, "Cutout"): the square's center is any location, so that
 * a part of it may lie outside.
 * @param side of the square, relative to the shorter side of the image
 */
export function cutoutMask(x: Tensor, side: number): Tensor {
  const n = dimAt(x, 0);
  const [rows, columns] = [sizeAt("cutoutMask", x, 2), sizeAt("cutoutMask", x, 3)];
  const half = (side * Math.min(rows, columns)) / 2;
  const isFar = (size: number): Tensor =>
    between(n, -0.5, size - 0.5)
      .unsqueeze(1)
      .sub(arange(0, size, 1, "float32"))
      .abs()
      .greater(half)
      .cast("float32");
  // Far in either direction: max(a, b) of zeros and ones.
  return isFar(rows)
    .reshape([n, 1, rows, 1])
    .maximum(isFar(columns).reshape([n, 1, 1, columns]));
}

/** Images with a square in which every channel has its mean over the image. */
export function cutout(x: Tensor, side: number): Tensor {
  const kept = cutoutMask(x, side);
  return x.mul(kept).add(x.mean([2, 3], true).mul(kept.neg().add(1)));
}

/** Rows of ones and zeros, [n, count], with exactly so many zeros each, at random. */
function rowMasks(n: Dim, count: number, zeros: number): Tensor {
  const draws = uniform([n, count]);
  if (zeros === 0) return draws.greaterEqual(0).cast("float32");
  // Uniforms of 24 bits are hardly ever equal where it counts.
  return draws.less(slice(topK(draws, zeros).values, 1, zeros - 1)).cast("float32");
}

/**
 * 0 in a share of the patches of each image and 1 elsewhere, [n, 1, h, w] (He et al. 2022, "Masked autoencoders", section 3): exactly
 * `round(share · patches)`, at random. Where the side of a patch does not divide that of the image, the last patches are smaller.
 * @param patch side of a patch in pixels
 * @throws ShapeError
 */
export function patchMask(x: Tensor, share: number, patch: number): Tensor {
  const n = dimAt(x, 0);
  const [rows, columns] = [sizeAt("patchMask", x, 2), sizeAt("patchMask", x, 3)];
  const [down, across] = [Math.ceil(rows / patch), Math.ceil(columns / patch)];
  const patches = rowMasks(n, down * across, Math.round(share * down * across)).reshape([n, 1, down, across]);
  const patchOf = (size: number): Tensor =>
    constant(
      int64(
        Array.from({ length: size }, (_, i) => Math.floor(i / patch)),
        [size],
      ),
    );
  return gather(gather(patches, patchOf(rows), 2), patchOf(columns), 3);
}

/**
 * 0 for a share of the columns of each row and 1 elsewhere, [n, D]: exactly `round(share · columns)`, at random.
 * @param sizes how many of a row's numbers each column takes; D in all
 */
export function columnMask(x: Tensor, share: number, sizes: readonly number[]): Tensor {
  const columns = rowMasks(dimAt(x, 0), sizes.length, Math.round(share * sizes.length));
  return gather(columns, columnOfNumber(sizes), 1);
}

/** The column of each of a row's numbers, [D] in int64. */
function columnOfNumber(sizes: readonly number[]): Tensor {
  const columns = sizes.flatMap((size, column) => new Array<number>(size).fill(column));
  return constant(int64(columns, [columns.length]));
}

/**
 * Rows in which a share of the columns have the values of other rows of the batch, drawn for each column anew, so that they are draws of its
 * marginal distribution (Bahri et al. 2022, "SCARF", section 3): x [n, D] → [n, D].
 * @param sizes how many of a row's numbers each column takes, which are replaced together; D in all
 * @throws ShapeError where the number of rows is not known
 */
export function swapColumns(x: Tensor, share: number, sizes: readonly number[]): Tensor {
  const n = sizeAt("swapColumns", x, 0);
  const kept = columnMask(x, share, sizes);
  // A uniform just below 1 may round to n.
  const rows = uniform([n, sizes.length])
    .mul(n)
    .floor()
    .minimum(n - 1)
    .cast("int64");
  const others = gatherElements(x, gather(rows, columnOfNumber(sizes), 1), 0);
  return where(kept.greater(0), x, others);
}
