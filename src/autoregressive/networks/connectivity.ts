import { hiddenDegrees } from "../../flows/transforms/masked-autoregressive.ts";
import type { Random } from "../../random.ts";
import { constant, float32, gather, int64, type Tensor, uniform } from "../../tensor/index.ts";
import { orderByKeys, orderTensor, positionsOf, uniformInteger } from "../conditionals.ts";
import { blockSize } from "./blocks.ts";

/** Sizes of a masked network. */
export interface NetworkSizes {
  /** Elements, D. */
  readonly inputs: number;
  /** Units of each hidden layer. */
  readonly hidden: readonly number[];
  /** Whether all hidden layers have the degrees of the first, as those of residual networks must. */
  readonly residual: boolean;
}

/** Which unit may read which: an order, and the degrees of hidden units. A unit of degree d reads the first d positions. */
export interface Connectivity {
  /** The element at each position. */
  readonly order: readonly number[];
  readonly degrees: readonly (readonly number[])[];
}

/** A connectivity in a program: one that is known while tracing, one of several by number, or one that is drawn. */
export interface Mask {
  /** The element at each position, int64 [D]. */
  readonly order: Tensor;
  /** The position of each element, float32 [D]. */
  readonly positions: Tensor;
  /** Degrees of the units of each hidden layer, float32 [units]. */
  readonly degrees: readonly Tensor[];
}

/** A mask with what drawing needs besides. */
export interface DrawingMask extends Mask {
  /**
   * For each hidden layer the units whose degrees lie in each block of positions, int64 [blocks, units of a block], filled
   * up with the number of units, which is none.
   */
  readonly blocks: readonly Tensor[];
}

/** Lowest and highest degree: units that read nothing, or all, would be of no use. */
function degreeRange(inputs: number): readonly [lowest: number, highest: number] {
  return inputs === 1 ? [0, 0] : [1, inputs - 1];
}

/** Degrees spread evenly, the same for all layers of one size. */
export function evenDegrees({ inputs, hidden }: NetworkSizes): Connectivity["degrees"] {
  const [lowest, highest] = degreeRange(inputs);
  return hidden.map((units) => hiddenDegrees(units, lowest, highest));
}

/**
 * Degrees drawn uniformly, from the lowest of the layer before on, so that every unit reads something (Germain et al.
 * 2015, "MADE", section 4.1).
 */
export function randomDegrees(
  { inputs, hidden, residual }: NetworkSizes,
  random: Random,
): Connectivity["degrees"] {
  let [lowest, highest] = degreeRange(inputs);
  const layers: (readonly number[])[] = [];
  for (const units of hidden) {
    const [first] = layers;
    const own =
      residual && first !== undefined
        ? first
        : Array.from({ length: units }, () => lowest + random.integer(highest - lowest + 1));
    lowest = Math.min(...own);
    layers.push(own);
  }
  return layers;
}

/** A mask that is drawn anew at every run of the program. @param order int64 [D] (default: random) */
export function freshMask({ inputs, hidden, residual }: NetworkSizes, order?: Tensor): Mask {
  const [lowest, highest] = degreeRange(inputs);
  const own = order ?? orderByKeys(uniform([inputs]));
  const degrees: Tensor[] = [];
  for (const units of hidden) {
    const before = degrees.at(-1);
    const from = before?.min() ?? constant(lowest);
    const count = from.mul(-1).add(highest + 1);
    const drawn = uniformInteger(uniform([units]), count).add(from);
    degrees.push(residual && before !== undefined ? before : drawn);
  }
  return { order: own, positions: positionsOf(own).cast("float32"), degrees };
}

/** Several connectivities as tables of one program, from which a member is taken by number. */
export class Connectivities {
  /** The order of each member. */
  readonly orders: readonly (readonly number[])[];
  private readonly inputs: number;
  private readonly members: readonly Connectivity[];

  /** @param members at least one, all of the same sizes */
  constructor(inputs: number, members: readonly Connectivity[]) {
    this.inputs = inputs;
    this.members = members;
    this.orders = members.map(({ order }) => order);
  }

  /** The mask of a member, by an int64 scalar. */
  mask(index: Tensor): Mask {
    const positions = this.orders.map((order) => {
      const position = new Array<number>(order.length);
      order.forEach((element, at) => {
        position[element] = at;
      });
      return position;
    });
    const table = (rows: readonly (readonly number[])[]): Tensor =>
      gather(constant(float32(rows.flat(), [rows.length, rows[0]?.length ?? 0])), index, 0);
    return {
      order: gather(constant(int64(this.orders.flat(), [this.orders.length, this.inputs])), index, 0),
      positions: table(positions),
      degrees: (this.members[0]?.degrees ?? []).map((_, layer) =>
        table(this.members.map(({ degrees }) => degrees[layer] ?? [])),
      ),
    };
  }

  /** The mask of a member with its units by block. @param order another order than the member's own, int64 [D] */
  drawingMask(index: Tensor, order?: Tensor): DrawingMask {
    const mask = this.mask(index);
    const blocks = mask.degrees.map((_, layer) => this.unitBlocks(layer, index));
    return order === undefined
      ? { ...mask, blocks }
      : { ...mask, order, positions: positionsOf(order).cast("float32"), blocks };
  }

  private unitBlocks(layer: number, index: Tensor): Tensor {
    const size = blockSize(this.inputs);
    const count = Math.ceil(this.inputs / size);
    const units = this.members[0]?.degrees[layer]?.length ?? 0;
    // A unit of degree d can be computed when the first d positions are known, and is read from position d on.
    const lists = this.members.map(({ degrees }) => {
      const own = Array.from({ length: count }, (): number[] => []);
      for (const [unit, degree] of (degrees[layer] ?? []).entries()) {
        own[Math.max(0, Math.floor((degree - 1) / size))]?.push(unit);
      }
      return own;
    });
    const widest = Math.max(1, ...lists.flat().map((list) => list.length));
    const filled = lists
      .flat(1)
      .flatMap((list) => [...list, ...new Array<number>(widest - list.length).fill(units)]);
    return gather(constant(int64(filled, [this.members.length, count, widest])), index, 0);
  }
}

/** The mask of one connectivity. */
export function oneMask({ order, degrees }: Connectivity): Mask {
  const own = orderTensor(order);
  return {
    order: own,
    positions: positionsOf(own).cast("float32"),
    degrees: degrees.map((layer) => constant(float32(layer, [layer.length]))),
  };
}
