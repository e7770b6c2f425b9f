import type { Activation } from "../nn/mlp.ts";
import { concat, split, type Tensor, whileLoop } from "../tensor/index.ts";
import { type Bijection, sumElements } from "./bijection.ts";
import { MadeNetwork } from "./made-network.ts";
import type { Forward, Inverse, Transform } from "./transform.ts";

/** Up to this many elements the inverse is unrolled; beyond, it is iterated. */
export const UNROLL_LIMIT = 64;

/** A spline takes more than twice the nodes of an affine map for each element, and a program of many takes long to load. */
function unrollLimit({ parameterCount }: Bijection): number {
  return parameterCount > 2 ? UNROLL_LIMIT / 2 : UNROLL_LIMIT;
}

/** An iteration has converged when no element changes by more than this, relative to 1 + |x|. */
const TOLERANCE = 1e-6;
/** Keeps the not yet exact elements of an iteration finite: 0 · ∞ in a masked product would be no number. */
const ITERATE_BOUND = 1e6;

export interface MaskedAutoregressiveOptions {
  /** Units of each hidden layer of the masked network. */
  readonly hidden: readonly number[];
  /** The elements in the order in which each may depend on those before it; 0, 1, … unless told. */
  readonly order?: readonly number[];
  /** Length of the context vector; 0 for none. */
  readonly contextSize?: number;
  readonly activation?: Activation;
  /** Adds each pair of hidden layers to what went in. */
  readonly residual?: boolean;
}

/**
 * y_i = f(x_i; θ_i(x_1 … x_{i−1})) for the elements in some order, θ by a masked network and f any bijection. The Jacobian
 * is triangular, its log-determinant the sum of log f′ (Papamakarios et al. 2017, "Masked Autoregressive Flow", section
 * 3.1). Forwards it takes one pass; the inverse needs x_1 … x_{i−1} before x_i, one after the other.
 */
export class MaskedAutoregressive implements Transform {
  readonly bijection: Bijection;
  readonly network: MadeNetwork;
  private readonly dimensions: number;

  /** @throws OptionError where there is no hidden layer, or the order does not name each element once */
  constructor(dimensions: number, bijection: Bijection, options: MaskedAutoregressiveOptions) {
    this.dimensions = dimensions;
    this.bijection = bijection;
    this.network = new MadeNetwork({
      ...options,
      inputs: dimensions,
      parameterCount: bijection.parameterCount,
      layout: bijection.order,
    });
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { value, logDerivative } = this.bijection.forward(x, this.network.forward(x, context));
    return { y: value, logDet: sumElements(logDerivative) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    return this.dimensions <= unrollLimit(this.bijection)
      ? this.unrolledInverse(y, context)
      : this.iteratedInverse(y, context);
  }

  /** The inverse element by element, written out in the program; differentiable. */
  unrolledInverse(y: Tensor, context?: Tensor): Inverse {
    const rows = y.shape[0] ?? 1;
    const { parameterCount } = this.bijection;
    const columns = split(y.transpose(), 0, new Array<number>(this.dimensions).fill(1));
    const logDerivatives: Tensor[] = [];
    const elements = this.network.unroll(
      (element, parameters) => {
        const own = columns[element] ?? y;
        // One sample of one element whose trailing axis is the batch.
        const { value, logDerivative } = this.bijection.inverse(
          own.reshape([1, 1, rows]),
          parameters.reshape([1, parameterCount, rows]),
        );
        logDerivatives.push(logDerivative.reshape([1, rows]));
        return value.reshape([1, rows]);
      },
      rows,
      context,
    );
    return { x: concat(elements, 0).transpose(), logDet: concat(logDerivatives, 0).sum(0) };
  }

  /**
   * The inverse of all elements at once, x ← f⁻¹(y; θ(x)), until nothing changes: the element at place k is exact after k
   * rounds, usually far earlier (Song et al. 2021, "Accelerating Feedforward Computation via Parallel Nonlinear Equation
   * Solving", section 4). Not differentiable.
   */
  iteratedInverse(y: Tensor, context?: Tensor): Inverse {
    const next = (x: Tensor) => this.bijection.inverse(y, this.network.forward(x, context));
    const [x = y] = whileLoop(
      [y],
      ([before = y]) => {
        const after = next(before).value.clamp(-ITERATE_BOUND, ITERATE_BOUND);
        const change = after.sub(before).abs().sub(after.abs().add(1).mul(TOLERANCE));
        return { state: [after], again: change.max().greater(0) };
      },
      { maximum: this.dimensions },
    );
    const { value, logDerivative } = next(x);
    return { x: value, logDet: sumElements(logDerivative) };
  }
}
