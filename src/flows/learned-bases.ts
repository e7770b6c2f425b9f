import { constant, normal as normalInitialiser, zeros } from "../nn/initialisers.ts";
import type { Random } from "../random.ts";
import { concat, matmul, normal, Parameter, slice, type Tensor, uniform } from "../tensor/index.ts";
import type { Base } from "./base.ts";

const LOG_TWO_PI = Math.log(2 * Math.PI);

/** Deviations from a centre, times the temperature where there is one. */
const spread = (noise: Tensor, deviation: Tensor, temperature: Tensor | undefined): Tensor =>
  temperature === undefined ? noise.mul(deviation) : noise.mul(deviation).mul(temperature);

/** A Gaussian with learned mean and deviation in each component; it starts as the standard one. */
export class LearnedGaussian implements Base {
  readonly mean: Parameter;
  readonly logDeviation: Parameter;

  constructor(dimensions: number) {
    this.mean = new Parameter([dimensions], zeros);
    this.logDeviation = new Parameter([dimensions], zeros);
  }

  logProb(z: Tensor): Tensor {
    const standardised = z.sub(this.mean).mul(this.logDeviation.neg().exp());
    return standardised.square().add(LOG_TWO_PI).mul(-0.5).sub(this.logDeviation).sum(1);
  }

  noiseSize(dimensions: number): number {
    return dimensions;
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillNormal(target);
  }

  noise(rows: number, dimensions: number): Tensor {
    return normal([rows, dimensions]);
  }

  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    return spread(noise, this.logDeviation.exp(), temperature).add(this.mean);
  }
}

/** Deviations of the starting means, and within components: together of variance 1, as the standard Gaussian. */
const BETWEEN = 0.8;
const WITHIN = 0.6;

/**
 * A mixture of Gaussians with diagonal covariances, Σ_k w_k N(z | μ_k, diag(σ_k²)), whose means, deviations and weights
 * are learned.
 */
export class GaussianMixture implements Base {
  readonly dependent = true;
  readonly means: Parameter;
  readonly logDeviations: Parameter;
  /** Weights are the softmax of these. */
  readonly logits: Parameter;

  constructor(dimensions: number, components = 8) {
    this.means = new Parameter([components, dimensions], normalInitialiser(BETWEEN));
    this.logDeviations = new Parameter([components, dimensions], constant(Math.log(WITHIN)));
    this.logits = new Parameter([components], zeros);
  }

  logProb(z: Tensor): Tensor {
    const [, dimensions = 0] = this.means.shape;
    const standardised = z.unsqueeze(1).sub(this.means).mul(this.logDeviations.neg().exp());
    const logWeights = this.logits
      .logSoftmax(0)
      .sub(this.logDeviations.sum(1))
      .sub((dimensions * LOG_TWO_PI) / 2);
    return standardised.square().sum(2).mul(-0.5).add(logWeights).logSumExp(1);
  }

  /** A normal for each component of z, and one number that chooses the component of the mixture. */
  noiseSize(dimensions: number): number {
    return dimensions + 1;
  }

  drawNoise(target: Float32Array, random: Random): void {
    const last = target.length - 1;
    random.fillNormal(target.subarray(0, last));
    target[last] = random.uniform();
  }

  noise(rows: number, dimensions: number): Tensor {
    return concat([normal([rows, dimensions]), uniform([rows, 1])], 1);
  }

  /**
   * The component is the one on whose part of [0, 1) the last number of the noise lies. Gradients flow to means and
   * deviations; weights decide by steps, so that only `logProb` has gradients for them.
   */
  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    const [components = 1, dimensions = 1] = this.means.shape;
    const place = slice(noise, 1, dimensions);
    // The end of the last part is 1 but for rounding, and needs no comparison.
    const ends = slice(this.logits.softmax(0).cumSum(0), 0, 0, components - 1).stopGradient();
    const passed = place.greaterEqual(ends).cast("float32");
    const one = place.mul(0).add(1);
    const chosen = concat([one, passed], 1).sub(concat([passed, one.mul(0)], 1));
    const mean = matmul(chosen, this.means);
    const deviation = matmul(chosen, this.logDeviations.exp());
    return spread(slice(noise, 1, 0, dimensions), deviation, temperature).add(mean);
  }
}
