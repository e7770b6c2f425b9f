import { OptionError } from "../../errors.ts";
import type { Activation } from "../../nn/linear.ts";
import { Dropout, degreeMask, Linear, linearLayers } from "../../nn/linear.ts";
import { outputAt } from "../../tensor/graph.ts";
import { arange, concat, constant, gather, pad, split, type Tensor } from "../../tensor/index.ts";
import { atRest, bernoulliLogProb, type Draw, type DrawInputs, type Factors } from "../conditionals.ts";
import { type Block, blockSize, drawInBlocks } from "./blocks.ts";
import type { DrawingMask, Mask, NetworkSizes } from "./connectivity.ts";

/** The layers of a masked network. */
export interface MaskedLayers {
  /** From elements to hidden units, and from hidden to hidden; none for a network without hidden units. */
  readonly layers: readonly Linear[];
  readonly output?: Linear | undefined;
  /** Of the logits. */
  readonly bias?: Tensor | undefined;
  /** Weight from elements to logits, [D, D]. */
  readonly direct?: Tensor | undefined;
  readonly activation: Activation;
  readonly residual: boolean;
}

/** The same with zeros behind the last element of each axis. */
function padded(x: Tensor, ...after: readonly number[]): Tensor {
  return pad(
    x,
    after.map((count) => [0, count]),
  );
}

const ones = (count: number): number[] => new Array<number>(count).fill(1);

/**
 * Draws all elements for about the cost of one pass. Units are computed with the block of positions that completes them:
 * sums over what earlier blocks have made known are kept for all units and logits, so that within a block only its own
 * units are followed from element to element.
 */
export function drawMasked(network: MaskedLayers, mask: DrawingMask, inputs: DrawInputs): Draw {
  const { layers } = network;
  const dimensions = Number(mask.order.shape[0]);
  const rows = inputs.given.shape[0] ?? 1;
  const size = blockSize(dimensions);
  const count = Math.ceil(dimensions / size);
  const beyond = count * size - dimensions;
  const weights = new BlockWeights(network, mask, { size, count, beyond });

  // One row more than there are units stands for those that fill up a block.
  const sums = layers.map(({ weight, bias }) => {
    const [units] = weight.shape as readonly [number, number];
    const start = bias === undefined ? constant(0).broadcastTo([units]) : bias;
    return padded(start, 1)
      .reshape([units + 1, 1])
      .broadcastTo([units + 1, rows]);
  });
  const start = network.bias ?? constant(0).broadcastTo([dimensions]);
  const logitSums = padded(gather(start, mask.order, 0), beyond)
    .reshape([count, size, 1])
    .broadcastTo([count, size, rows]);

  return drawInBlocks(mask.order, inputs, size, [logitSums, ...sums], ([logits, ...known], block) => {
    const own = weights.of(block);
    let first = own.units.map((units, l) => gather(outputAt(known, l), units, 0));
    /** Activations of the block's units under what is known of the first layer. */
    const activations = (): readonly Tensor[] => {
      const result: Tensor[] = [];
      let shortcut: Tensor | undefined;
      first.forEach((start, l) => {
        const before = result[l - 1];
        const within = own.between[l];
        let h = start;
        if (before !== undefined && within !== undefined) h = h.add(within.matmul(before));
        if (network.residual && l % 2 === 0) {
          if (shortcut !== undefined) h = h.add(shortcut);
          shortcut = h;
        }
        result.push(network.activation(h));
      });
      return result;
    };

    let direct = gather(logits, block.index, 0);
    const elements: Tensor[] = [];
    for (let position = 0; position < size; position++) {
      let logit = outputAt(split(direct, 0, ones(size)), position);
      const last = activations().at(-1);
      const read = own.outputs[position];
      if (last !== undefined && read !== undefined) logit = logit.add(read.matmul(last));
      const element = block.choose(logit);
      elements.push(element);
      const column = own.directColumns[position];
      if (column !== undefined) direct = direct.add(column.mul(element));
      const [bottom, ...rest] = first;
      const into = own.inputColumns[position];
      if (bottom !== undefined && into !== undefined) first = [bottom.add(into.mul(element)), ...rest];
    }
    return own.spread([logits, ...known], concat(elements, 0), activations());
  });
}

interface BlockShape {
  readonly size: number;
  readonly count: number;
  /** Positions of the last block beyond the last element. */
  readonly beyond: number;
}

