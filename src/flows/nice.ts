import type { z } from "zod";
import { layerCount, positiveAmount, unitCount } from "../bounds.ts";
import { builderOf } from "../model/definition.ts";
import { zeros } from "../nn/initializers.ts";
import { Parameter, type Tensor } from "../tensor/index.ts";
import { defineFlow } from "./define.ts";
import { flowOptions } from "./model.ts";
import { AdditiveCoupling, alternatingHalves, OddEvenOrder, ReluNetwork } from "./transforms/coupling.ts";
import {
  type Forward,
  type Inverse,
  noVolumeChange,
  Reshape,
  type Transform,
} from "./transforms/transform.ts";

/**
 * Diagonal scaling y_i = exp(s_i) x_i with log-determinant Σ s_i (Dinh et al. 2014, section 3.3).
 */
export class DiagonalScaling implements Transform {
  /** s divided by `gain`. */
  readonly scale: Parameter;
  private readonly gain: number;

  /**
   * @param gain the parameter holds s / gain. An adaptive optimizer moves every parameter by about the learning rate
   *   a step, whatever its gradient; s has farther to go (to about 5, for pixels that are always black) than weights.
   */
  constructor(dimensions: number, gain = 1) {
    this.scale = new Parameter([dimensions], zeros);
    this.gain = gain;
  }

  private get logScale(): Tensor {
    return this.scale.mul(this.gain);
  }

  forward(x: Tensor): Forward {
    const s = this.logScale;
    return { y: x.mul(s.exp()), logDet: noVolumeChange(x).add(s.sum()) };
  }

  inverse(y: Tensor): Inverse {
    const s = this.logScale;
    return { x: y.mul(s.neg().exp()), logDet: noVolumeChange(y).sub(s.sum()) };
  }
}

/** Options of NICE. What is left open depends on the data; its description gives the default. */
export const niceOptions = flowOptions.extend({
  couplings: layerCount().optional().describe("additive coupling layers (images: 4, otherwise 8)"),
  hiddenLayers: layerCount()
    .default(2)
    .describe("hidden layers of each coupling function (the paper's MNIST model: 5)"),
  width: unitCount()
    .optional()
    .describe("units of a hidden layer (images: 512, otherwise 128; the paper's MNIST model: 1000)"),
  base: flowOptions.shape.base.describe("distribution of the code (images: logistic, otherwise gaussian)"),
  scaleGain: positiveAmount()
    .optional()
    .describe(
      "how many times faster than weights the log-scales move (images: 30, otherwise 1; the paper: 1)",
    ),
});

export type NiceOptions = z.output<typeof niceOptions>;

/** NICE as the catalogue knows it. */
export const niceDefinition = defineFlow({
  name: "nice",
  summary: "flow of additive couplings: exact log-likelihoods, sampling by inversion",
  paper: "Dinh, Krueger and Bengio 2014, NICE: Non-linear Independent Components Estimation, arXiv:1410.8516",
  dataKinds: ["points", "image", "table"],
  options: niceOptions,
  base: ({ base }, { kind }) => base ?? (kind === "image" ? "logistic" : "gaussian"),
  transforms(options, { data, shape, dimensions, contextSize }) {
    const isImage = data.kind === "image";
    const { hiddenLayers, couplings = isImage ? 4 : 8, width = isImage ? 512 : 128 } = options;
    const hidden = new Array<number>(hiddenLayers).fill(width);
    const layers = Array.from({ length: couplings }, (_, i) => {
      const { sizes, changes, kept, changed } = alternatingHalves(i, dimensions);
      return new AdditiveCoupling(sizes, changes, new ReluNetwork([kept, ...hidden, changed], contextSize));
    });
    const scaling = new DiagonalScaling(dimensions, options.scaleGain ?? (isImage ? 30 : 1));
    const rows = isImage ? [new Reshape(shape, [dimensions])] : [];
    return [...rows, new OddEvenOrder(dimensions), ...layers, scaling];
  },
  // The best of 17 short runs on validation digits; factors were not all varied alone (docs/flows/nice.md).
  preferences: ({ kind }) =>
    kind === "image"
      ? { optimizer: "adamw", weightDecay: 1.5, learningRate: 1e-3, batchSize: 128 }
      : { learningRate: 5e-3, batchSize: 512 },
});

/**
 * NICE, non-linear independent components estimation (Dinh, Krueger and Bengio 2014): components in odd–even order,
 * additive couplings that change the halves in turn, a diagonal scaling, and a factorized prior.
 * @throws OptionError where samples have fewer than two numbers
 */
export const nice = builderOf(niceDefinition);
