import { OptionError } from "../../errors.ts";
import type { Tensor } from "../../tensor/index.ts";
import { GaussianPath, type Span } from "./gaussian.ts";
import type { Scalar } from "./scalar.ts";

/** Paths whose α vanishes at t = 1: their stochastic equation begins a little before. */
const BEFORE_NOISE: Span = { noisy: 1 - 1e-3, clean: 1e-3 };

/** Song et al. 2021, appendix C: sampling to 10⁻³ for VP and sub-VP, to 10⁻⁵ for VE. */
const VARIANCE_PRESERVING: Span = { noisy: 1, clean: 1e-3 };
const VARIANCE_EXPLODING: Span = { noisy: 1, clean: 1e-5 };

class LinearPath extends GaussianPath {
  constructor() {
    super({
      name: "linear",
      curve: (t) => ({ alpha: t.neg().add(1), sigma: t, alphaRate: -1, sigmaRate: 1 }),
      timeOf: (ratio) => ratio.pow(-1).add(1).pow(-1),
      span: BEFORE_NOISE,
    });
  }

  // With one product instead of two.
  override state(data: Tensor, noise: Tensor, t: Tensor): Tensor {
    return data.add(noise.sub(data).mul(t));
  }

  override velocity(data: Tensor, noise: Tensor): Tensor {
    return noise.sub(data);
  }
}

/**
 * The straight line x_t = (1 − t) x₀ + t ε, whose velocity ε − x₀ does not depend on the time.
 * Liu, Gong and Liu 2022, "Flow Straight and Fast", equation 1 (there with time running from noise to data).
 */
export const linearPath: GaussianPath = new LinearPath();

/**
 * The quarter circle x_t = cos(π t / 2) x₀ + sin(π t / 2) ε, which keeps unit variance (Albergo and Vanden-Eijnden 2023,
 * "Building normalizing flows with stochastic interpolants", equation 5).
 */
export const trigonometricPath = new GaussianPath({
  name: "trigonometric",
  curve: (t) => {
    const angle = t.mul(Math.PI / 2);
    // cos(π t / 2), exactly 0 at t = 1.
    const alpha = t
      .neg()
      .add(1)
      .mul(Math.PI / 2)
      .sin();
    const sigma = angle.sin();
    return { alpha, sigma, alphaRate: sigma.mul(-Math.PI / 2), sigmaRate: alpha.mul(Math.PI / 2) };
  },
  timeOf: (ratio) => ratio.atan().mul(2 / Math.PI),
  span: BEFORE_NOISE,
});

export interface VariancePreservingOptions {
  /** β at t = 0; default: 0.1. */
  readonly betaMin?: number;
  /** β at t = 1; default: 20. */
  readonly betaMax?: number;
}

/** β(t) = β_min + t (β_max − β_min) and its integral B(t). @throws OptionError where the bounds are not in order */
function linearBeta({ betaMin = 0.1, betaMax = 20 }: VariancePreservingOptions) {
  if (!(betaMin > 0 && betaMax >= betaMin)) {
    throw new OptionError(`betaMin ${betaMin} and betaMax ${betaMax} must be above 0 and in order`);
  }
  const slope = betaMax - betaMin;
  return {
    /** Of a time, the rate β and α = exp(−½ B) with the integral B it is made of. */
    at: <T extends Scalar<T>>(t: T) => {
      const integral = t
        .mul(slope / 2)
        .add(betaMin)
        .mul(t);
      return { integral, rate: t.mul(slope).add(betaMin), alpha: integral.mul(-0.5).exp() };
    },
    /** The time at which the integral is B: of ½ slope t² + β_min t = B the solution that is right for any B up to ∞. */
    timeOfIntegral: <T extends Scalar<T>>(integral: T): T => {
      const share = integral.pow(-1);
      return share
        .mul(betaMin)
        .square()
        .add(share.mul(2 * slope))
        .sqrt()
        .add(share.mul(betaMin))
        .pow(-1)
        .mul(2);
    },
  };
}

/** asinh x = log(x + √(1 + x²)) of x ≥ 0, without losing digits near 0. */
function asinh<T extends Scalar<T>>(x: T): T {
  const share = x.pow(-1);
  return x.mul(share.square().add(1).sqrt().add(share).pow(-1)).add(x).log1p();
}

/**
 * The variance-preserving path of dx = −½ β x dt + √β dw: α = exp(−½ B), σ² = 1 − exp(−B) with B(t) = ∫₀ᵗ β (Song et al. 2021,
 * "Score-based generative modeling through stochastic differential equations", equations 11 and 33). DDPM's chain with
 * ever more, ever smaller steps.
 * @throws OptionError where the bounds are not in order
 */
export function variancePreservingPath(options: VariancePreservingOptions = {}): GaussianPath {
  const { at, timeOfIntegral } = linearBeta(options);
  return new GaussianPath({
    name: "variance-preserving",
    curve: (t) => {
      const { integral, rate, alpha } = at(t);
      const sigma = integral.neg().expm1().neg().sqrt();
      return {
        alpha,
        sigma,
        alphaRate: alpha.mul(rate).mul(-0.5),
        sigmaRate: alpha.square().mul(rate).div(sigma).mul(0.5),
      };
    },
    timeOf: (ratio) => timeOfIntegral(ratio.square().log1p()),
    span: VARIANCE_PRESERVING,
  });
}

/**
 * The sub-variance-preserving path: α as the variance-preserving one, σ = 1 − exp(−B) (Song et al. 2021, section 3.4 and
 * equation 27), so that the variance stays below.
 * @throws OptionError where the bounds are not in order
 */
