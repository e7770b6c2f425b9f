import { OptionError } from "../../errors.ts";
import { constant, normal as normalInitializer, zeros } from "../../nn/initializers.ts";
import type { Random } from "../../random.ts";
import { outputAt } from "../../tensor/graph.ts";
import { matmul } from "../../tensor/index.operations.ts";
import { concat, type Dim, normal, Parameter, slice, type Tensor, uniform } from "../../tensor/index.ts";
import { fillNoise, type NoiseKind } from "./base-noise.ts";

/**
 * The distribution that a flow maps data to, over rows z of [n, d]. Draws are a function of noise, so that a seed
 * decides them, learned parameters take part and gradients flow through them.
 */
export interface Base {
  /** True where the components of z depend on each other (default: they do not). */
  readonly dependent?: boolean;
  /** True where `noise` is of one random leaf, and what `drawNoise` draws is what `fillNormal` or `fillUniform` makes of the leaf. */
  readonly hasPlainNoise?: boolean;
  /** What `drawNoise` draws, where that is one of the known kinds: an exported model then draws it, too. */
  readonly noiseKind?: NoiseKind;
  /** Log-density in nats of each row of z [n, d], shape [n]. */
  logProb(z: Tensor): Tensor;
  /** How many numbers of noise one draw of d components takes. */
  noiseSize(dimensions: number): number;
  /** Fills an array of that size with the noise of one draw. */
  drawNoise(target: Float32Array, random: Random): void;
  /** The same noise from the runtime's generator, [rows, noiseSize(dimensions)]. */
  noise(rows: Dim, dimensions: number): Tensor;
  /**
   * Draws [n, d] from noise [n, noiseSize(d)].
   * @param temperature scalar tensor by which deviations (from the mean, or from that of the component) are multiplied;
   *   1 draws from the distribution itself
   */
  fromNoise(noise: Tensor, temperature?: Tensor): Tensor;
}

/** Base distributions by name, made for codes of a given length. All but the logistic and t have about variance 1. */
export const BASES = {
  gaussian: () => gaussian,
  logistic: () => logistic,
  uniform: () => new UniformBase(-Math.sqrt(3), Math.sqrt(3)),
  student: () => new StudentBase(),
  mixture: (dimensions) => new GaussianMixture(dimensions),
  learned: (dimensions) => new LearnedGaussian(dimensions),
} as const satisfies Record<string, (dimensions: number) => Base>;

export type BaseName = keyof typeof BASES;

export const BASE_NAMES = Object.keys(BASES) as [BaseName, ...BaseName[]];

const scaled = (z: Tensor, temperature: Tensor | undefined): Tensor =>
  temperature === undefined ? z : z.mul(temperature);

/** Standard Gaussian: log p(z_i) = −(z_i² + log 2π) / 2. */
export const gaussian: Base = {
  hasPlainNoise: true,
  noiseKind: "normal",
  logProb: (z) =>
    z
      .square()
      .add(Math.log(2 * Math.PI))
      .mul(-0.5)
      .sum(1),
  noiseSize: (dimensions) => dimensions,
  drawNoise: (target, random) => fillNoise("normal", target, random),
  noise: (rows, dimensions) => normal([rows, dimensions]),
  fromNoise: scaled,
};

/** Standard logistic: log p(z_i) = −log(1 + exp(z_i)) − log(1 + exp(−z_i)), of deviation π/√3. */
export const logistic: Base = {
  // The uniforms of the leaf are those of `drawNoise` to 24 bits.
  hasPlainNoise: true,
  noiseKind: "logistic",
  // softplus(−z) = softplus(z) − z, so that one softplus does.
  logProb: (z) => z.sub(z.softplus().mul(2)).sum(1),
  noiseSize: (dimensions) => dimensions,
  drawNoise: (target, random) => fillNoise("logistic", target, random),
  noise(rows, dimensions) {
    // Kept from 0 and 1, where the logarithms would be infinite.
    const u = uniform([rows, dimensions]).clamp(2 ** -24, 1 - 2 ** -24);
    return u.log().sub(u.neg().add(1).log());
  },
  fromNoise: scaled,
};

