import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { arange, constant, float32, type Tensor } from "../../tensor/index.ts";
import { between, chosen } from "./draws.ts";

/**
 * Which location each of 2r + 1 weights of a kernel reads along an axis, as zeros and ones [2r + 1, size · size]: weight k of location i reads
 * i + k − r, mirrored at the border without its element.
 */
function reflectedReads(radius: number, size: number): Tensor {
  const reads = new Float32Array((2 * radius + 1) * size * size);
  for (let k = 0; k <= 2 * radius; k++) {
    for (let i = 0; i < size; i++) {
      const at = Math.abs(i + k - radius);
      const read = at < size ? at : 2 * (size - 1) - at;
      reads[(k * size + i) * size + read] = 1;
    }
  }
  return constant(float32(reads, [2 * radius + 1, size * size]));
}

/** Half the width of a kernel over a tenth of an image's side, at least 1 (Chen et al. 2020, appendix A). */
export function blurRadius(side: number): number {
  return Math.max(1, Math.round(0.05 * side));
}

/**
 * Images blurred by Gaussians: x [n, c, h, w] with deviations in pixels [n] and a kernel of 2r + 1 weights a side. As Gaussians part into rows
 * and columns, and mirroring at the border is linear, a blur is Gy · X · Gxᵀ. Equal to torchvision's `gaussian_blur`.
 * @param applied 1 where an image is blurred, 0 where it stays as it is, [n]; default: all are
 * @throws ShapeError where x is no such tensor or the image no larger than the radius
 */
export function gaussianBlur(x: Tensor, deviation: Tensor, radius: number, applied?: Tensor): Tensor {
  const [n, channels] = [dimAt(x, 0), sizeAt("gaussianBlur", x, 1)];
  const [rows, columns] = [sizeAt("gaussianBlur", x, 2), sizeAt("gaussianBlur", x, 3)];
  const offsets = arange(-radius, radius + 1, 1, "float32");
  const powers = offsets.square().mul(-0.5).div(deviation.square().unsqueeze(1));
  const gaussian = powers.softmax(1);
  const kernel =
    applied === undefined
      ? gaussian
      : offsets
          .equal(0)
          .cast("float32")
          .add(gaussian.sub(offsets.equal(0).cast("float32")).mul(applied.unsqueeze(1)));
  const weights = (size: number): Tensor =>
    kernel.matmul(reflectedReads(radius, size)).reshape([n, size, size]);
  const across = x.reshape([n, channels * rows, columns]).matmul(weights(columns), { transposeB: true });
  return weights(rows)
    .unsqueeze(1)
    .matmul(across.reshape([n, channels, rows, columns]));
}

/** Deviations of blurs, in pixels (Chen et al. 2020, appendix A). */
const LEAST_DEVIATION = 0.1;
const MOST_DEVIATION = 2;

/** A blur of a deviation from 0.1 to 2 pixels, with this probability. */
export function randomBlur(x: Tensor, probability: number): Tensor {
  const n = dimAt(x, 0);
  const radius = blurRadius(Math.min(sizeAt("randomBlur", x, 2), sizeAt("randomBlur", x, 3)));
  return gaussianBlur(x, between(n, LEAST_DEVIATION, MOST_DEVIATION), radius, chosen(n, probability));
}