/** What blocks so far have made known: sums of all logits, and of the units of each layer. */
type Sums = readonly [logits: Tensor, ...units: Tensor[]];

/** What of the weights a block of positions needs. */
interface OwnWeights {
  /** Numbers of the block's units of each layer. */
  readonly units: readonly Tensor[];
  /** For each position, the weights from its element to the block's units of the first layer, [units, 1]. */
  readonly inputColumns: readonly Tensor[];
  /** For each layer but the first, the weights between the block's own units, [units, units]. */
  readonly between: readonly (Tensor | undefined)[];
  /** For each position, the weights of its logit, [1, units]. */
  readonly outputs: readonly Tensor[];
  /** For each position, the weights from its element to the logits of the block, [size, 1]. */
  readonly directColumns: readonly Tensor[];
  /** Adds what the block's elements and units give to all logits and units after the block. */
  readonly spread: (sums: Sums, elements: Tensor, activations: readonly Tensor[]) => Sums;
}

/** Weights with elements in the order of their positions, cut by block. */
class BlockWeights {
  private readonly mask: DrawingMask;
  private readonly shape: BlockShape;
  /** [units + 1, blocks, size] */
  private readonly input: Tensor | undefined;
  /** [units + 1, units of the layer before + 1] */
  private readonly hidden: readonly Tensor[];
  /** [blocks · size, units + 1] */
  private readonly output: Tensor | undefined;
  /** [blocks · size, blocks, size] */
  private readonly direct: Tensor | undefined;

  constructor({ layers, output, direct }: MaskedLayers, mask: DrawingMask, shape: BlockShape) {
    const { size, count, beyond } = shape;
    const positions = count * size;
    const { order } = mask;
    const [first, ...hidden] = layers;
    this.mask = mask;
    this.shape = shape;
    if (first !== undefined) {
      const [units] = first.weight.shape as readonly [number, number];
      this.input = padded(gather(first.weight, order, 1), 1, beyond).reshape([units + 1, count, size]);
    }
    this.hidden = hidden.map(({ weight }) => padded(weight, 1, 1));
    if (output !== undefined) this.output = padded(gather(output.weight, order, 0), beyond, 1);
    if (direct !== undefined) {
      const square = padded(gather(gather(direct, order, 0), order, 1), beyond, beyond);
      this.direct = square.reshape([positions, count, size]);
    }
  }

  of({ index }: Block): OwnWeights {
    const { size, count } = this.shape;
    const units = this.mask.blocks.map((blocks) => gather(blocks, index, 0));
    // Units that fill up a block read nothing, and nothing reads them: their weights are zero.
    const degrees = units.map((own, l) => gather(padded(outputAt(this.mask.degrees, l), 1), own, 0));
    const positions = index
      .mul(size)
      .cast("float32")
      .add(arange(0, size, 1, "float32"));
    const input = this.input && gather(this.input, index, 1);
    const direct = this.direct && gather(this.direct, index, 1);
    const inBlock = (x: Tensor): Tensor => gather(x.reshape([count, size, -1]), index, 0);
    const [first] = units;
    const [firstDegrees] = degrees;
    const last = units.at(-1);
    const lastDegrees = degrees.at(-1);

    const inputColumns =
      input && first && firstDegrees
        ? split(gather(input, first, 0).mul(degreeMask(firstDegrees, positions, true)), 1, ones(size))
        : [];
    const between = units.map((own, l) => {
      const [weight, sources] = [this.hidden[l - 1], units[l - 1]];
      const [to, from] = [degrees[l], degrees[l - 1]];
      if (!weight || !sources || !to || !from) return undefined;
      return gather(gather(weight, own, 0), sources, 1).mul(degreeMask(to, from));
    });
    const outputs =
      this.output && last && lastDegrees
        ? split(gather(inBlock(this.output), last, 1).mul(degreeMask(positions, lastDegrees)), 0, ones(size))
        : [];
    const directColumns = direct
      ? split(inBlock(direct).mul(degreeMask(positions, positions, true)), 1, ones(size))
      : [];
    const spread: OwnWeights["spread"] = ([logits, ...known], elements, activations) => {
      const rows = elements.shape[1] ?? 1;
      let next = logits;
      const top = activations.at(-1);
      const add = (product: Tensor): void => {
        next = next.add(product.reshape([count, size, rows]));
      };
      if (direct) add(direct.matmul(elements));
      if (this.output && last && top) add(gather(this.output, last, 1).matmul(top));
      const sums = known.map((sum, l) => {
        const below = l === 0 ? elements : activations[l - 1];
        const [weight, sources] = [this.hidden[l - 1], units[l - 1]];
        const columns = l === 0 ? input : weight && sources && gather(weight, sources, 1);
        return columns && below ? sum.add(columns.matmul(below)) : sum;
      });
      return [next, ...sums];
    };
    return { units, inputColumns, between, outputs, directColumns, spread };
  }
}

