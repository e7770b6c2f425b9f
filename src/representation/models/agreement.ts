import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { arange, oneHot, type Tensor } from "../../tensor/index.ts";

// Measures of two views' vectors that several losses share.

/** Squares below this count as this, so that the direction of a vector of zeros has a gradient. */
const TINY = 1e-12;

/** Vectors of length 1: [n, d] → [n, d]. */
export function directions(z: Tensor): Tensor {
  return z.div(z.square().sum(1, true).maximum(TINY).sqrt());
}

/** Columns without their mean over the batch. */
export function centered(z: Tensor): Tensor {
  return z.sub(z.mean(0, true));
}

/** Elements of a square matrix beside its diagonal, which becomes 0. */
export function offDiagonal(matrix: Tensor): Tensor {
  const size = sizeAt("offDiagonal", matrix, 0);
  return matrix.mul(oneHot(arange(0, size), size).neg().add(1));
}

/** The diagonal of a square matrix, [d, d] → [d]. */
export function diagonal(matrix: Tensor): Tensor {
  const size = sizeAt("diagonal", matrix, 0);
  return matrix.mul(oneHot(arange(0, size), size)).sum(1);
}

/**
 * How far codes are spread, a scalar: the mean deviation over the batch of the units of codes of length 1, times √d. It is 0 where
 * all codes have the same direction, which is the collapse that learning without labels must avoid, and 1 where directions are even
 * (Chen and He 2021, "SimSiam", section 4.1).
 */
export function spreadOf(codes: Tensor): Tensor {
  const units = Number(dimAt(codes, 1));
  return directions(codes).variance(0).maximum(TINY).sqrt().mean().mul(Math.sqrt(units)).stopGradient();
}
