import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { builderOf } from "../model/definition.ts";
import { Conv2d } from "../nn/convolution.ts";
import { zeros } from "../nn/initializers.ts";
import type { Tensor } from "../tensor/index.ts";
import { defineFlow, type FlowSubject } from "./define.ts";
import { objectiveOptions } from "./densities/objective.ts";
import { dequantizationOption } from "./images/dequantize.ts";
import {
  alphaOption,
  ExchangeQuarters,
  hiddenLayersOption,
  imageLevels,
  imagePreferences,
  multiScaleFlow,
  Squeeze,
  scaleLimitOption,
} from "./images/multi-scale.ts";
import { ContextBias, NormalizedConv2d, ZeroConv2d } from "./images/networks.ts";
import { flowOptions } from "./model.ts";
import { AffineBijection, scaleLimitOf } from "./transforms/bijections.ts";
import {
  alternatingHalves,
  type Conditioner,
  Coupling,
  OddEvenOrder,
  ReluNetwork,
} from "./transforms/coupling.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { ActNorm, BatchNormTransform } from "./transforms/normalization.ts";
import type { Transform } from "./transforms/transform.ts";

/** x + w₂ ∗ relu(w₁ ∗ relu(x)) with 3×3 convolutions, the second starting at zero (He et al. 2016). */
class ResidualConvolutions {
  readonly first: NormalizedConv2d;
  readonly second: Conv2d;

  constructor(width: number) {
    this.first = new NormalizedConv2d(width, width, 3);
    this.second = new Conv2d(width, width, 3, {
      padding: 1,
      initializeWeight: zeros,
      initializeBias: zeros,
    });
  }

  forward(x: Tensor): Tensor {
    return x.add(this.second.forward(this.first.forward(x.relu()).relu()));
  }
}

/**
 * The network of RealNVP's couplings of images: a 3×3 convolution, residual blocks, and a 3×3 convolution that starts at
 * zero (section 3.7 and appendix B). The context is added, as one bias a channel, after the first convolution.
 */
class ResidualNetwork implements Conditioner {
  readonly first: NormalizedConv2d;
  readonly context: ContextBias;
  readonly blocks: readonly ResidualConvolutions[];
  readonly last: ZeroConv2d;

  constructor(inputs: number, width: number, blocks: number, outputs: number, contextSize = 0) {
    this.first = new NormalizedConv2d(inputs, width, 3);
    this.context = new ContextBias(contextSize, width);
    this.blocks = Array.from({ length: blocks }, () => new ResidualConvolutions(width));
    this.last = new ZeroConv2d(width, outputs);
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    const first = this.context.forward(this.first.forward(x), context);
    return this.last.forward(this.blocks.reduce((hidden, block) => block.forward(hidden), first).relu());
  }
}

/** Options of RealNVP. What is left open depends on the data; its description gives the default. */
export const realNvpOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  levels: layerCount()
    .optional()
    .describe("scales of images, each at half the height and width (default: as many as fit, at most 3)"),
  couplings: layerCount()
    .optional()
    .describe(
      "affine couplings (default: 8); for images, under each mask of a scale (default: 3, and 4 in the last)",
    ),
  width: unitCount()
    .optional()
    .describe("channels or units of a hidden layer (images: 32, otherwise 128; the paper: 32 to 64)"),
  blocks: layerCount(0).default(2).describe("residual blocks of a coupling's network, for images"),
  hiddenLayers: hiddenLayersOption,
  scaleLimit: scaleLimitOption,
  normalization: z
    .enum(["act-norm", "batch-norm"])
    .default("act-norm")
    .describe("what follows each coupling: act-norm, set by the first batch, or the paper's batch-norm"),
  alpha: alphaOption(0.002, "0.05"),
  dequantization: dequantizationOption("uniform"),
});

export type RealNvpOptions = z.output<typeof realNvpOptions>;

const normalizationOf = ({ normalization }: RealNvpOptions, size: number): Transform =>
  normalization === "batch-norm" ? new BatchNormTransform(size) : new ActNorm(size);

/**
 * Scales of RealNVP (section 3.6): couplings under checkerboard masks, then under channel masks, each followed by a
 * normalization, after which half of the channels is factored out; the last scale has checkerboard masks alone. Images are
 * squeezed before the checkerboard couplings already: its two colors are then halves of the channels, and no network
 * computes what a mask would throw away.
 */
function imageFlow(options: RealNvpOptions, { shape, contextSize }: FlowSubject): Transform {
  const { width = 32, blocks, couplings } = options;
  const scales = imageLevels("real-nvp", shape, options.levels);
  const [inner, outer] = [couplings ?? 3, couplings ?? 4];
  const { scaleLimit = scaleLimitOf(2 * inner * (scales.count - 1) + outer) } = options;
  const block = (channels: number, length: number): readonly Transform[] =>
    Array.from({ length }, (_, i) => {
      const { sizes, changes, kept } = alternatingHalves(i, channels);
      const network = new ResidualNetwork(kept, width, blocks, channels, contextSize);
      return [
        new Coupling(sizes, changes, new AffineBijection(scaleLimit), network),
        normalizationOf(options, channels),
      ];
    }).flat();
  return multiScaleFlow(scales, (channels, isLast) => [
    new Squeeze("checkerboard"),
    normalizationOf(options, channels),
    ...block(channels, isLast ? outer : inner),
    ...(isLast ? [] : [new ExchangeQuarters(), ...block(channels, inner)]),
  ]);
}

/** Couplings of rows under alternating masks, each followed by a normalization. */
function rowFlow(options: RealNvpOptions, { dimensions, contextSize }: FlowSubject): readonly Transform[] {
  const { couplings = 8, width = 128, hiddenLayers } = options;
  const { scaleLimit = scaleLimitOf(couplings) } = options;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  const steps = Array.from({ length: couplings }, (_, i) => {
    const { sizes, changes, kept, changed } = alternatingHalves(i, dimensions);
    const network = new ReluNetwork([kept, ...hidden, 2 * changed], contextSize);
    return [
      new Coupling(sizes, changes, new AffineBijection(scaleLimit), network),
      normalizationOf(options, dimensions),
    ];
  });
  return [new OddEvenOrder(dimensions), ...steps.flat()];
}

/** RealNVP as the catalogue knows it. */
export const realNvpDefinition = defineFlow({
  name: "real-nvp",
  summary: "flow of affine couplings, multi-scale for images",
  paper: "Dinh, Sohl-Dickstein and Bengio 2017, Density Estimation Using Real NVP, arXiv:1605.08803",
  dataKinds: ["points", "image", "table"],
  options: realNvpOptions,
  transforms: (options, subject) =>
    subject.data.kind === "image"
      ? [new LogitTransform(options.alpha), imageFlow(options, subject)]
      : rowFlow(options, subject),
  preferences: imagePreferences({ warmupSteps: 100, learningRate: 2e-3 }),
});

/**
 * RealNVP, real-valued non-volume-preserving transformations (Dinh, Sohl-Dickstein and Bengio 2017): affine couplings
 * under alternating masks. Images go through a logit first and through several scales; points and tables are rows.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export const realNvp = builderOf(realNvpDefinition);