export interface MaskedNetworkOptions extends NetworkSizes {
  readonly activation: Activation;
  /** Whether logits also depend on the elements before without a hidden layer between. */
  readonly direct: boolean;
  /** Share of hidden units, and of inputs, that a training step leaves out. */
  readonly dropout: number;
  readonly inputDropout: number;
  /** Log-odds of ones at which the elements begin (default: both values equally likely). */
  readonly marginals?: Float32Array | undefined;
}

/**
 * A perceptron from D zeros and ones to the logits of their conditional distributions, under a mask that comes with each
 * call (Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", sections 3 and 4).
 */
export class MaskedNetwork {
  readonly input: Linear;
  readonly hidden: readonly Linear[];
  readonly output: Linear;
  /** The direct connections of section 4.1, without a bias of their own. */
  readonly direct: Linear | undefined;
  readonly sizes: NetworkSizes;
  readonly activation: Activation;
  private readonly dropout: Dropout;
  private readonly inputDropout: Dropout;

  /** @throws OptionError where there is no hidden layer, or residual layers do not come in pairs of one size */
  constructor(options: MaskedNetworkOptions) {
    const { inputs, hidden, residual } = options;
    const [first, last] = [hidden[0], hidden.at(-1)];
    if (first === undefined || last === undefined) {
      throw new OptionError("MaskedNetwork: hidden: name the size of a hidden layer");
    }
    if (residual && (hidden.length % 2 === 0 || new Set(hidden).size > 1)) {
      throw new OptionError(
        `MaskedNetwork: hidden [${hidden}]: residual layers come in pairs after the first, all of one size`,
      );
    }
    this.input = new Linear(inputs, first);
    this.hidden = linearLayers(hidden);
    this.output = new Linear(last, inputs, atRest(options.marginals));
    this.direct = options.direct ? new Linear(inputs, inputs, { ...atRest(), bias: false }) : undefined;
    this.sizes = { inputs, hidden, residual };
    this.activation = options.activation;
    this.dropout = new Dropout(options.dropout);
    this.inputDropout = new Dropout(options.inputDropout);
  }

  /** Logits of ones of all elements at once: [n, D] → [n, D]. */
  logits(x: Tensor, { positions, degrees }: Mask): Tensor {
    const source = this.inputDropout.forward(x);
    const between = (h: Tensor): Tensor => this.dropout.forward(this.activation(h));
    const layers = [this.input, ...this.hidden];
    let h = source;
    let shortcut: Tensor | undefined;
    let before = positions;
    degrees.forEach((own, l) => {
      const layer = outputAt(layers, l);
      h = layer.apply(h, layer.weight.mul(degreeMask(own, before, l === 0)));
      if (this.sizes.residual && l % 2 === 0) {
        if (shortcut !== undefined) h = h.add(shortcut);
        shortcut = h;
      }
      h = between(h);
      before = own;
    });
    const logits = this.output.apply(h, this.output.weight.mul(degreeMask(positions, before)));
    if (this.direct === undefined) return logits;
    return logits.add(
      this.direct.apply(source, this.direct.weight.mul(degreeMask(positions, positions, true))),
    );
  }

  /** The conditionals under a mask. */
  factors(mask: DrawingMask): Factors {
    return {
      elementLogProb: (x) => bernoulliLogProb(this.logits(x, mask), x),
      draw: (inputs) =>
        drawMasked(
          {
            layers: [this.input, ...this.hidden],
            output: this.output,
            bias: this.output.bias,
            direct: this.direct?.weight,
            activation: this.activation,
            residual: this.sizes.residual,
          },
          mask,
          inputs,
        ),
    };
  }
}
