import { constant, float32, split, type Tensor } from "../../tensor/index.ts";
import { monotoneRoot } from "./transform.ts";

/** An element and the logarithm of its derivative there, both of the shape of the input. */
export interface Elementwise {
  readonly value: Tensor;
  readonly logDerivative: Tensor;
}

/**
 * A strictly monotonic function applied to each element by itself, whose parameters are given from outside, by the
 * conditioner network of a coupling or an autoregressive transform.
 */
export interface Bijection {
  /** Numbers that decide the function at one element. */
  readonly parameterCount: number;
  /**
   * How the parameters of d elements lie along axis 1 of a tensor [n, parameterCount · d, …]: `by-parameter` is all
   * elements' first parameter, then all elements' second, …; `by-element` is all parameters of the first element, ….
   */
  readonly order: "by-parameter" | "by-element";
  /** @param x [n, d, …] */
  forward(x: Tensor, parameters: Tensor): Elementwise;
  /** @param y [n, d, …] @throws InverseError where the inverse has no formula and is not found by iteration either */
  inverse(y: Tensor, parameters: Tensor): Elementwise;
}

/**
 * y = x · exp(s) + t with a bounded log-scale s = limit · tanh(raw / limit), so that deep stacks do not explode. The
 * affine map of RealNVP, Glow and MAF. Parameters 0 make it the identity.
 */
export class AffineBijection implements Bijection {
  readonly parameterCount = 2;
  readonly order = "by-parameter";
  private readonly limit: number;

  /** @param limit largest |s| */
  constructor(limit = 3) {
    this.limit = limit;
  }

  private parameters(raw: Tensor): { readonly logScale: Tensor; readonly shift: Tensor } {
    const [scale, shift] = split(raw, 1, 2) as [Tensor, Tensor];
    return {
      logScale: scale
        .mul(1 / this.limit)
        .tanh()
        .mul(this.limit),
      shift,
    };
  }

  forward(x: Tensor, raw: Tensor): Elementwise {
    const { logScale, shift } = this.parameters(raw);
    return { value: x.mul(logScale.exp()).add(shift), logDerivative: logScale };
  }

  inverse(y: Tensor, raw: Tensor): Elementwise {
    const { logScale, shift } = this.parameters(raw);
    const negative = logScale.neg();
    return { value: y.sub(shift).mul(negative.exp()), logDerivative: negative };
  }
}

/**
 * The bound on log-scales that keeps a stack of affine couplings from exploding: 3, or less where all of them at their
 * bound would multiply by more than e²⁴. Even inputs of 10³ then have squares that float32 holds.
 */
export function scaleLimitOf(couplings: number): number {
  return Math.min(3, 24 / couplings);
}

/** Sums log-derivatives over all axes but the first: the log-determinant [n] of an element-wise map. */
export function sumElements(logDerivative: Tensor): Tensor {
  return logDerivative.sum(logDerivative.shape.slice(1).map((_, i) => i + 1));
}

/** What the parameters of one element mean, after bounds and starting places. All but the last two are [n, d, K, …]. */
interface Mixture {
  /** Logarithms of the weights, up to a constant. */
  readonly logits: Tensor;
  readonly means: Tensor;
  readonly logScales: Tensor;
  /** Logarithm of the factor behind the logit, [n, d, …]. */
  readonly logFactor: Tensor;
  readonly shift: Tensor;
}

/** Half the distance of the outermost means at the start: components must differ, or they would stay equal for ever. */
const SPREAD = 1.5;

/** Bounds of the logarithms of the components' scales and of the factor behind the logit. */
const SCALE_LIMIT = 4;
const FACTOR_LIMIT = 3;

const bounded = (raw: Tensor, limit: number): Tensor =>
  raw
    .mul(1 / limit)
    .tanh()
    .mul(limit);

