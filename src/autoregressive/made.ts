import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import { countNumbers } from "../memory.ts";
import type { DataInfo } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import { Random } from "../random.ts";
import { constant, elementCount, int64, isTraining, type Tensor, uniform } from "../tensor/index.ts";
import {
  bernoulliLogProb,
  type Conditionals,
  checkOrder,
  type Draw,
  type DrawInputs,
  type Ensemble,
  elementOrder,
  type Factors,
  marginalLogits,
  mixtureLogProb,
  orderTensor,
  uniformInteger,
} from "./conditionals.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  defineAutoregressive,
  dropoutOptions,
  orderOptions,
} from "./model.ts";
import {
  Connectivities,
  type Connectivity,
  evenDegrees,
  freshMask,
  type NetworkSizes,
  randomDegrees,
} from "./networks/connectivity.ts";
import { MaskedNetwork, type MaskedNetworkOptions } from "./networks/masked.ts";

/** MADE with one mask. */
export class MaskedAutoencoder extends MaskedNetwork implements Conditionals {
  readonly kind = "one-order";
  readonly order: readonly number[];
  private readonly connectivities: Connectivities;

  /** @throws OptionError where the order does not name each element once, or as `MaskedNetwork` does */
  constructor(options: MaskedNetworkOptions, connectivity: Connectivity) {
    super(options);
    checkOrder(connectivity.order, options.inputs);
    this.order = connectivity.order;
    this.connectivities = new Connectivities(options.inputs, [connectivity]);
  }

  private get own(): Factors {
    return this.factors(this.connectivities.drawingMask(constant(int64([0], []))));
  }

  elementLogProb(x: Tensor): Tensor {
    return this.own.elementLogProb(x);
  }

  draw(inputs: DrawInputs): Draw {
    return this.own.draw(inputs);
  }
}

/** How the masks of an ensemble come about. */
export interface EnsembleMasks {
  /** Those that are averaged over and drawn from. */
  readonly members: readonly Connectivity[];
  /** What a training step takes: one of the members, or a mask of its own, in the order of the first member or in a new one. */
  readonly training: "members" | "fresh" | "fresh-orders";
}

/**
 * MADE with several masks (Germain et al. 2015, sections 4.1 and 4.2): each training step takes one at random, and the
 * model is the mixture of all.
 */
export class MaskedEnsemble extends MaskedNetwork implements Ensemble {
  readonly kind = "ensemble";
  readonly orders: readonly (readonly number[])[];
  readonly inOrder?: (order: Tensor) => Factors;
  private readonly connectivities: Connectivities;
  private readonly training: EnsembleMasks["training"];

  /** @throws OptionError where an order does not name each element once, or as `MaskedNetwork` does */
  constructor(options: MaskedNetworkOptions, { members, training }: EnsembleMasks) {
    super(options);
    for (const { order } of members) checkOrder(order, options.inputs);
    const connectivities = new Connectivities(options.inputs, members);
    this.connectivities = connectivities;
    this.orders = connectivities.orders;
    this.training = training;
    if (training === "fresh-orders") {
      this.inOrder = (order) => this.factors(connectivities.drawingMask(constant(int64([0], [])), order));
    }
  }

  member(index: Tensor): Factors {
    return this.factors(this.connectivities.drawingMask(index));
  }

  lossLogProb(x: Tensor): Tensor {
    if (!isTraining()) return mixtureLogProb(this, x);
    return bernoulliLogProb(this.logits(x, this.trainingMask()), x).sum(1);
  }

  private trainingMask() {
    const [order] = this.orders;
    switch (this.training) {
      case "members":
        return this.connectivities.mask(uniformInteger(uniform([]), this.orders.length).cast("int64"));
      case "fresh":
        if (order === undefined) throw new OptionError("MaskedEnsemble: name at least one member");
        return freshMask(this.sizes, orderTensor(order));
      case "fresh-orders":
        return freshMask(this.sizes);
    }
  }
}

/** Options of MADE. */
export const madeOptions = orderOptions.extend({
  hiddenLayers: layerCount().default(1).describe("hidden layers; with residual connections an odd number"),
  width: unitCount().default(500).describe("units of a hidden layer"),
  activation: z.enum(ACTIVATION_NAMES).default("relu").describe("activation function between the layers"),
  masks: layerCount()
    .default(1)
    .describe("number of masks; training takes one at random, the model averages over all"),
  orders: z
    .enum(["one", "agnostic"])
    .default("one")
    .describe("whether all masks share one order of the elements, or each has a random one of its own"),
  fresh: z
    .boolean()
    .default(false)
    .describe(
      "draw a new mask at each training step; with agnostic orders, the model then serves any order and completes samples " +
        "from any known elements exactly",
    ),
  direct: z
    .boolean()
    .default(false)
    .describe("connect inputs to outputs also without a hidden layer between"),
  residual: z.boolean().default(false).describe("add each pair of hidden layers to what went in"),
  ...dropoutOptions.shape,
});

export type MadeModelOptions = z.output<typeof madeOptions>;

/** The connectivities of a model's masks. */
function connectivities(options: MadeModelOptions, sizes: NetworkSizes): readonly Connectivity[] {
  const { order, orderSeed, masks, orders, fresh } = options;
  const random = new Random(orderSeed).split("masks");
  const units = sizes.hidden.reduce((sum, width) => sum + width, 0);
  countNumbers("orders and degrees of masks", masks * (sizes.inputs + units));
  return Array.from({ length: masks }, (_, i) => {
    const own = random.split(i);
    return {
      order:
        orders === "one"
          ? elementOrder(order, sizes.inputs, orderSeed)
          : Array.from(own.split("order").permutation(sizes.inputs)),
      // Alone, a mask had better treat all elements alike.
      degrees: masks === 1 && !fresh ? evenDegrees(sizes) : randomDegrees(sizes, own.split("degrees")),
    };
  });
}

/** One mask, or several, by the options of MADE. */
function conditionals(options: MadeModelOptions, data: DataInfo): MaskedAutoencoder | MaskedEnsemble {
  const { hiddenLayers, width, residual, fresh, orders } = options;
  const sizes = {
    inputs: elementCount(data.sampleShape),
    hidden: new Array<number>(hiddenLayers).fill(width),
    residual,
  };
  const network: MaskedNetworkOptions = {
    ...sizes,
    activation: ACTIVATIONS[options.activation],
    direct: options.direct,
    dropout: options.dropout,
    inputDropout: options.inputDropout,
    marginals: marginalLogits(data),
  };
  const members = connectivities(options, sizes);
  const [first] = members;
  if (members.length === 1 && !fresh && first !== undefined) {
    return new MaskedAutoencoder(network, first);
  }
  const training = !fresh ? "members" : orders === "one" ? "fresh" : "fresh-orders";
  return new MaskedEnsemble(network, { members, training });
}

/** MADE as the catalogue knows it. */
export const madeDefinition = defineAutoregressive({
  name: "made",
  summary:
    "masked autoencoder: all conditionals in one pass of a perceptron, one mask or an average of several",
  paper:
    "Germain, Gregor, Murray and Larochelle 2015, MADE: Masked Autoencoder for Distribution Estimation, arXiv:1502.03509",
  options: madeOptions,
  conditionals,
  preferences: { learningRate: 1e-3 },
});

/**
 * MADE, the masked autoencoder for distribution estimation (Germain et al. 2015), over zeros and ones: one mask or
 * several, in one order or many, deep, with direct or residual connections.
 * @throws OptionError where residual layers do not come in pairs after the first
 */
export const made = builderOf(madeDefinition);
