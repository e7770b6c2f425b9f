import { split, type Tensor } from "../tensor/index.ts";

/** An element and the logarithm of its derivative there, both of the shape of the input. */
export interface Elementwise {
  readonly value: Tensor;
  readonly logDerivative: Tensor;
}

/**
 * A strictly monotonic function applied to each element by itself, whose parameters are told from outside, by the
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
