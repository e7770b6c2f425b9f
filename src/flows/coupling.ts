import { OptionError } from "../errors.ts";
import { concat, slice, split, stack, type Tensor } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

/** A module that maps rows [n, in] to [n, out]. */
export interface RowNetwork {
  forward(x: Tensor): Tensor;
}

/**
 * Puts the components at odd places (first, third, …) before those at even places, so that couplings can work on two
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

/**
 * Additive coupling: one half is passed on, y₁ = x₁, and the other shifted, y₂ = x₂ + m(x₁). Its determinant is 1 for
 * any function m, and its inverse is x₂ = y₂ − m(y₁). Dinh, Krueger and Bengio 2014, "NICE", section 3.2.
 */
export class AdditiveCoupling implements Transform {
  /** m: from the half that is passed on to a shift of the other. */
  readonly network: RowNetwork;
  private readonly sizes: readonly [number, number];
  private readonly changes: CoupledHalf;

  /**
   * @param sizes number of components in the first and the second half
   * @throws OptionError where a half is empty
   */
  constructor(sizes: readonly [number, number], changes: CoupledHalf, network: RowNetwork) {
    if (sizes[0] < 1 || sizes[1] < 1) {
      throw new OptionError(
        "a coupling flow needs samples of at least two numbers, to shift one half by the other",
      );
    }
    this.sizes = sizes;
    this.changes = changes;
    this.network = network;
  }

  private shift(x: Tensor, sign: 1 | -1): Tensor {
    const [first, second] = split(x, 1, this.sizes) as [Tensor, Tensor];
    return this.changes === "first"
      ? concat([first.add(this.network.forward(second).mul(sign)), second], 1)
      : concat([first, second.add(this.network.forward(first).mul(sign))], 1);
  }

  forward(x: Tensor): Forward {
    return { y: this.shift(x, 1), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    return { x: this.shift(y, -1), logDet: noVolumeChange(y) };
  }
}
