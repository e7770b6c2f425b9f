import { z } from "zod";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { Conv2d } from "../nn/convolution.ts";
import { zeros } from "../nn/initializers.ts";
import { elementCount, type Tensor } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { energyOf, objectiveOptions } from "./densities/objective.ts";
import { dequantizationOption, dequantizerFor } from "./images/dequantize.ts";
import {
  ExchangeQuarters,
  type ImageShape,
  imageLevels,
  type Level,
  MultiScale,
  Squeeze,
  squeezed,
} from "./images/multi-scale.ts";
import { ContextBias, NormalizedConv2d, ZeroConv2d } from "./images/networks.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
import { ReluNetwork } from "./nice.ts";
import { AffineBijection, scaleLimitOf } from "./transforms/bijections.ts";
import { type Conditioner, type CoupledHalf, Coupling, OddEvenOrder } from "./transforms/coupling.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { ActNorm, BatchNormTransform } from "./transforms/normalization.ts";
import { Composition, type Transform } from "./transforms/transform.ts";

/** x + w₂ ∗ relu(w₁ ∗ relu(x)) with 3×3 convolutions, the second starting at zero (He et al. 2016). */
export class ResidualConvolutions {
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
export class ResidualNetwork implements Conditioner {
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

/** Options of RealNVP. What is left open depends on the data; the doc of each says how. */
export const realNvpOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  levels: z
    .int()
    .min(1)
    .optional()
    .describe("scales of images, each at half the height and width (default: as many as fit, at most 3)"),
  couplings: z
    .int()
    .min(1)
    .optional()
    .describe(
      "affine couplings (default: 8); for images, under each mask of a scale (default: 3, and 4 in the last)",
    ),
  width: z
    .int()
    .min(1)
    .optional()
    .describe("channels or units of a hidden layer (images: 32, otherwise 128; the paper: 32 to 64)"),
  blocks: z.int().min(0).default(2).describe("residual blocks of a coupling's network, for images"),
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
  normalization: z
    .enum(["act-norm", "batch-norm"])
    .default("act-norm")
    .describe("what follows each coupling: act-norm, set by the first batch, or the paper's batch-norm"),
  alpha: z
    .number()
    .min(0)
    .max(0.49)
    .default(0.002)
    .describe("how far from 0 and 1 pixels are kept before the logit, for images (the paper: 0.05)"),
  dequantization: dequantizationOption("uniform"),
});

export type RealNvpOptions = z.output<typeof realNvpOptions>;

const normalizationOf = ({ normalization }: RealNvpOptions, size: number): Transform =>
  normalization === "batch-norm" ? new BatchNormTransform(size) : new ActNorm(size);

const alternating = (i: number): CoupledHalf => (i % 2 === 0 ? "second" : "first");

/**
 * Scales of RealNVP (section 3.6): couplings under checkerboard masks, then under channel masks, each followed by a
 * normalization, after which half of the channels is factored out; the last scale has checkerboard masks alone. Images are
 * squeezed before the checkerboard couplings already: its two colors are then halves of the channels, and no network
 * computes what a mask would throw away.
 */
function imageFlow(options: RealNvpOptions, sampleShape: readonly number[], contextSize: number): Transform {
  const { width = 32, blocks, couplings } = options;
  const { shape, count } = imageLevels("real-nvp", sampleShape, options.levels);
  const [inner, outer] = [couplings ?? 3, couplings ?? 4];
  const { scaleLimit = scaleLimitOf(2 * inner * (count - 1) + outer) } = options;
  const block = (channels: number, length: number): readonly Transform[] =>
    Array.from({ length }, (_, i) => {
      const network = new ResidualNetwork(channels / 2, width, blocks, channels, contextSize);
      const sizes = [channels / 2, channels / 2] as const;
      return [
        new Coupling(sizes, alternating(i), new AffineBijection(scaleLimit), network),
        normalizationOf(options, channels),
      ];
    }).flat();
  const levels: Level[] = [];
  let next: ImageShape = shape;
  for (let level = 0; level < count; level++) {
    const inside = squeezed(next);
    const [channels, height, breadth] = inside;
    const last = level === count - 1;
    const checkerboard = [
      new Squeeze("checkerboard"),
      normalizationOf(options, channels),
      ...block(channels, last ? outer : inner),
    ];
    const channelwise = last ? [] : [new ExchangeQuarters(), ...block(channels, inner)];
    levels.push({ transform: new Composition([...checkerboard, ...channelwise]), shape: inside });
    next = [channels / 2, height, breadth];
  }
  return new MultiScale(levels);
}

/** Couplings of rows under alternating masks, each followed by a normalization. */
function rowFlow(options: RealNvpOptions, dimensions: number, contextSize: number): readonly Transform[] {
  const { couplings = 8, width = 128, hiddenLayers } = options;
  const { scaleLimit = scaleLimitOf(couplings) } = options;
  const first = Math.ceil(dimensions / 2);
  const sizes = [first, dimensions - first] as const;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  const steps = Array.from({ length: couplings }, (_, i) => {
    const changes = alternating(i);
    const [from, to] = changes === "second" ? sizes : [sizes[1], sizes[0]];
    const network = new ReluNetwork([from, ...hidden, 2 * to], contextSize);
    return [
      new Coupling(sizes, changes, new AffineBijection(scaleLimit), network),
      normalizationOf(options, dimensions),
    ];
  });
  return [new OddEvenOrder(dimensions), ...steps.flat()];
}

/**
 * RealNVP, real-valued non-volume-preserving transformations (Dinh, Sohl-Dickstein and Bengio 2017): affine couplings
 * under alternating masks. Images go through a logit first and through several scales; points and tables are rows.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export function realNvp(options: RealNvpOptions, data: DataInfo): FlowModel {
  const conditioning = new Conditioning(options, data);
  const { targetShape, size } = conditioning;
  const dimensions = elementCount(targetShape);
  const transforms =
    data.kind === "image"
      ? [new LogitTransform(options.alpha), imageFlow(options, targetShape, size)]
      : rowFlow(options, dimensions, size);
  const base = BASES[options.base ?? "gaussian"](dimensions);
  const dequantizer = dequantizerFor(options.dequantization, data, conditioning);
  return new FlowModel(data, { base, conditioning, dequantizer, transforms, ...energyOf(options, data) });
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

/** RealNVP as the catalogue knows it. */
export const realNvpDefinition = defineModel({
  name: "real-nvp",
  summary: "flow of affine couplings, multi-scale for images",
  paper: "Dinh, Sohl-Dickstein and Bengio 2017, Density Estimation Using Real NVP, arXiv:1605.08803",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: realNvpOptions,
  sampleOptions: flowSampleOptions,
  build: realNvp,
  preferences,
});
