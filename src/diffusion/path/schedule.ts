import { OptionError } from "../../errors.ts";
import { constant, float32, gather, type Tensor } from "../../tensor/index.ts";
import type { SymbolicPoint } from "./gaussian.ts";
import type { NoiseLevel, NoiseLevels } from "./noise-level.ts";

/** Schedules of the variances β_1 … β_T of a discrete chain, by name. */
export const BETA_SCHEDULES = ["linear", "scaled-linear", "cosine", "sigmoid"] as const;

export type BetaSchedule = (typeof BETA_SCHEDULES)[number];

export interface BetaOptions {
  /** T, the number of steps. */
  readonly steps: number;
  /** β_1; default: 0.1 / T, so that T does not change the noise at the end (0.0001 of the 1000 steps of DDPM). */
  readonly first?: number;
  /** β_T; default: 20 / T (0.02). */
  readonly last?: number;
  /** The offset s of the cosine schedule; default: 0.008. */
  readonly offset?: number;
}

/** β is kept below this by the cosine schedule (Nichol and Dhariwal 2021, section 3.2). */
const LARGEST_COSINE_BETA = 0.999;

/**
 * Variances β_1 … β_T.
 *
 * - linear: evenly from β_1 to β_T (Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models", section 4).
 * - scaled-linear: their roots evenly, as for latent diffusion (Rombach et al. 2022).
 * - cosine: ᾱ_t = f(t) / f(0), f(t) = cos²((t / T + s) / (1 + s) · π / 2) (Nichol and Dhariwal 2021, equation 17).
 * - sigmoid: from β_1 to β_T along a logistic curve from −6 to 6 (Xu et al. 2022, "GeoDiff", appendix).
 * @throws OptionError where steps is not a whole number from 1 on, or β leaves (0, 1)
 */
export function betas(
  schedule: BetaSchedule,
  { steps, first = 0.1 / steps, last = 20 / steps, offset = 0.008 }: BetaOptions,
): Float64Array {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`noise steps: must be a whole number from 1 on, not ${steps}`);
  }
  if (schedule !== "cosine" && !(first > 0 && first < 1 && last > 0 && last < 1)) {
    throw new OptionError(`noise schedule: variances from ${first} to ${last} must be between 0 and 1`);
  }
  const even = (from: number, to: number, i: number): number =>
    steps === 1 ? to : from + ((to - from) * i) / (steps - 1);
  const signal = (t: number): number => Math.cos((((t / steps + offset) / (1 + offset)) * Math.PI) / 2) ** 2;
  const beta = (i: number): number => {
    switch (schedule) {
      case "linear":
        return even(first, last, i);
      case "scaled-linear":
        return even(Math.sqrt(first), Math.sqrt(last), i) ** 2;
      case "cosine":
        return Math.min(1 - signal(i + 1) / signal(i), LARGEST_COSINE_BETA);
      case "sigmoid":
        return first + (last - first) / (1 + Math.exp(-even(-6, 6, i)));
    }
  };
  return Float64Array.from({ length: steps }, (_, i) => beta(i));
}

/** ᾱ_0 = 1, ᾱ_1, …, ᾱ_T: products of 1 − β. */
export function alphaBars(variances: ArrayLike<number>): Float64Array {
  const products = new Float64Array(variances.length + 1);
  products[0] = 1;
  for (let t = 1; t < products.length; t++) {
    products[t] = (products[t - 1] ?? 0) * (1 - (variances[t - 1] ?? 0));
  }
  return products;
}

/**
 * ᾱ_1 … ᾱ_T changed so that the last holds no signal and the first is as before: √ᾱ is shifted and scaled (Lin et al. 2024,
 * algorithm 1). A network must then predict v or x₀: a prediction of noise is no information where there is nothing else.
 * @param bars ᾱ_0 … ᾱ_T with T at least 2
 */
export function zeroTerminalSnr(bars: Float64Array): Float64Array {
  const [first, last] = [Math.sqrt(bars[1] ?? 1), Math.sqrt(bars.at(-1) ?? 0)];
  return bars.map((bar, t) => {
    if (t === 0) return bar;
    if (t === bars.length - 1) return 0;
    return t === 1 ? bar : ((Math.sqrt(bar) - last) * (first / (first - last))) ** 2;
  });
}

/**
 * The noise levels of a discrete chain x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε, t = 0 … T, of which 0 is data. The time of step t is t / T.
 */
export class DiscreteSchedule implements NoiseLevels {
  readonly name = "chain";
  /** T. */
  readonly steps: number;
  /** ᾱ_0 … ᾱ_T. */
  readonly alphaBars: Float64Array;