/** What a point outside the support of a uniform base loses in nats, and again for each unit of its distance. */
const OUTSIDE = 1000;

/**
 * Uniform on the box [low, high]ᴰ. Outside its density is 0, but −∞ would end every training: there log p is lower by
 * 1000 nats, and by 1000 more for each unit of distance in each component, so that e^(log p) is 0 in float64 and the
 * gradient leads back into the box.
 */
export class UniformBase implements Base {
  readonly hasPlainNoise = true;
  readonly noiseKind = "uniform";
  private readonly low: number;
  private readonly high: number;

  /** @throws OptionError unless low < high */
  constructor(low = 0, high = 1) {
    if (!(low < high)) throw new OptionError(`uniform base: low must be below high, not ${low} and ${high}`);
    this.low = low;
    this.high = high;
  }

  logProb(z: Tensor): Tensor {
    const distance = z.neg().add(this.low).relu().add(z.sub(this.high).relu());
    const inside = -Math.log(this.high - this.low);
    return distance.add(distance.sign()).mul(-OUTSIDE).add(inside).sum(1);
  }

  noiseSize(dimensions: number): number {
    return dimensions;
  }

  drawNoise(target: Float32Array, random: Random): void {
    fillNoise(this.noiseKind, target, random);
  }

  noise(rows: Dim, dimensions: number): Tensor {
    return uniform([rows, dimensions]);
  }

  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    const deviation = scaled(noise.sub(0.5), temperature);
    return deviation.mul(this.high - this.low).add((this.low + this.high) / 2);
  }
}

/** Γ((ν + 1) / 2) / Γ(ν / 2) for a whole number ν, by Γ(x + 1) = x Γ(x) from ν = 1 or 2. */
function gammaRatio(degrees: number): number {
  let ratio = degrees % 2 === 1 ? 1 / Math.sqrt(Math.PI) : Math.sqrt(Math.PI) / 2;
  for (let k = degrees % 2 === 1 ? 1 : 2; k < degrees; k += 2) ratio *= (k + 1) / k;
  return ratio;
}

/**
 * Student's t in each component, with ν degrees of freedom: log p(z_i) = log Γ((ν + 1)/2) − log Γ(ν/2) − ½ log(νπ)
 * − (ν + 1)/2 · log(1 + z_i²/ν). Its heavy tails suit data with outliers.
 */
export class StudentBase implements Base {
  readonly hasPlainNoise = true;
  readonly noiseKind = "uniform";
  private readonly degrees: number;

  /** @throws OptionError unless the degrees of freedom are a whole number from 1 on */
  constructor(degrees = 5) {
    if (!(Number.isInteger(degrees) && degrees >= 1))
      throw new OptionError(
        `Student's t: the degrees of freedom must be a whole number from 1 on, not ${degrees}`,
      );
    this.degrees = degrees;
  }

  logProb(z: Tensor): Tensor {
    const { degrees } = this;
    const constant = Math.log(gammaRatio(degrees)) - 0.5 * Math.log(degrees * Math.PI);
    const kernel = z
      .square()
      .mul(1 / degrees)
      .add(1)
      .log();
    return kernel
      .mul(-(degrees + 1) / 2)
      .add(constant)
      .sum(1);
  }

  /** Two uniforms for a component: draws are made in polar coordinates (Bailey 1994). */
  noiseSize(dimensions: number): number {
    return 2 * dimensions;
  }

  drawNoise(target: Float32Array, random: Random): void {
    fillNoise(this.noiseKind, target, random);
  }

