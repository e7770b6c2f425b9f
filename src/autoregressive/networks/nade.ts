import type { Activation } from "../../nn/linear.ts";
import { Dropout, Linear, linearLayers } from "../../nn/linear.ts";
import { outputAt } from "../../tensor/graph.ts";
import { cumSum } from "../../tensor/index.operations.ts";
import {
  concat,
  constant,
  type Dim,
  gather,
  isTraining,
  pad,
  slice,
  split,
  type Tensor,
} from "../../tensor/index.ts";
import type { Draw, DrawInputs } from "../conditionals.ts";
import { atRest, bernoulliLogProb, positionsOf } from "../conditionals.ts";
import { blockSize, drawInBlocks } from "./blocks.ts";

/** Hidden units of all samples and positions of a block: few enough to stay in a processor's cache. */
const BLOCK_UNITS = 1 << 20;

export interface NadeNetworkOptions {
  /** Elements, D. */
  readonly inputs: number;
  /** Units of each hidden layer. */
  readonly hidden: readonly [number, ...number[]];
  readonly activation: Activation;
  /** Whether the mask of known elements is an input too: 2 D inputs, the known elements and the mask. */
  readonly masked: boolean;
  /** Share of hidden units, and of inputs, that a training step leaves out. */
  readonly dropout: number;
  readonly inputDropout: number;
  /** Log-odds of ones at which the elements begin (default: both values equally likely). */
  readonly marginals?: Float32Array | undefined;
}

/**
 * The network of NADE: from the known elements (and, where it serves any order, from which these are) to the logits of all.
 * Under an order only the logit at position i is read when the first i elements are known, and hidden units go from position to
 * position by adding one column of the input's weight: h_i = φ(c + W_:,<i x_<i), logit_i = b_i + V_i h_i (Larochelle and
 * Murray 2011, "The Neural Autoregressive Distribution Estimator", equations 9 and 10).
 */
export class NadeNetwork {
  /** W and c. */
  readonly input: Linear;
  readonly hidden: readonly Linear[];
  /** V and b. */
  readonly output: Linear;
  readonly inputs: number;
  private readonly masked: boolean;
  private readonly activation: Activation;
  private readonly dropout: Dropout;
  private readonly inputDropout: Dropout;

  constructor({ inputs, hidden, activation, masked, dropout, inputDropout, marginals }: NadeNetworkOptions) {
    const [first] = hidden;
    this.input = new Linear(masked ? 2 * inputs : inputs, first);
    this.hidden = linearLayers(hidden);
    this.output = new Linear(hidden.at(-1) ?? first, inputs, atRest(marginals));
    this.inputs = inputs;
    this.masked = masked;
    this.activation = activation;
    this.dropout = new Dropout(dropout);
    this.inputDropout = new Dropout(inputDropout);
  }

  /** Logits of all elements when those are known where the mask is 1: x and mask [n, D] → [n, D]. */
  logitsGiven(x: Tensor, mask: Tensor): Tensor {
    const known = this.inputDropout.forward(x.mul(mask));
    const layers = [this.input, ...this.hidden];
    const h = layers.reduce(
      (before, layer) => this.dropout.forward(this.activation(layer.forward(before))),
      this.masked ? concat([known, mask], 1) : known,
    );
    return this.output.forward(h);
  }

  /**
   * log p(x_i | the elements before it in an order), [n, D] → [n, D] by element.
   * @param order the element at each position, int64 [D] (default: the elements' own)
   */
  elementLogProb(x: Tensor, order?: Tensor): Tensor {
    const logits = this.positionLogits(order === undefined ? x : gather(x, order, 1), order);
    const own = order === undefined ? logits : gather(logits, positionsOf(order), 0);
    return bernoulliLogProb(own.transpose(), x);
  }

  /**
   * Logits of all positions, [n, D] in the order of positions → [D, n]. All D hidden layers of a sample are about to be needed
   * for the gradient; they are made block by block, the sums over earlier elements running along a block.
   */
  private positionLogits(x: Tensor, order?: Tensor): Tensor {
    const rows = x.shape[0] ?? 1;
    const { columns, maskColumns, outputs, biases } = this.byPosition(order);
    const sizes = blockSizes(this.inputs, rows, Number(this.input.weight.shape[0]));
    const cut = (table: Tensor, axis: number): readonly Tensor[] => split(table, axis, sizes);
    const [known, weights, masks, reads] = [
      cut(this.inputDropout.forward(x), 1),
      cut(columns, 0),
      maskColumns && cut(maskColumns, 0),
      cut(outputs, 0),
    ];
    const kept = this.keptUnits(rows);
    let start = (this.input.bias ?? constant(0)).broadcastTo([rows, columns.shape[1] ?? 1]);
    const logits = weights.map((weight, block) => {
      const [own, read, mask] = [outputAt(known, block), outputAt(reads, block), masks?.[block]];
      let h = this.activation(sumsOfBlock(start, own, weight, mask));
      if (kept !== undefined) h = h.mul(kept);
      for (const layer of this.hidden) h = this.activation(layer.forward(h));
      const more = own.matmul(weight);
      start = start.add(mask === undefined ? more : more.add(mask.sum(0)));
      return h.matmul(read.unsqueeze(2)).squeeze(2);
    });
    return concat(logits, 0).add(biases.unsqueeze(1));
  }

