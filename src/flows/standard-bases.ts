import { OptionError } from "../errors.ts";
import type { Random } from "../random.ts";
import { normal, slice, type Tensor, uniform } from "../tensor/index.ts";
import type { Base } from "./base.ts";

const scaled = (z: Tensor, temperature: Tensor | undefined): Tensor =>
  temperature === undefined ? z : z.mul(temperature);

/** Standard Gaussian: log p(z_i) = −(z_i² + log 2π) / 2. */
export const gaussian: Base = {
  logProb: (z) =>
    z
      .square()
      .add(Math.log(2 * Math.PI))
      .mul(-0.5)
      .sum(1),
  noiseSize: (dimensions) => dimensions,
  drawNoise: (target, random) => random.fillNormal(target),
  noise: (rows, dimensions) => normal([rows, dimensions]),
  fromNoise: scaled,
};

/** Standard logistic: log p(z_i) = −log(1 + exp(z_i)) − log(1 + exp(−z_i)), of deviation π/√3. */
export const logistic: Base = {
  // softplus(−z) = softplus(z) − z, so that one softplus does.
  logProb: (z) => z.sub(z.softplus().mul(2)).sum(1),
  noiseSize: (dimensions) => dimensions,
  drawNoise(target, random) {
    for (let i = 0; i < target.length; i++) {
      const u = random.uniform();
      target[i] = Math.log(u) - Math.log1p(-u);
    }
  },
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
    random.fillUniform(target);
  }

  noise(rows: number, dimensions: number): Tensor {
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
    random.fillUniform(target);
  }

  noise(rows: number, dimensions: number): Tensor {
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
