import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import { countNumbers } from "../memory.ts";
import type { DataInfo } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import { Random } from "../random.ts";
import { constant, elementCount, gather, int64, isTraining, type Tensor, uniform } from "../tensor/index.ts";
import type { Conditionals, Draw, DrawInputs, Ensemble, Factors } from "./conditionals.ts";
import { bernoulliLogProb, checkOrder, elementOrder, marginalLogits, orderTensor } from "./conditionals.ts";
import {
  ACTIVATION_NAMES,
  ACTIVATIONS,
  defineAutoregressive,
  dropoutOptions,
  orderOptions,
} from "./model.ts";
import { NadeNetwork, type NadeNetworkOptions } from "./networks/nade.ts";

/** What either NADE is made of. */
export type NadeOptions = Omit<NadeNetworkOptions, "masked">;

/** NADE in one order (Larochelle and Murray 2011). */
export class Nade extends NadeNetwork implements Conditionals {
  readonly kind = "one-order";
  readonly order: readonly number[];

  /** @throws OptionError where the order does not name each element once */
  constructor(options: NadeOptions, order: readonly number[]) {
    super({ ...options, masked: false });
    checkOrder(order, options.inputs);
    this.order = order;
  }

  override elementLogProb(x: Tensor): Tensor {
    const isNatural = this.order.every((element, position) => element === position);
    return super.elementLogProb(x, isNatural ? undefined : orderTensor(this.order));
  }

  override draw(inputs: DrawInputs): Draw {
    return super.draw(inputs, orderTensor(this.order));
  }
}

/** Estimates for each sample that a validation takes the mean of. */
const VALIDATION_DRAWS = 8;

/**
 * Order-agnostic NADE (Uria, Murray and Larochelle 2014, "A deep and tractable density estimator"): one network for all
 * orders, trained to predict any elements from any others, and the mixture of the models in several orders (EoNADE).
 */
export class OrderlessNade extends NadeNetwork implements Ensemble {
  readonly kind = "ensemble";
  readonly orders: readonly (readonly number[])[];

  /**
   * @param orders those that are averaged over and drawn in
   * @throws OptionError where an order does not name each element once
   */
  constructor(options: NadeOptions, orders: readonly (readonly number[])[]) {
    super({ ...options, masked: true });
    for (const order of orders) checkOrder(order, options.inputs);
    this.orders = orders;
  }

  inOrder(order: Tensor): Factors {
    return {
      elementLogProb: (x) => this.elementLogProb(x, order),
      draw: (inputs) => this.draw(inputs, order),
    };
  }

  member(index: Tensor): Factors {
    const table = constant(int64(this.orders.flat(), [this.orders.length, this.inputs]));
    return this.inOrder(gather(table, index, 0));
  }

  /**
   * An unbiased estimate of the mean over all orders of log p(x) (equation 13): of a random order and position, the
   * log-probability of all elements from there on, each given those before the position. In validation, too: the mixture of
   * orders would take as many passes as there are elements, for each of them.
   */
  lossLogProb(x: Tensor): Tensor {
    if (isTraining()) return this.estimate(x, 0, 1);
    const estimates = Array.from({ length: VALIDATION_DRAWS }, (_, i) =>
      this.estimate(x, i / VALIDATION_DRAWS, 1 / VALIDATION_DRAWS),
    );
    return estimates.reduce((a, b) => a.add(b)).mul(1 / VALIDATION_DRAWS);
  }

  /** @param first of the stratum of shares of known elements, of this width */
  private estimate(x: Tensor, first: number, width: number): Tensor {
    const [rows = 1, dimensions] = [x.shape[0], this.inputs];
    // Each element is known with the same random probability: then the number of known ones is uniform from 0 to D, and
    // all sets of as many are equally probable. Where all are known there is nothing to predict; the factor D + 1 makes up
    // for it.
    const share = uniform([rows, 1]).mul(width).add(first);
    const mask = uniform([rows, dimensions]).less(share).cast("float32");
    const unknown = mask.neg().add(1);
    const logs = bernoulliLogProb(this.logitsGiven(x, mask), x).mul(unknown);
    return logs
      .sum(1)
      .mul(dimensions + 1)
      .div(unknown.sum(1).maximum(1));
  }
}

/** Options of NADE. */
export const nadeOptions = orderOptions.extend({
  width: unitCount().default(500).describe("units of a hidden layer"),
  hiddenLayers: layerCount().default(1).describe("hidden layers; more than one with agnostic orders"),
  activation: z
    .enum(ACTIVATION_NAMES)
    .default("relu")
    .describe(
      "activation function of the hidden units; the first NADE (Larochelle and Murray) has sigmoid, which learns more slowly",
    ),
  orders: z
    .enum(["one", "agnostic"])
    .default("one")
    .describe(
      "one order of the elements, or one network for all orders, which completes samples from any known elements exactly",
    ),
  ensemble: layerCount()
    .default(8)
    .describe("with agnostic orders, the number of random ones that the model averages over"),
  ...dropoutOptions.shape,
});

export type NadeModelOptions = z.output<typeof nadeOptions>;

/** One order, or an ensemble of several, by the options of NADE. */
function conditionals(options: NadeModelOptions, data: DataInfo): Nade | OrderlessNade {
  const { width, hiddenLayers, orders, order, orderSeed, ensemble, dropout, inputDropout } = options;
  const inputs = elementCount(data.sampleShape);
  const activation = ACTIVATIONS[options.activation];
  const others = new Array<number>(hiddenLayers - 1).fill(width);
  const hidden = [width, ...others] as const;
  const marginals = marginalLogits(data);
  const network: NadeOptions = { inputs, hidden, activation, dropout, inputDropout, marginals };
  if (orders === "one") {
    if (hiddenLayers > 1) {
      throw new OptionError("option hiddenLayers: NADE has one hidden layer unless orders is agnostic");
    }
    return new Nade(network, elementOrder(order, inputs, orderSeed));
  }
  const random = new Random(orderSeed).split("ensemble");
  countNumbers("orders of elements", ensemble * inputs);
  const members = Array.from({ length: ensemble }, (_, i) => Array.from(random.split(i).permutation(inputs)));
  return new OrderlessNade(network, members);
}

/** NADE as the catalogue knows it. */
export const nadeDefinition = defineAutoregressive({
  name: "nade",
  summary:
    "neural autoregressive distribution estimator: one hidden layer for each element, all sharing their weights",
  paper:
    "Larochelle and Murray 2011, The Neural Autoregressive Distribution Estimator; Uria, Murray and Larochelle 2014, " +
    "A Deep and Tractable Density Estimator, arXiv:1310.1757",
  options: nadeOptions,
  conditionals,
  preferences: { learningRate: 3e-3 },
});

/**
 * NADE, the neural autoregressive distribution estimator, over zeros and ones, in one order or order-agnostic.
 * @throws OptionError where several hidden layers are asked for in one order
 */
export const nade = builderOf(nadeDefinition);
