import { type Tensor, uniform } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** Number of values of a byte. */
export const BYTE_LEVELS = 256;

/**
 * Uniform dequantisation: whole numbers 0 … 255 become reals on [0, 256) by adding noise from [0, 1)ᴰ. The density of
 * the result, averaged over the noise, bounds the probability of the bytes from below (Theis et al. 2016, section 3.1).
 * @param noise drawn by the runtime unless given
 */
export function dequantise(bytes: Tensor, noise: Tensor = uniform(bytes.shape)): Tensor {
  return bytes.add(noise);
}

/** y = x · factor on rows of known size; the log-determinant is D log |factor|. */
export class Scaling implements Transform {
  readonly factor: number;
  readonly dimensions: number;

  constructor(factor: number, dimensions: number) {
    this.factor = factor;
    this.dimensions = dimensions;
  }

  forward(x: Tensor): Forward {
    const change = this.dimensions * Math.log(Math.abs(this.factor));
    return { y: x.mul(this.factor), logDet: noVolumeChange(x).add(change) };
  }

  inverse(y: Tensor): Inverse {
    const change = -this.dimensions * Math.log(Math.abs(this.factor));
    return { x: y.mul(1 / this.factor), logDet: noVolumeChange(y).add(change) };
  }
}

/** From byte units [0, 256) to [0, 1), as NICE and its successors scale images. */
export function byteScaling(dimensions: number): Scaling {
  return new Scaling(1 / BYTE_LEVELS, dimensions);
}
