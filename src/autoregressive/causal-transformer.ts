import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import { elementCount, gather, type Tensor } from "../tensor/index.ts";
import type { Conditionals, Draw, DrawInputs } from "./conditionals.ts";
import {
  bernoulliLogProb,
  checkOrder,
  elementOrder,
  marginalLogits,
  orderTensor,
  positionsOf,
} from "./conditionals.ts";
import { defineAutoregressive, orderOptions } from "./model.ts";
import { drawSequence, TransformerNetwork, type TransformerNetworkOptions } from "./networks/transformer.ts";

/** Numbers that the keys and values of all rows that are drawn at once may have. */
const CACHE_ELEMENTS = 1 << 26;

/** The conditionals of a decoder-only Transformer over zeros and ones in some order. */
export class TransformerConditionals implements Conditionals {
  readonly kind = "one-order";
  readonly network: TransformerNetwork;
  readonly order: readonly number[];
  readonly rowsAtOnce: number;
  private readonly options: TransformerNetworkOptions;

  /** @throws OptionError where the order does not name each element once, or the heads do not divide the width */
  constructor(options: TransformerNetworkOptions) {
    const { order, axes, width, layers } = options;
    checkOrder(order, elementCount(axes));
    this.network = new TransformerNetwork(options);
    this.order = order;
    this.rowsAtOnce = Math.max(1, Math.floor(CACHE_ELEMENTS / (2 * order.length * width * layers)));
    this.options = options;
  }

  elementLogProb(x: Tensor): Tensor {
    if (this.order.every((element, position) => element === position)) {
      return bernoulliLogProb(this.network.forward(x), x);
    }
    const order = orderTensor(this.order);
    const byPosition = gather(x, order, 1);
    return gather(bernoulliLogProb(this.network.forward(byPosition), byPosition), positionsOf(order), 1);
  }

  draw(inputs: DrawInputs): Draw {
    return drawSequence(this.network, this.order, this.options, inputs);
  }
}

/** Options of the causal Transformer. */
export const causalTransformerOptions = orderOptions.extend({
  width: unitCount().default(64).describe("length of the vectors between the layers"),
  layers: layerCount().default(4).describe("layers"),
  heads: unitCount().default(4).describe("heads of attention; they divide the width"),
  hidden: unitCount().optional().describe("units of the perceptron of a layer (default: 4 times the width)"),
  window: unitCount().optional().describe("number of earlier variables that a layer sees (default: all)"),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("dropout rate of vectors between layers and of hidden units (default: vectors 0.1, images 0)"),
});

export type CausalTransformerOptions = z.output<typeof causalTransformerOptions>;

function conditionals(options: CausalTransformerOptions, data: DataInfo): TransformerConditionals {
  const isImage = data.sampleShape.length > 1;
  const { order, orderSeed, width, dropout = isImage ? 0 : 0.1, hidden = 4 * width, ...rest } = options;
  const axes = isImage ? data.sampleShape.slice(-2) : data.sampleShape;
  const dimensions = elementCount(data.sampleShape);
  if (dimensions !== elementCount(axes)) {
    throw new OptionError(`causal-transformer: images must have one channel, not [${data.sampleShape}]`);
  }
  return new TransformerConditionals({
    ...rest,
    order: elementOrder(order, dimensions, orderSeed),
    axes,
    width,
    hidden,
    dropout,
    marginals: marginalLogits(data),
  });
}

/** The causal Transformer as the catalogue knows it. */
export const causalTransformerDefinition = defineAutoregressive({
  name: "causal-transformer",
  summary: "decoder-only Transformer over the variables: exact log-probabilities of zeros and ones",
  paper:
    "Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin 2017, Attention Is All You Need, arXiv:1706.03762",
  options: causalTransformerOptions,
  conditionals,
  preferences: ({ sampleShape }) => ({
    learningRate: 2e-3,
    batchSize: sampleShape.length > 1 ? 16 : 64,
    warmupSteps: 100,
    clipNorm: 1,
  }),
});

/**
 * A small decoder-only Transformer (Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019) over the
 * variables of binary vectors or the pixels of binary images.
 * @throws OptionError where the heads do not divide the width
 */
export const causalTransformer = builderOf(causalTransformerDefinition);
