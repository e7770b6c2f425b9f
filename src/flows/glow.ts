import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { builderOf } from "../model/definition.ts";
import type { Tensor } from "../tensor/index.ts";
import { defineFlow, type FlowSubject } from "./define.ts";
import { dequantizationOption } from "./images/dequantize.ts";
import {
  alphaOption,
  hiddenLayersOption,
  imageLevels,
  imagePreferences,
  levelsOption,
  multiScaleFlow,
  Squeeze,
  scaleLimitOption,
} from "./images/multi-scale.ts";
import { ContextBias, NormalizedConv2d, SplitPrior, ZeroConv2d } from "./images/networks.ts";
import { flowOptions } from "./model.ts";
import { AffineBijection, type Bijection, scaleLimitOf } from "./transforms/bijections.ts";
import { type Conditioner, Coupling, ReluNetwork } from "./transforms/coupling.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { InvertibleLinear } from "./transforms/mixing.ts";
import { ActNorm } from "./transforms/normalization.ts";
import { Composition, type Transform } from "./transforms/transform.ts";

/**
 * The network NN() of Glow's couplings of images (section 3.3): a 3×3, a 1×1 and a 3×3 convolution with ReLU between
 * them, the first two normalized by the first batch, the last starting at zero. The context is added, as one bias a
 * channel, before the first ReLU.
 */
export class GlowNetwork implements Conditioner {
  readonly first: NormalizedConv2d;
  readonly context: ContextBias;
  readonly second: NormalizedConv2d;
  readonly last: ZeroConv2d;

  /** @param width channels between the convolutions */
  constructor(inputs: number, width: number, outputs: number, contextSize = 0) {
    this.first = new NormalizedConv2d(inputs, width, 3);
    this.context = new ContextBias(contextSize, width);
    this.second = new NormalizedConv2d(width, width, 1);
    this.last = new ZeroConv2d(width, outputs);
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    const first = this.context.forward(this.first.forward(x), context).relu();
    return this.last.forward(this.second.forward(first).relu());
  }
}

/** One step of flow: activation normalization, an invertible linear map, an affine coupling (Glow, figure 2a). */
export class GlowStep extends Composition {
  /** @param size columns of rows, or channels of images */
  constructor(size: number, coupling: Transform) {
    super([new ActNorm(size), new InvertibleLinear(size), coupling]);
  }
}

/** Options of Glow. What is left open depends on the data; its description gives the default. */
export const glowOptions = flowOptions.extend({
  levels: levelsOption(3),
  flowSteps: layerCount().optional().describe("steps of flow, for images in each level (default: 8)"),
  width: unitCount()
    .optional()
    .describe("channels or units of a hidden layer (images: 64, otherwise 128; the paper: 512)"),
  hiddenLayers: hiddenLayersOption,
  scaleLimit: scaleLimitOption,
  logit: z
    .boolean()
    .default(true)
    .describe("send pixels through a logit first, as RealNVP does; the paper does not"),
  alpha: alphaOption(0.002),
  dequantization: dequantizationOption("uniform"),
});

export type GlowOptions = z.output<typeof glowOptions>;

/** The levels of Glow over images (figure 2b): squeeze, steps of flow, and the learned prior of the half that leaves. */
function imageFlow(options: GlowOptions, { shape, contextSize }: FlowSubject): Transform {
  const { flowSteps: steps = 8, width = 64 } = options;
  const levels = imageLevels("glow", shape, options.levels);
  const { scaleLimit = scaleLimitOf(steps * levels.count) } = options;
  const coupling = (half: number, network: Conditioner): Coupling =>
    new Coupling([half, half], "second", new AffineBijection(scaleLimit), network);
  return multiScaleFlow(levels, (channels, isLast) => {
    const half = channels / 2;
    const flow = Array.from({ length: steps }, () => {
      const network = new GlowNetwork(half, width, channels, contextSize);
      return new GlowStep(channels, coupling(half, network));
    });
    const prior = isLast ? [] : [coupling(half, new SplitPrior(half, channels, contextSize))];
    return [new Squeeze(), ...flow, ...prior];
  });
}

/**
 * Steps of flow over rows, with perceptrons in place of convolutions. Each coupling changes the second half, of ⌊D/2⌋.
 * @param hidden units of the hidden layers
 */
export function rowSteps(
  steps: number,
  hidden: readonly number[],
  bijection: Bijection,
  { dimensions, contextSize }: FlowSubject,
): readonly Transform[] {
  const kept = Math.ceil(dimensions / 2);
  const changed = dimensions - kept;
  return Array.from({ length: steps }, () => {
    const network = new ReluNetwork([kept, ...hidden, changed * bijection.parameterCount], contextSize);
    return new GlowStep(dimensions, new Coupling([kept, changed], "second", bijection, network));
  });
}

function rowFlow(options: GlowOptions, subject: FlowSubject): readonly Transform[] {
  const { flowSteps: steps = 8, width = 128, hiddenLayers } = options;
  const { scaleLimit = scaleLimitOf(steps) } = options;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  return rowSteps(steps, hidden, new AffineBijection(scaleLimit), subject);
}

/** Glow as the catalogue knows it. */
export const glowDefinition = defineFlow({
  name: "glow",
  summary: "multi-scale flow of actnorm, invertible 1×1 convolutions and affine couplings",
  paper: "Kingma and Dhariwal 2018, Glow: Generative Flow with Invertible 1×1 Convolutions, arXiv:1807.03039",
  dataKinds: ["points", "image", "table"],
  options: glowOptions,
  transforms: (options, subject) =>
    subject.data.kind === "image"
      ? [...(options.logit ? [new LogitTransform(options.alpha)] : []), imageFlow(options, subject)]
      : rowFlow(options, subject),
  preferences: imagePreferences({ warmupSteps: 100, learningRate: 2e-3 }),
});

/**
 * Glow (Kingma and Dhariwal 2018): steps of activation normalization, invertible 1×1 convolution and affine coupling, in
 * levels between which images are squeezed and half of the channels are factored out under a learned prior. Points and
 * tables go through the same steps as rows, without levels.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export const glow = builderOf(glowDefinition);