  noise(rows: Dim, dimensions: number): Tensor {
    return uniform([rows, 2 * dimensions]);
  }

  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    const size = Number(noise.shape[1]) / 2;
    // √(ν (u^(−2/ν) − 1)) cos 2πv
    const radius = slice(noise, 1, 0, size)
      .maximum(2 ** -24)
      .log()
      .mul(-2 / this.degrees)
      .expm1()
      .mul(this.degrees)
      .sqrt();
    const angle = slice(noise, 1, size)
      .mul(2 * Math.PI)
      .cos();
    return scaled(radius.mul(angle), temperature);
  }
}

const LOG_TWO_PI = Math.log(2 * Math.PI);

/** Deviations from a center, times the temperature where there is one. */
const spread = (noise: Tensor, deviation: Tensor, temperature: Tensor | undefined): Tensor =>
  temperature === undefined ? noise.mul(deviation) : noise.mul(deviation).mul(temperature);

/** A Gaussian with learned mean and deviation in each component; it starts as the standard one. */
export class LearnedGaussian implements Base {
  readonly hasPlainNoise = true;
  readonly noiseKind = "normal";
  readonly mean: Parameter;
  readonly logDeviation: Parameter;

  constructor(dimensions: number) {
    this.mean = new Parameter([dimensions], zeros);
    this.logDeviation = new Parameter([dimensions], zeros);
  }

  logProb(z: Tensor): Tensor {
    const standardized = z.sub(this.mean).mul(this.logDeviation.neg().exp());
    return standardized.square().add(LOG_TWO_PI).mul(-0.5).sub(this.logDeviation).sum(1);
  }

  noiseSize(dimensions: number): number {
    return dimensions;
  }

  drawNoise(target: Float32Array, random: Random): void {
    fillNoise(this.noiseKind, target, random);
  }

  noise(rows: Dim, dimensions: number): Tensor {
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
  readonly noiseKind = "mixture";
  readonly means: Parameter;
  readonly logDeviations: Parameter;
  /** Weights are the softmax of these. */
  readonly logits: Parameter;

  constructor(dimensions: number, components = 8) {
    this.means = new Parameter([components, dimensions], normalInitializer(BETWEEN));
    this.logDeviations = new Parameter([components, dimensions], constant(Math.log(WITHIN)));
    this.logits = new Parameter([components], zeros);
  }

  logProb(z: Tensor): Tensor {
    const dimensions = outputAt(this.means.shape, 1);
    const standardized = z.unsqueeze(1).sub(this.means).mul(this.logDeviations.neg().exp());
    const logWeights = this.logits
      .logSoftmax(0)
      .sub(this.logDeviations.sum(1))
      .sub((dimensions * LOG_TWO_PI) / 2);
    return standardized.square().sum(2).mul(-0.5).add(logWeights).logSumExp(1);
  }

  /** A normal for each component of z, and one number that chooses the component of the mixture. */
  noiseSize(dimensions: number): number {
    return dimensions + 1;
  }

  drawNoise(target: Float32Array, random: Random): void {
    fillNoise(this.noiseKind, target, random);
  }

  noise(rows: Dim, dimensions: number): Tensor {
    return concat([normal([rows, dimensions]), uniform([rows, 1])], 1);
  }

  /**
   * The component is the one on whose part of [0, 1) the last number of the noise lies. Gradients flow to means and
   * deviations; weights decide by steps, so that only `logProb` has gradients for them.
   */
  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    const [components, dimensions] = [outputAt(this.means.shape, 0), outputAt(this.means.shape, 1)];
    const position = slice(noise, 1, dimensions);
    // The end of the last part is 1 but for rounding, and needs no comparison.
    const ends = slice(this.logits.softmax(0).cumSum(0), 0, 0, components - 1).stopGradient();
    const passed = position.greaterEqual(ends).cast("float32");
    const one = position.mul(0).add(1);
    const chosen = concat([one, passed], 1).sub(concat([passed, one.mul(0)], 1));
    const mean = matmul(chosen, this.means);
    const deviation = matmul(chosen, this.logDeviations.exp());
    return spread(slice(noise, 1, 0, dimensions), deviation, temperature).add(mean);
  }
}
