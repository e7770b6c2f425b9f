import { type Tensor, uniform } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** Number of values of a byte. */
export const BYTE_LEVELS = 256;

/** Reals in the places of whole numbers, and what the noise between them costs. */
export interface Dequantised {
  /** bytes + noise, on [0, 256). */
  readonly x: Tensor;
  /** log q(noise | bytes), shape [n], in nats: to be subtracted from the log-density of x. */
  readonly logNoise: Tensor;
}

/**
 * A way to make whole numbers 0 … 255 reals by adding noise from [0, 1)ᴰ. For any density q of the noise,
 * log P(bytes) ≥ E_q[log p(bytes + noise) − log q(noise | bytes)] (Theis et al. 2016, section 3.1; Ho et al. 2019,
 * "Flow++", equation 7).
 */
export interface Dequantiser {
  /** Draws the noise with the runtime's generator. */
  dequantise(bytes: Tensor, context?: Tensor): Dequantised;
}

/** Uniform noise, of log-density 0. */
export const uniformDequantiser: Dequantiser = {
  dequantise: (bytes) => ({ x: bytes.add(uniform(bytes.shape)), logNoise: noVolumeChange(bytes) }),
};

/** y = x · factor on samples of known size; the log-determinant is D log |factor|. */
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