export function subVariancePreservingPath(options: VariancePreservingOptions = {}): GaussianPath {
  const { at, timeOfIntegral } = linearBeta(options);
  return new GaussianPath({
    name: "sub-variance-preserving",
    curve: (t) => {
      const { integral, rate, alpha } = at(t);
      return {
        alpha,
        sigma: integral.neg().expm1().neg(),
        alphaRate: alpha.mul(rate).mul(-0.5),
        sigmaRate: alpha.square().mul(rate),
      };
    },
    timeOf: (ratio) => timeOfIntegral(asinh(ratio.mul(0.5)).mul(2)),
    span: VARIANCE_PRESERVING,
  });
}

export interface VarianceExplodingOptions {
  /** σ at t = 0; default: 0.01. */
  readonly sigmaMin?: number;
  /** σ at t = 1: about the largest distance between data points; default: 50. */
  readonly sigmaMax?: number;
}

/** @throws OptionError where the bounds are not in order */
function checkSigmas(sigmaMin: number, sigmaMax: number): void {
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin)) {
    throw new OptionError(`sigmaMin ${sigmaMin} and sigmaMax ${sigmaMax} must be above 0 and in order`);
  }
}

/**
 * The variance-exploding path x_t = x₀ + σ(t) ε with σ(t) = σ_min (σ_max / σ_min)ᵗ (Song et al. 2021, appendix C). At t = 0 the
 * noise is σ_min, not none.
 * @throws OptionError where the bounds are not in order
 */
export function varianceExplodingPath({
  sigmaMin = 0.01,
  sigmaMax = 50,
}: VarianceExplodingOptions = {}): GaussianPath {
  checkSigmas(sigmaMin, sigmaMax);
  const range = Math.log(sigmaMax / sigmaMin);
  return new GaussianPath({
    name: "variance-exploding",
    curve: (t) => {
      const sigma = t.mul(range).exp().mul(sigmaMin);
      return { alpha: 1, sigma, alphaRate: 0, sigmaRate: sigma.mul(range) };
    },
    timeOf: (ratio) =>
      ratio
        .mul(1 / sigmaMin)
        .log()
        .mul(1 / range),
    span: VARIANCE_EXPLODING,
  });
}

export interface CosineOptions {
  /** Keeps the noise of the first steps from vanishing; default: 0.008. */
  readonly offset?: number;
}

/**
 * The cosine path of Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic models", equation 17, in continuous
 * time: ᾱ = f(t) / f(0) with f(t) = cos²((t + s) / (1 + s) · π / 2), α = √ᾱ and σ = √(1 − ᾱ).
 * @throws OptionError where the offset is negative
 */
export function cosinePath({ offset = 0.008 }: CosineOptions = {}): GaussianPath {
  if (!(offset >= 0)) throw new OptionError(`offset: must be 0 or more, not ${offset}`);
  const rate = Math.PI / 2 / (1 + offset);
  const start = offset * rate;
  const scale = Math.cos(start);
  return new GaussianPath({
    name: "cosine",
    curve: (t) => {
      // cos u as sin(π/2 − u) is exactly 0 at t = 1; cos² u₀ − cos² u as sin(u − u₀) sin(u + u₀) loses no digits near 0.
      const alpha = t.neg().add(1).mul(rate).sin().div(scale);
      const sine = t.mul(rate).add(start).sin();
      const sigma = t
        .mul(rate)
        .sin()
        .mul(
          t
            .mul(rate)
            .add(2 * start)
            .sin(),
        )
        .sqrt()
        .div(scale);
      const alphaRate = sine.mul(-rate / scale);
      return { alpha, sigma, alphaRate, sigmaRate: alpha.mul(alphaRate).div(sigma).neg() };
    },
    // From cos u = cos u₀ / √(1 + r²).
    timeOf: (ratio) =>
      ratio
        .square()
        .add(Math.sin(start) ** 2)
        .sqrt()
        .mul(1 / scale)
        .atan()
        .sub(start)
        .mul(1 / rate),
    span: BEFORE_NOISE,
  });
}

export interface EdmPathOptions extends VarianceExplodingOptions {
  /** Default: 7. */
  readonly rho?: number;
}

/**
 * EDM's path x_t = x₀ + σ(t) ε, with the time such that even times are the steps of Karras et al. 2022, equation 5:
 * σ(t) = (σ_min^{1/ρ} + t (σ_max^{1/ρ} − σ_min^{1/ρ}))^ρ; defaults: σ_min = 0.002 and σ_max = 80. At t = 0 the noise is
 * σ_min, not none.
 * @throws OptionError where the bounds are not in order or ρ is not positive
 */
export function edmPath({ sigmaMin = 0.002, sigmaMax = 80, rho = 7 }: EdmPathOptions = {}): GaussianPath {
  checkSigmas(sigmaMin, sigmaMax);
  if (!(rho > 0)) throw new OptionError(`rho: must be above 0, not ${rho}`);
  const low = sigmaMin ** (1 / rho);
  const range = sigmaMax ** (1 / rho) - low;
  return new GaussianPath({
    name: "edm",
    curve: (t) => {
      const root = t.mul(range).add(low);
      return {
        alpha: 1,
        sigma: root.pow(rho),
        alphaRate: 0,
        sigmaRate: root.pow(rho - 1).mul(rho * range),
      };
    },
    timeOf: (ratio) =>
      ratio
        .pow(1 / rho)
        .sub(low)
        .mul(1 / range),
    span: VARIANCE_EXPLODING,
  });
}

/** Paths by name, with the options of their papers. */
export const PATHS = {
  linear: linearPath,
  trigonometric: trigonometricPath,
  vp: variancePreservingPath(),
  "sub-vp": subVariancePreservingPath(),
  ve: varianceExplodingPath(),
  cosine: cosinePath(),
  edm: edmPath(),
} as const satisfies Readonly<Record<string, GaussianPath>>;

export type PathName = keyof typeof PATHS;
