import { OptionError } from "../../errors.ts";
import { constant, Tensor } from "../../tensor/index.ts";
import type { NoiseLevels, PathPoint } from "./noise-level.ts";
import { dual, type Quantities, Real, type Scalar } from "./scalar.ts";

/**
 * How data turns to noise: x_t for every time t, with t = 0 data and t = 1 noise. Independent of what a network
 * predicts and of how samples are integrated.
 */
export interface Path {
  /**
   * The state at time t between data and noise.
   * @param t broadcastable to `data`: [n, 1, …]
   */
  state(data: Tensor, noise: Tensor, t: Tensor): Tensor;
  /** The time derivative of the state, which a velocity field is fitted to. */
  velocity(data: Tensor, noise: Tensor, t: Tensor): Tensor;
}

/** α, σ and their derivatives by time. */
export type Curve<T> = Quantities<"alpha" | "sigma" | "alphaRate" | "sigmaRate", T>;

/** A point of a path inside a graph: quantities of the shape of the times, or scalars where time does not matter. */
export type SymbolicPoint = Curve<Tensor>;

/** The formulas of a path; what does not depend on time is a number. */
export type CurveFormula = <T extends Scalar<T>>(t: T) => Curve<T | number>;

/** The inverse formula of a path: from σ / α to the time. */
export type TimeFormula = <T extends Scalar<T>>(ratio: T) => T;

/** The stretch of time on which a path's differential equations have finite coefficients. */
export interface Span {
  /** Next to noise: 1, or a little less where α vanishes at 1. */
  readonly noisy: number;
  /** Next to data. */
  readonly clean: number;
}

export interface GaussianPathParts {
  readonly name: string;
  readonly curve: CurveFormula;
  /** The time at which σ / α is a ratio. */
  readonly timeOf: TimeFormula;
  readonly span: Span;
}

/** A Gaussian path x_t = α(t) x₀ + σ(t) ε, ε ~ N(0, I). */
export class GaussianPath implements Path, NoiseLevels<PathPoint> {
  readonly name: string;
  readonly span: Span;
  private readonly curve: CurveFormula;
  private readonly inverse: TimeFormula;

  constructor({ name, curve, timeOf, span }: GaussianPathParts) {
    this.name = name;
    this.curve = curve;
    this.inverse = timeOf;
    this.span = span;
  }

  /**
   * α, σ, α′ and σ′ at a time. Where noise begins like a square root (at t = 0 of the variance-preserving paths) σ′ is
   * infinite.
   * @throws OptionError where the time is below 0 or no number
   */
  at(time: number): PathPoint {
    if (!(time >= 0)) throw new OptionError(`${this.name} path: time ${time} must be in [0, 1]`);
    const { alpha, sigma, alphaRate, sigmaRate } = this.curve(new Real(time));
    const number = (x: Real | number): number => (typeof x === "number" ? x : x.value);
    return {
      time,
      alpha: number(alpha),
      sigma: number(sigma),
      alphaRate: number(alphaRate),
      sigmaRate: number(sigmaRate),
    };
  }

  /** The same inside a graph, for times of any shape. */
  symbolic(t: Tensor): SymbolicPoint {
    const { alpha, sigma, alphaRate, sigmaRate } = this.curve(t);
    const tensor = (x: Tensor | number): Tensor => (x instanceof Tensor ? x : constant(x, t.dtype));
    return {
      alpha: tensor(alpha),
      sigma: tensor(sigma),
      alphaRate: tensor(alphaRate),
      sigmaRate: tensor(sigmaRate),
    };
  }

  /**
   * The time at which σ / α is `ratio`; beyond 1 where the formula goes on and the ratio is larger than that of t = 1.
   * @throws OptionError where the ratio is not positive, or below that of t = 0
   */
  timeOf(ratio: number): number {
    const time = ratio > 0 ? this.inverse(new Real(ratio)).value : Number.NaN;
    if (time >= 0) return time;
    const least = this.at(0).sigma / this.at(0).alpha;
    throw new OptionError(`${this.name} path: the ratio σ / α is above ${least} everywhere, never ${ratio}`);
  }

  /** `timeOf` inside a graph, for ratios of any shape; not checked, and below 0 for ratios below that of t = 0. */
  symbolicTimeOf(ratio: Tensor): Tensor {
    return this.inverse(ratio);
  }

  /** @throws OptionError as `timeOf` */
  levelAt(ratio: number): PathPoint {
    return this.at(this.timeOf(ratio));
  }

  state(data: Tensor, noise: Tensor, t: Tensor): Tensor {
    const { alpha, sigma } = this.symbolic(t);
    return data.mul(alpha).add(noise.mul(sigma));
  }

  velocity(data: Tensor, noise: Tensor, t: Tensor): Tensor {
    const { alphaRate, sigmaRate } = this.symbolic(t);
    return data.mul(alphaRate).add(noise.mul(sigmaRate));
  }
}

/** `stochasticEquation` over any scalar. */
export function equationOf<T extends Scalar<T>>({
  alpha,
  sigma,
  alphaRate,
  sigmaRate,
}: Curve<T>): Quantities<"drift" | "diffusionSquared", T> {
  const drift = alphaRate.div(alpha);
  return { drift, diffusionSquared: sigmaRate.sub(drift.mul(sigma)).mul(sigma).mul(2) };
}

/**
 * The linear stochastic differential equation dx = f(t) x dt + g(t) dw with the marginals of a path: f = α′ / α and
 * g² = 2 σ σ′ − 2 (α′ / α) σ² (Kingma et al. 2021, "Variational diffusion models", appendix C). For numbers and for tensors.
 * Not finite where α is 0, nor where σ′ is infinite.
 */
export const stochasticEquation = dual(["alpha", "sigma", "alphaRate", "sigmaRate"], equationOf);