  /** @throws OptionError where ᾱ does not begin at 1 and fall to 0 or more */
  constructor(bars: ArrayLike<number>) {
    this.alphaBars = Float64Array.from(bars);
    this.steps = bars.length - 1;
    if (this.steps < 1 || bars[0] !== 1) {
      throw new OptionError("noise schedule: ᾱ must begin with 1, that of data, and have a step after it");
    }
    for (let t = 1; t <= this.steps; t++) {
      const [before, now] = [this.alphaBars[t - 1] ?? 0, this.alphaBars[t] ?? 0];
      if (!(now < before && now >= 0)) {
        throw new OptionError(
          `noise schedule: ᾱ of step ${t} is ${now}; it must be below ${before} and not below 0`,
        );
      }
    }
  }

  /** A schedule by name. @throws OptionError as `betas` */
  static of(
    schedule: BetaSchedule,
    { zeroTerminal = false, ...options }: BetaOptions & { readonly zeroTerminal?: boolean },
  ): DiscreteSchedule {
    const bars = alphaBars(betas(schedule, options));
    return new DiscreteSchedule(zeroTerminal ? zeroTerminalSnr(bars) : bars);
  }

  /** Step t of 0 … T. @throws OptionError for any other number */
  level(t: number): NoiseLevel {
    const bar = this.alphaBars[t];
    if (bar === undefined) {
      throw new OptionError(`noise schedule: step ${t} is no whole number from 0 to ${this.steps}`);
    }
    return { time: t / this.steps, alpha: Math.sqrt(bar), sigma: Math.sqrt(1 - bar) };
  }

  /** The levels of a list of steps. @throws OptionError as `level` */
  levels(steps: readonly number[]): readonly NoiseLevel[] {
    return steps.map((t) => this.level(t));
  }

  /**
   * The level at a time in [0, 1]; between two steps the angle arctan(σ / α) is interpolated, which is finite even without
   * any signal.
   * @throws OptionError for another time
   */
  at(time: number): NoiseLevel {
    if (!(time >= 0 && time <= 1)) throw new OptionError(`noise schedule: time ${time} must be in [0, 1]`);
    const position = time * this.steps;
    const nearest = Math.round(position);
    if (Math.abs(position - nearest) < 1e-9) return this.level(nearest);
    const below = Math.floor(position);
    const [low, high] = [this.angle(below), this.angle(below + 1)];
    const angle = low + (position - below) * (high - low);
    return { time, alpha: Math.cos(angle), sigma: Math.sin(angle) };
  }

  /**
   * The levels at times in [0, 1] inside a graph, as `at`, for times of any shape. A chain has no derivatives: rates are no
   * numbers.
   */
  symbolic(t: Tensor): SymbolicPoint {
    const position = t.mul(this.steps);
    const below = position.floor().clamp(0, this.steps - 1);
    const index = below.cast("int64");
    const share = position.sub(below);
    // Both angles, since the sine of a small angle keeps its digits and its cosine does not.
    const [sigma, alpha] = [
      (level: NoiseLevel) => Math.atan2(level.sigma, level.alpha),
      (level: NoiseLevel) => Math.atan2(level.alpha, level.sigma),
    ].map((angleOf) => {
      const angles = Array.from({ length: this.steps + 1 }, (_, step) => angleOf(this.level(step)));
      const from = (first: number) =>
        gather(constant(float32(angles.slice(first, first + this.steps), [this.steps])), index);
      const low = from(0);
      return low.add(from(1).sub(low).mul(share)).sin();
    }) as [Tensor, Tensor];
    const none = constant(Number.NaN);
    return { alpha, sigma, alphaRate: none, sigmaRate: none };
  }

  /** x_t inside a graph. @param t broadcastable to `data`: [n, 1, …] */
  state(data: Tensor, noise: Tensor, t: Tensor): Tensor {
    const { alpha, sigma } = this.symbolic(t);
    return data.mul(alpha).add(noise.mul(sigma));
  }

  /** The level with a ratio σ / α; the last step where the ratio is larger than there. @throws OptionError where it is not positive */
  levelAt(ratio: number): NoiseLevel {
    if (!(ratio > 0)) throw new OptionError(`noise schedule: ratio ${ratio} must be above 0`);
    const angle = Math.atan(ratio);
    const above = this.alphaBars.findIndex((_, t) => this.angle(t) >= angle);
    if (above < 0) return this.level(this.steps);
    const [low, high] = [this.angle(above - 1), this.angle(above)];
    const time = (above - 1 + (angle - low) / (high - low)) / this.steps;
    return { time, alpha: Math.cos(angle), sigma: Math.sin(angle) };
  }

  private angle(t: number): number {
    const { alpha, sigma } = this.level(t);
    return Math.atan2(sigma, alpha);
  }
}