  /** While training, 0 for the hidden units of a sample that are left out, the same at all positions; otherwise nothing. */
  private keptUnits(rows: Dim): Tensor | undefined {
    if (!isTraining() || this.dropout.rate === 0) return undefined;
    return this.dropout.forward(constant(1).broadcastTo([rows, this.input.weight.shape[0] ?? 1]));
  }

  /** Weights with the elements in the order of their positions: rows [D, units], and the biases of the logits, [D]. */
  private byPosition(order?: Tensor) {
    const placed = (table: Tensor): Tensor => (order === undefined ? table : gather(table, order, 0));
    const columns = this.input.weight.transpose();
    const part = (index: number): Tensor =>
      placed(slice(columns, 0, index * this.inputs, (index + 1) * this.inputs));
    return {
      columns: part(0),
      maskColumns: this.masked ? part(1) : undefined,
      outputs: placed(this.output.weight),
      biases: placed(this.output.bias ?? constant(0).broadcastTo([this.inputs])),
    };
  }

  /** Draws position by position; what goes from one to the next are the sums of the first hidden layer. */
  draw(inputs: DrawInputs, order: Tensor): Draw {
    const rows = inputs.given.shape[0] ?? 1;
    const size = blockSize(this.inputs);
    const count = Math.ceil(this.inputs / size);
    const { columns, maskColumns, outputs, biases } = this.byPosition(order);
    const units = columns.shape[1] ?? 1;
    /** Positions by block, each as [width, 1] or [1, width]. */
    const blocks = (table: Tensor): Tensor =>
      pad(table, [
        [0, count * size - this.inputs],
        [0, 0],
      ]).reshape([count, size, -1]);
    const [weights, masks, reads, shifts] = [
      blocks(columns),
      maskColumns && blocks(maskColumns),
      blocks(outputs),
      blocks(biases.unsqueeze(1)),
    ];
    const first = (this.input.bias ?? constant(0).broadcastTo([units])).unsqueeze(1);
    return drawInBlocks(order, inputs, size, [first.broadcastTo([units, rows])], ([start], block) => {
      const own = (table: Tensor): readonly Tensor[] =>
        split(gather(table, block.index, 0), 0, new Array<number>(size).fill(1));
      const [weight, mask, read, shift] = [own(weights), masks && own(masks), own(reads), own(shifts)];
      let sums = start;
      read.forEach((row, position) => {
        let h = this.activation(sums);
        for (const layer of this.hidden) {
          const next = layer.weight.matmul(h);
          h = this.activation(layer.bias === undefined ? next : next.add(layer.bias.unsqueeze(1)));
        }
        const element = block.choose(row.matmul(h).add(outputAt(shift, position)));
        sums = sums.add(outputAt(weight, position).transpose().mul(element));
        if (mask !== undefined) sums = sums.add(outputAt(mask, position).transpose());
      });
      return [sums];
    });
  }
}

/**
 * What the units of the first hidden layer sum up to at each position of a block, [size, n, units]: `start` at its first
 * position, and at each next one more by the weights of the element before, and by those of its being known.
 */
function sumsOfBlock(start: Tensor, x: Tensor, weight: Tensor, mask: Tensor | undefined): Tensor {
  const before = Number(weight.shape[0]) - 1;
  const first = start.unsqueeze(0);
  if (before === 0) return first;
  const products = slice(x, 1, 0, before)
    .transpose()
    .unsqueeze(2)
    .matmul(slice(weight, 0, 0, before).unsqueeze(1));
  const steps = mask === undefined ? products : products.add(slice(mask, 0, 0, before).unsqueeze(1));
  return cumSum(concat([first, steps], 0), 0);
}

/** Positions of each block. */
function blockSizes(positions: number, rows: Dim, units: number): readonly number[] {
  const fitting = typeof rows === "number" ? Math.round(BLOCK_UNITS / (rows * units)) : 16;
  const size = Math.min(positions, Math.max(8, Math.min(64, fitting)));
  const full = new Array<number>(Math.floor(positions / size)).fill(size);
  return positions % size === 0 ? full : [...full, positions % size];
}
