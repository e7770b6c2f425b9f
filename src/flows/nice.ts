import { z } from "zod";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { kaimingNormal, zeros } from "../nn/initializers.ts";
import { Linear } from "../nn/linear.ts";
import { elementCount, Parameter, type Tensor } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
import { AdditiveCoupling, type Conditioner, OddEvenOrder } from "./transforms/coupling.ts";
import {
  type Forward,
  type Inverse,
  noVolumeChange,
  Reshape,
  type Transform,
} from "./transforms/transform.ts";

/** A multilayer perceptron with ReLU between its layers and a linear output: the coupling function m of NICE. */
export class ReluNetwork implements Conditioner {
  readonly layers: readonly Linear[];
  /** Adds the context to the first hidden layer. */
  readonly context: Linear | undefined;

  /**
   * @param sizes of the input, of every hidden layer and of the output
   * @param contextSize length of the context vector; 0 for none
   */
  constructor(sizes: readonly number[], contextSize = 0) {
    this.context =
      contextSize === 0 ? undefined : new Linear(contextSize, sizes[1] ?? contextSize, { bias: false });
    const last = sizes.length - 2;
    this.layers = sizes.slice(1).map(
      (outputs, i) =>
        new Linear(sizes[i] ?? outputs, outputs, {
          initializeWeight: i === last ? zeros : kaimingNormal(),
          initializeBias: zeros,
        }),
    );
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    return this.layers.reduce((hidden, layer, i) => {
      const next = layer.forward(i === 0 ? hidden : hidden.relu());
      return i === 0 && this.context && context ? next.add(this.context.forward(context)) : next;
    }, x);
  }
}

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

/** Options of NICE. What is left open depends on the data; the doc of each says how. */
export const niceOptions = flowOptions.extend({
  couplings: z.int().min(1).optional().describe("additive coupling layers (images: 4, otherwise 8)"),
  hiddenLayers: z
    .int()
    .min(1)
    .default(2)
    .describe("hidden layers of each coupling function (the paper's MNIST model: 5)"),
  width: z
    .int()
    .min(1)
    .optional()
    .describe("units of a hidden layer (images: 512, otherwise 128; the paper's MNIST model: 1000)"),
  base: flowOptions.shape.base.describe("distribution of the code (images: logistic, otherwise gaussian)"),
  scaleGain: z
    .number()
    .positive()
    .optional()
    .describe(
      "how many times faster than weights the log-scales move (images: 30, otherwise 1; the paper: 1)",
    ),
});

export type NiceOptions = z.output<typeof niceOptions>;

/**
 * NICE, non-linear independent components estimation (Dinh, Krueger and Bengio 2014): components in odd–even order,
 * additive couplings that change the halves in turn, a diagonal scaling, and a factorized prior.
 * @throws OptionError where samples have fewer than two numbers
 */
export function nice(options: NiceOptions, data: DataInfo): FlowModel {
  const isImage = data.kind === "image";
  const { hiddenLayers, couplings = isImage ? 4 : 8, width = isImage ? 512 : 128 } = options;
  const conditioning = new Conditioning(options, data);
  const dimensions = elementCount(conditioning.targetShape);
  const first = Math.ceil(dimensions / 2);
  const sizes = [first, dimensions - first] as const;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  const layers = Array.from({ length: couplings }, (_, i) => {
    // The paper's order: the second (even) half is shifted by the first, then the first by the second, and so on.
    const changes = i % 2 === 0 ? "second" : "first";
    const [from, to] = changes === "second" ? sizes : [sizes[1], sizes[0]];
    return new AdditiveCoupling(sizes, changes, new ReluNetwork([from, ...hidden, to], conditioning.size));
  });
  const base = BASES[options.base ?? (isImage ? "logistic" : "gaussian")](dimensions);
  const scaling = new DiagonalScaling(dimensions, options.scaleGain ?? (isImage ? 30 : 1));
  const rows = isImage ? [new Reshape(conditioning.targetShape, [dimensions])] : [];
  const transforms = [...rows, new OddEvenOrder(dimensions), ...layers, scaling];
  return new FlowModel(data, { base, conditioning, transforms });
}

function preferences({ kind }: DataInfo): FitPreferences {
  // The best of 17 short runs judged on validation digits; factors were not all varied alone (docs/flows/nice.md).
  return kind === "image"
    ? {
        warmupSteps: 50,
        optimizer: "adamw",
        weightDecay: 1.5,
        learningRate: 1e-3,
        batchSize: 128,
        averageDecay: 0.998,
      }
    : { warmupSteps: 50, optimizer: "adam", learningRate: 5e-3, batchSize: 512, averageDecay: 0.998 };
}

/** NICE as the catalogue knows it. */
export const niceDefinition = defineModel({
  name: "nice",
  summary: "flow of additive couplings: exact log-likelihoods, sampling by inversion",
  paper: "Dinh, Krueger and Bengio 2014, NICE: Non-linear Independent Components Estimation, arXiv:1410.8516",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: niceOptions,
  sampleOptions: flowSampleOptions,
  build: nice,
  preferences,
});
