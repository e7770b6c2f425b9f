import { OptionError } from "../../errors.ts";
import { kaimingNormal, zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { concat, slice, split, stack, type Tensor } from "../../tensor/index.ts";
import { type Bijection, sumElements } from "./bijections.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** A module that maps [n, in, …] to [n, out, …], rows or feature maps, under a context [n, c] where the flow is conditional. */
export interface Conditioner {
  forward(x: Tensor, context?: Tensor): Tensor;
}

/** A multilayer perceptron with ReLU between its layers and a linear output: the coupling function m of NICE. The last layer starts at zero. */
export class ReluNetwork implements Conditioner {
  readonly layers: readonly Linear[];
  /** Adds the context to the first hidden layer. */
  readonly context: Linear | undefined;

  /**
   * @param sizes of the input, of every hidden layer and of the output
   * @param contextSize length of the context vector; 0 for none
   */
  constructor(sizes: readonly number[], contextSize = 0) {
    this.context =
      contextSize === 0 ? undefined : new Linear(contextSize, sizes[1] ?? contextSize, { bias: false });
    const last = sizes.length - 2;
    this.layers = sizes.slice(1).map(
      (outputs, i) =>
        new Linear(sizes[i] ?? outputs, outputs, {
          initializeWeight: i === last ? zeros : kaimingNormal(),
          initializeBias: zeros,
        }),
    );
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    return this.layers.reduce((hidden, layer, i) => {
      const next = layer.forward(i === 0 ? hidden : hidden.relu());
      return i === 0 && this.context && context ? next.add(this.context.forward(context)) : next;
    }, x);
  }
}

/**
 * Puts the components at odd positions (first, third, …) before those at even positions, so that couplings can work on two
 * halves; volume is preserved. With D components the first half has ⌈D/2⌉.
 */
export class OddEvenOrder implements Transform {
  readonly dimensions: number;

  constructor(dimensions: number) {
    this.dimensions = dimensions;
  }

  forward(x: Tensor): Forward {
    const y = concat([slice(x, 1, 0, this.dimensions, 2), slice(x, 1, 1, this.dimensions, 2)], 1);
    return { y, logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    const odd = Math.ceil(this.dimensions / 2);
    const even = this.dimensions - odd;
    const first = slice(y, 1, 0, odd);
    const second = slice(y, 1, odd, this.dimensions);
    // With one odd component too many, its partner is any column, cut off afterwards.
    const partner = odd === even ? second : concat([second, slice(first, 1, 0, 1)], 1);
    const paired = stack([first, partner], 2).reshape([y.shape[0] ?? 1, 2 * odd]);
    return { x: slice(paired, 1, 0, this.dimensions), logDet: noVolumeChange(y) };
  }
}

/** Which half of the components a coupling changes; the other half is passed on and steers the change. */
export type CoupledHalf = "first" | "second";

/** The halves of rows as one coupling sees them. */
export interface Halves {
  /** Components of the first and of the second half. */
  readonly sizes: readonly [number, number];
  readonly changes: CoupledHalf;
  /** Components of the half that is passed on, and of the half that is changed. */
  readonly kept: number;
  readonly changed: number;
}

/**
 * The halves of coupling `index` of rows with `dimensions` components, in a stack that changes the halves in turn: the
 * second first (Dinh et al. 2014, section 3.2). The first half has ⌈D/2⌉ components.
 */
export function alternatingHalves(index: number, dimensions: number): Halves {
  const first = Math.ceil(dimensions / 2);
  const second = dimensions - first;
  const sizes = [first, second] as const;
  return index % 2 === 0
    ? { sizes, changes: "second", kept: first, changed: second }
    : { sizes, changes: "first", kept: second, changed: first };
}

/**
 * Additive coupling: one half is passed on, y₁ = x₁, and the other shifted, y₂ = x₂ + m(x₁). Its determinant is 1 for
 * any function m, and its inverse is x₂ = y₂ − m(y₁). Dinh, Krueger and Bengio 2014, "NICE", section 3.2.
 */
export class AdditiveCoupling implements Transform {
  /** m: from the half that is passed on to a shift of the other. */
  readonly network: Conditioner;
  private readonly sizes: readonly [number, number];
  private readonly changes: CoupledHalf;

  /**
   * @param sizes number of components in the first and the second half
   * @throws OptionError where a half is empty
   */
  constructor(sizes: readonly [number, number], changes: CoupledHalf, network: Conditioner) {
    checkHalves(sizes);
    this.sizes = sizes;
    this.changes = changes;
    this.network = network;
  }

  private shift(x: Tensor, sign: 1 | -1, context?: Tensor): Tensor {
    const [first, second] = split(x, 1, this.sizes) as [Tensor, Tensor];
    return this.changes === "first"
      ? concat([first.add(this.network.forward(second, context).mul(sign)), second], 1)
      : concat([first, second.add(this.network.forward(first, context).mul(sign))], 1);
  }

  forward(x: Tensor, context?: Tensor): Forward {
    return { y: this.shift(x, 1, context), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    return { x: this.shift(y, -1, context), logDet: noVolumeChange(y) };
  }
}

/**
 * A coupling along axis 1, of rows or of the channels of images: one half is passed on, and each element of the other
 * goes through a bijection whose parameters a network reads off the first. The Jacobian is triangular, so that the
 * log-determinant is the sum of log-derivatives (Dinh et al. 2017, "RealNVP", section 3.2).
 */
export class Coupling implements Transform {
  readonly bijection: Bijection;
  /** From the half that is passed on to the parameters of the other: [n, parameterCount · size, …]. */
  readonly network: Conditioner;
  private readonly sizes: readonly [number, number];
  private readonly changes: CoupledHalf;

  /**
   * @param sizes number of components (or channels) in the first and the second half
   * @throws OptionError where a half is empty
   */
  constructor(
    sizes: readonly [number, number],
    changes: CoupledHalf,
    bijection: Bijection,
    network: Conditioner,
  ) {
    checkHalves(sizes);
    this.sizes = sizes;
    this.changes = changes;
    this.bijection = bijection;
    this.network = network;
  }

  private divide(x: Tensor): { readonly kept: Tensor; readonly changed: Tensor } {
    const [first, second] = split(x, 1, this.sizes) as [Tensor, Tensor];
    return this.changes === "first" ? { kept: second, changed: first } : { kept: first, changed: second };
  }

  private join(kept: Tensor, changed: Tensor): Tensor {
    return concat(this.changes === "first" ? [changed, kept] : [kept, changed], 1);
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { kept, changed } = this.divide(x);
    const { value, logDerivative } = this.bijection.forward(changed, this.network.forward(kept, context));
    return { y: this.join(kept, value), logDet: sumElements(logDerivative) };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const { kept, changed } = this.divide(y);
    const { value, logDerivative } = this.bijection.inverse(changed, this.network.forward(kept, context));
    return { x: this.join(kept, value), logDet: sumElements(logDerivative) };
  }
}

function checkHalves(sizes: readonly [number, number]): void {
  if (sizes[0] < 1 || sizes[1] < 1) {
    throw new OptionError(
      "a coupling flow needs samples of at least two numbers, to change one half by the other",
    );
  }
}