/**
 * y = logit(F(x)) · exp(a) + b, where F(x) = Σ_k π_k σ((x − μ_k) / s_k) is the distribution function of a mixture of
 * logistics: a monotonic function with as many bends as there are components (Ho et al. 2019, "Flow++", section 3.2). It
 * grows linearly far out, at the rate 1/s of the widest component.
 *
 * With u_k = (x − μ_k) / s_k everything is a log Σ exp over components: log F = LSE(log π_k + log σ(u_k)),
 * log (1 − F) = LSE(log π_k + log σ(−u_k)), logit F is their difference, and the log-derivative is
 * LSE(log π_k − log s_k + log σ(u_k) + log σ(−u_k)) − log F − log (1 − F) + a. Nothing cancels or underflows in the tails.
 *
 * The inverse has no formula; `inverse` finds it by Newton's method in a bracket, to the precision of float32. With
 * t = (y − b) exp(−a) it lies between the smallest and the largest of μ_k + s_k t, where all components are below or above.
 *
 * Parameters 0 make it near the identity, an equal mixture of logistics of scale 1 with means spread over [−1.5, 1.5].
 */
export class LogisticMixtureBijection implements Bijection {
  readonly parameterCount: number;
  readonly order = "by-element";
  /** K. */
  readonly components: number;

  constructor(components = 8) {
    this.components = components;
    this.parameterCount = 3 * components + 2;
  }

  private mixture(raw: Tensor): Mixture {
    const { components: k, parameterCount } = this;
    const [n = 1, count = 1, ...rest] = raw.shape;
    const grouped = raw.reshape([n, Number(count) / parameterCount, parameterCount, ...rest]);
    const [logits, means, scales, factor, shift] = split(grouped, 2, [k, k, k, 1, 1]) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const places = Array.from({ length: k }, (_, i) => (k === 1 ? 0 : SPREAD * ((2 * i) / (k - 1) - 1)));
    const start = constant(float32(places, [k, ...rest.map(() => 1)]));
    return {
      logits,
      means: means.add(start),
      logScales: bounded(scales, SCALE_LIMIT),
      logFactor: bounded(factor, FACTOR_LIMIT).squeeze(2),
      shift: shift.squeeze(2),
    };
  }

  /** logit F(x) and the logarithm of its derivative. */
  private logitOfCdf(x: Tensor, { logits, means, logScales }: Mixture): Elementwise {
    const u = x.unsqueeze(2).sub(means).mul(logScales.neg().exp());
    // log σ(u) = u − softplus(u) and log σ(−u) = −softplus(u).
    const softplus = u.softplus();
    const above = logits.sub(softplus);
    const below = above.add(u);
    const [logBelow, logAbove] = [below.logSumExp(2), above.logSumExp(2)];
    const logDensity = below.sub(softplus).sub(logScales).logSumExp(2);
    // The weights' normalization cancels in the first, and remains once in the second.
    return {
      value: logBelow.sub(logAbove),
      logDerivative: logDensity.sub(logBelow).sub(logAbove).add(logits.logSumExp(2)),
    };
  }

  forward(x: Tensor, parameters: Tensor): Elementwise {
    const mixture = this.mixture(parameters);
    const { value, logDerivative } = this.logitOfCdf(x, mixture);
    return {
      value: value.mul(mixture.logFactor.exp()).add(mixture.shift),
      logDerivative: logDerivative.add(mixture.logFactor),
    };
  }

  inverse(y: Tensor, parameters: Tensor): Elementwise {
    const mixture = this.mixture(parameters);
    const { means, logScales, logFactor, shift } = mixture;
    const target = y.sub(shift).mul(logFactor.neg().exp());
    const places = means.add(target.unsqueeze(2).mul(logScales.exp()));
    const x = monotoneRoot(
      (at) => {
        const { value, logDerivative } = this.logitOfCdf(at, mixture);
        return { value, derivative: logDerivative.exp() };
      },
      target,
      places.min(2),
      places.max(2),
    );
    const { logDerivative } = this.logitOfCdf(x, mixture);
    return { value: x, logDerivative: logDerivative.add(logFactor).neg() };
  }
}
