import type { z } from "zod";
import { builderOf } from "../model/definition.ts";
import { degreeMask, Linear } from "../nn/linear.ts";
import { elementCount, type Tensor } from "../tensor/index.ts";
import type { Conditionals, Draw, DrawInputs } from "./conditionals.ts";
import { atRest, bernoulliLogProb, checkOrder, elementOrder, marginalLogits } from "./conditionals.ts";
import { defineAutoregressive, orderOptions } from "./model.ts";
import { oneMask } from "./networks/connectivity.ts";
import { drawMasked } from "./networks/masked.ts";

/**
 * A fully visible sigmoid belief network: each element is a logistic regression on those before it,
 * p(x_i = 1 | x_<i) = σ(b_i + Σ_j W_ij x_j) over the elements j before i (Neal 1992, "Connectionist learning of belief
 * networks"; Frey 1998, "Graphical Models for Machine Learning and Digital Communication", section 3.4). Weights from
 * elements that do not come before are there and not used.
 */
export class SigmoidBeliefNetwork extends Linear implements Conditionals {
  readonly kind = "one-order";
  readonly order: readonly number[];

  /**
   * @param marginals log-odds of ones at which the elements begin (default: both values equally likely)
   * @throws OptionError where the order does not name each element once
   */
  constructor(dimensions: number, order: readonly number[], marginals?: Float32Array) {
    checkOrder(order, dimensions);
    super(dimensions, dimensions, atRest(marginals));
    this.order = order;
  }

  /** Logits of ones, [n, D] → [n, D]. */
  override forward(x: Tensor): Tensor {
    const { positions } = oneMask({ order: this.order, degrees: [] });
    return this.apply(x, this.weight.mul(degreeMask(positions, positions, true)));
  }

  elementLogProb(x: Tensor): Tensor {
    return bernoulliLogProb(this.forward(x), x);
  }

  draw(inputs: DrawInputs): Draw {
    const mask = { ...oneMask({ order: this.order, degrees: [] }), blocks: [] };
    const network = {
      layers: [],
      bias: this.bias,
      direct: this.weight,
      activation: (h: Tensor) => h,
      residual: false,
    };
    return drawMasked(network, mask, inputs);
  }
}

/** Options of FVSBN. */
export const fvsbnOptions = orderOptions;

export type FvsbnOptions = z.output<typeof fvsbnOptions>;

/** FVSBN as the catalogue knows it. */
export const fvsbnDefinition = defineAutoregressive({
  name: "fvsbn",
  summary: "fully visible sigmoid belief network: a logistic regression of each element on those before it",
  paper: "Frey 1998, Graphical Models for Machine Learning and Digital Communication; Neal 1992",
  options: fvsbnOptions,
  conditionals: ({ order, orderSeed }, data) => {
    const dimensions = elementCount(data.sampleShape);
    const own = elementOrder(order, dimensions, orderSeed);
    return new SigmoidBeliefNetwork(dimensions, own, marginalLogits(data));
  },
  preferences: { learningRate: 1e-2 },
});

/** The fully visible sigmoid belief network over zeros and ones. */
export const fvsbn = builderOf(fvsbnDefinition);
