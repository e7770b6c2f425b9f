import type { Random } from "../random.ts";
import { type Tensor, uniform } from "../tensor/index.ts";
import {
  GaussianObservation,
  type LocationScale,
  type ObservationModel,
  ScaledOutputs,
  type ScaleSource,
} from "./observation.ts";

/** Bytes 0 … 255 stand for −1 … 1. */
const HALF_RANGE = 127.5;

/** Bounds of log-scales, in units of the half range; the lower one is that of PixelCNN++, an eighth of a byte. */
const SCALES = [-7, 7] as const;

/** Bytes on [−1, 1]. */
export function byteToUnit(x: Tensor): Tensor {
  return x.mul(1 / HALF_RANGE).sub(1);
}

/**
 * Logarithm of the probability of bytes under logistics of location μ and scale s on [−1, 1], element by element:
 * P(x) = σ(a) − σ(b) with a and b the distances (x ± ½ − μ) / s of the edges of the byte's interval, of which the lowest
 * reaches down to −∞ and the highest up to ∞ (Kingma et al. 2016, "Improving Variational Inference with Inverse
 * Autoregressive Flow", section 4.1; Salimans et al. 2017, "PixelCNN++", section 2.1).
 *
 * With the width δ = a − b of an interval, log P = log(1 − e^−δ) − log(1 + e^−a) − log(1 + eᵇ): nothing cancels, and far
 * out in the tails it is linear.
 * @param x bytes, whole numbers, which broadcast with the location
 */
export function discretisedLogisticLogProb(x: Tensor, { location, logScale }: LocationScale): Tensor {
  const rate = logScale.neg().exp();
  const centerd = byteToUnit(x).sub(location);
  const half = 1 / (2 * HALF_RANGE);
  const above = centerd.add(half).mul(rate).neg().softplus();
  const below = centerd.sub(half).mul(rate).softplus();
  // 1 − e^−δ = 2u / (1 + u) with u = tanh(δ / 2), which keeps its digits where δ is small.
  const u = rate.mul(half).tanh();
  const width = u.log().sub(u.add(1).log()).add(Math.LN2);
  const isNotLowest = x.greater(0.5).cast("float32");
  const isNotHighest = x.less(2 * HALF_RANGE - 0.5).cast("float32");
  return width.mul(isNotLowest.mul(isNotHighest)).sub(above.mul(isNotHighest)).sub(below.mul(isNotLowest));
}

/** Independent bytes from discretised logistics: log p(x | z) is a log-probability, no density. */
export class DiscretisedLogisticObservation implements ObservationModel {
  readonly scaled: ScaledOutputs;

  constructor(size: number, source: ScaleSource) {
    this.scaled = new ScaledOutputs(size, source, SCALES);
  }

  get size(): number {
    return this.scaled.size;
  }

  get outputs(): number {
    return this.scaled.outputs;
  }

  get noiseSize(): number {
    return this.scaled.size;
  }

  seen(x: Tensor): Tensor {
    return byteToUnit(x);
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    return discretisedLogisticLogProb(x, this.scaled.divide(outputs)).sum(-1);
  }

  /**
   * E x = Σ P(x > b) over b from 0 to 254, whose midpoint rule is the integral of σ((μ − t) / s) over t from −1 to 1, which
   * is s log(1 + e^((μ + 1)/s)) − s log(1 + e^((μ − 1)/s)).
   */
  mean(outputs: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    const rate = logScale.neg().exp();
    const above = (edge: number): Tensor => location.sub(edge).mul(rate).softplus();
    return above(-1).sub(above(1)).mul(logScale.exp()).mul(HALF_RANGE);
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillUniform(target);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    const u = noise.clamp(2 ** -24, 1 - 2 ** -24);
    const logit = u.log().sub(u.neg().add(1).log());
    return asBytes(location.add(logit.mul(logScale.exp()))).round();
  }
}

/** From [−1, 1] to bytes, of which all beyond are the lowest or the highest. */
function asBytes(x: Tensor): Tensor {
  return x
    .add(1)
    .mul(HALF_RANGE)
    .clamp(0, 2 * HALF_RANGE);
}

/**
 * Independent Gaussians over dequantized bytes: uniform noise on [0, 1) makes each byte a real number on [0, 256), and the
 * log-density of these, whose mean over the noise is a lower bound on the log-probability of the bytes (Theis et al. 2016,
 * "A note on the evaluation of generative models", section 3.1).
 */
export class DequantizedGaussianObservation implements ObservationModel {
  readonly gaussian: GaussianObservation;

  constructor(size: number, source: ScaleSource) {
    this.gaussian = new GaussianObservation(size, source);
  }

  get size(): number {
    return this.gaussian.size;
  }

  get outputs(): number {
    return this.gaussian.outputs;
  }

  get noiseSize(): number {
    return this.gaussian.noiseSize;
  }

  seen(x: Tensor): Tensor {
    return byteToUnit(x);
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    // Noise on [−½, ½) leaves the byte in the middle of its interval.
    const dequantized = byteToUnit(x.add(uniform(x.shape)).sub(0.5));
    return this.gaussian.logProb(dequantized, outputs).sub(this.size * Math.log(HALF_RANGE));
  }

  mean(outputs: Tensor): Tensor {
    return asBytes(this.gaussian.mean(outputs));
  }

  drawNoise(target: Float32Array, random: Random): void {
    this.gaussian.drawNoise(target, random);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    return asBytes(this.gaussian.draw(outputs, noise)).round();
  }
}
