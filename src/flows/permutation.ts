import { OptionError } from "../errors.ts";
import { Random } from "../random.ts";
import { apply, inputAt, int64, type Operation, shapeError, type Tensor } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

type Order = { readonly order: readonly number[] };

function inverseOf(order: readonly number[]): readonly number[] {
  const inverse = new Array<number>(order.length).fill(0);
  order.forEach((from, to) => {
    inverse[from] = to;
  });
  return inverse;
}

/** Reordering of axis 1. Unlike that of a gather, its gradient needs no scattering: it is the inverse reordering. */
const permuteOperation: Operation<Order> = {
  name: "permute",
  infer: (inputs, { order }) => {
    const x = inputAt(inputs, 0);
    if (x.shape[1] !== order.length) throw shapeError("permute", inputs, `axis 1 must be ${order.length}`);
    return [x];
  },
  gradient: ({ attributes: { order }, gradients }) => [
    gradients[0] && apply(permuteOperation, [gradients[0]], { order: inverseOf(order) }),
  ],
  lower: (context, { inputs, attributes: { order } }) => [
    context.emit1({
      op: "Gather",
      inputs: [context.value(inputAt(inputs, 0)), context.constant(int64(order, [order.length]))],
      attributes: { axis: { int: 1 } },
    }),
  ],
};

/** Puts the components, or the channels, of axis 1 in another order that never changes. Volume is preserved. */
export class Permutation implements Transform {
  /** Place i of the result takes the component at place order[i]. */
  readonly order: readonly number[];

  /** @throws OptionError where a place is missing or taken twice */
  constructor(order: readonly number[]) {
    const sorted = [...order].sort((a, b) => a - b);
    if (sorted.some((place, i) => place !== i))
      throw new OptionError(`permutation: [${order}] must hold each of 0 to ${order.length - 1} once`);
    this.order = [...order];
  }

  /** Last to first. */
  static reversed(size: number): Permutation {
    return new Permutation(Array.from({ length: size }, (_, i) => size - 1 - i));
  }

  /** An order drawn from a seed; all are equally likely. */
  static random(size: number, seed: number): Permutation {
    return new Permutation(Array.from(new Random(seed).permutation(size)));
  }

  forward(x: Tensor): Forward {
    return { y: apply(permuteOperation, [x], { order: this.order }), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    const x = apply(permuteOperation, [y], { order: inverseOf(this.order) });
    return { x, logDet: noVolumeChange(y) };
  }
}
