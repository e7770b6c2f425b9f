import { z } from "zod";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { elementCount, type Tensor } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { dequantizationOption, dequantizerFor } from "./images/dequantize.ts";
import {
  type ImageShape,
  imageLevels,
  type Level,
  MultiScale,
  Squeeze,
  squeezed,
} from "./images/multi-scale.ts";
import { ContextBias, NormalizedConv2d, SplitPrior, ZeroConv2d } from "./images/networks.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
import { ReluNetwork } from "./nice.ts";
import { AffineBijection, scaleLimitOf } from "./transforms/bijections.ts";
import { type Conditioner, Coupling } from "./transforms/coupling.ts";
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

/** Options of Glow. What is left open depends on the data; the doc of each says how. */
export const glowOptions = flowOptions.extend({
  levels: z
    .int()
    .min(1)
    .optional()
    .describe("levels of images, each at half the height and width (default: as many as fit, at most 3)"),
  flowSteps: z.int().min(1).optional().describe("steps of flow, for images in each level (default: 8)"),
  width: z
    .int()
    .min(1)
    .optional()
    .describe("channels or units of a hidden layer (images: 64, otherwise 128; the paper: 512)"),
  hiddenLayers: z
    .int()
    .min(1)
    .default(2)
    .describe("hidden layers of a coupling's network, for points and tables"),
  scaleLimit: z
    .number()
    .positive()
    .optional()
    .describe(
      "largest absolute log-scale of an affine coupling (default: 3, or 24 over their number if that is less)",
    ),
  logit: z
    .boolean()
    .default(true)
    .describe("send pixels through a logit first, as RealNVP does; the paper does not"),
  alpha: z
    .number()
    .min(0)
    .max(0.49)
    .default(0.002)
    .describe("how far from 0 and 1 pixels are kept before the logit, for images"),
  dequantization: dequantizationOption("uniform"),
});

export type GlowOptions = z.output<typeof glowOptions>;

/** The levels of Glow over images (figure 2b): squeeze, steps of flow, and the learned prior of the half that leaves. */
function imageFlow(options: GlowOptions, sampleShape: readonly number[], contextSize: number): Transform {
  const { flowSteps: steps = 8, width = 64 } = options;
  const { shape, count } = imageLevels("glow", sampleShape, options.levels);
  const { scaleLimit = scaleLimitOf(steps * count) } = options;
  const coupling = (halves: number, network: Conditioner): Coupling =>
    new Coupling([halves, halves], "second", new AffineBijection(scaleLimit), network);
  const levels: Level[] = [];
  let next: ImageShape = shape;
  for (let level = 0; level < count; level++) {
    const inside = squeezed(next);
    const [channels, height, breadth] = inside;
    const half = channels / 2;
    const flow: Transform[] = [new Squeeze()];
    for (let step = 0; step < steps; step++) {
      flow.push(new GlowStep(channels, coupling(half, new GlowNetwork(half, width, channels, contextSize))));
    }
    if (level < count - 1) flow.push(coupling(half, new SplitPrior(half, channels, contextSize)));
    levels.push({ transform: new Composition(flow), shape: inside });
    next = [half, height, breadth];
  }
  return new MultiScale(levels);
}

/** Steps of Glow over rows, with perceptrons in place of convolutions. */
function rowFlow(options: GlowOptions, dimensions: number, contextSize: number): readonly Transform[] {
  const { flowSteps: steps = 8, width = 128, hiddenLayers } = options;
  const { scaleLimit = scaleLimitOf(steps) } = options;
  const kept = Math.ceil(dimensions / 2);
  const changed = dimensions - kept;
  const sizes = [kept, ...new Array<number>(hiddenLayers).fill(width), 2 * changed];
  return Array.from({ length: steps }, () => {
    const network = new ReluNetwork(sizes, contextSize);
    const bijection = new AffineBijection(scaleLimit);
    return new GlowStep(dimensions, new Coupling([kept, changed], "second", bijection, network));
  });
}

/**
 * Glow (Kingma and Dhariwal 2018): steps of activation normalization, invertible 1×1 convolution and affine coupling, in
 * levels between which images are squeezed and half of the channels are factored out under a learned prior. Points and
 * tables go through the same steps as rows, without levels.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export function glow(options: GlowOptions, data: DataInfo): FlowModel {
  const conditioning = new Conditioning(options, data);
  const { targetShape, size } = conditioning;
  const dimensions = elementCount(targetShape);
  const transforms =
    data.kind === "image"
      ? [...(options.logit ? [new LogitTransform(options.alpha)] : []), imageFlow(options, targetShape, size)]
      : rowFlow(options, dimensions, size);
  const base = BASES[options.base ?? "gaussian"](dimensions);
  const dequantizer = dequantizerFor(options.dequantization, data, conditioning);
  return new FlowModel(data, { base, conditioning, dequantizer, transforms });
}

function preferences({ kind }: DataInfo): FitPreferences {
  return kind === "image"
    ? {
        warmupSteps: 100,
        optimizer: "adam",
        learningRate: 2e-3,
        batchSize: 64,
        averageDecay: 0.998,
        clipNorm: 50,
      }
    : { warmupSteps: 100, optimizer: "adam", learningRate: 2e-3, batchSize: 512, averageDecay: 0.998 };
}

/** Glow as the catalogue knows it. */
export const glowDefinition = defineModel({
  name: "glow",
  summary: "multi-scale flow of actnorm, invertible 1×1 convolutions and affine couplings",
  paper: "Kingma and Dhariwal 2018, Glow: Generative Flow with Invertible 1×1 Convolutions, arXiv:1807.03039",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: glowOptions,
  sampleOptions: flowSampleOptions,
  build: glow,
  preferences,
});
