import { z } from "zod";
import { layerCount, list, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { type ContinuousKind, continuousKind, type DataInfo } from "../../model/data-info.ts";
import { FourierFeatures, TimeConditionedMlp } from "../../nn/linear.ts";
import { UNet } from "../../nn/u-net.ts";
import { concat, elementCount, float32, type NdArray, type Tensor, uniform } from "../../tensor/index.ts";

/** Offset and factor by kind of data: bytes become [−1, 1]; points, which lie in about [−4, 4]², are halved; table columns
 * are standardized already. */
const UNITS: Readonly<Record<ContinuousKind, readonly [offset: number, factor: number]>> = {
  image: [127.5, 127.5],
  points: [0, 2],
  table: [0, 1],
};

/** Data units and those in which a diffusion model works: data = offset + factor · model. */
export class DataUnits {
  readonly offset: number;
  readonly factor: number;

  /** @throws OptionError for zeros and ones, which have no density */
  constructor(data: Pick<DataInfo, "kind">) {
    [this.offset, this.factor] = UNITS[continuousKind(data)];
  }

  /** Data [n, …] in model units, inside a graph. */
  toModel(x: Tensor): Tensor {
    return x.sub(this.offset).mul(1 / this.factor);
  }

  /** Samples [n, …] in data units, inside a graph. */
  toData(x: Tensor): Tensor {
    return x.mul(this.factor).add(this.offset);
  }

  /** An array of data in model units. */
  arrayToModel({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
    return float32(
      data.map((value) => (value - this.offset) / this.factor),
      shape,
    );
  }

  /** An array of samples in data units. */
  arrayToData({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
    return float32(
      data.map((value) => this.offset + this.factor * value),
      shape,
    );
  }
}

/** Bytes with uniform noise from −½ to ½, which makes reals of them around the values they stand for. */
export function dequantized(bytes: Tensor): Tensor {
  return bytes.add(uniform(bytes.shape).sub(0.5));
}

/** Levels of a U-Net at most: an image is halved at each. */
const LEVELS = 16;

/** Options of the network, which every diffusion model has. */
export const networkOptions = z.strictObject({
  width: unitCount(8).default(128).describe("points and tables: units of a hidden layer"),
  depth: layerCount().default(4).describe("points and tables: hidden layers"),
  fourierFeatures: unitCount(0)
    .multipleOf(2)
    .default(64)
    .describe(
      "points: Fourier features of the state that the network sees beside it, for sharp edges; 0: none",
    ),
  channels: unitCount(8).default(16).describe("images: channels at full resolution, a multiple of 8"),
  multipliers: list(layerCount(), LEVELS)
    .min(1)
    .optional()
    .describe(
      "images: channels of each level as multiples of `channels` (1,2,4, or as deep as the size can be halved)",
    ),
  blocks: layerCount().default(1).describe("images: residual blocks of a level"),
  attention: list(layerCount(0), LEVELS)
    .default([])
    .describe("images: levels with attention (0: full resolution), beside the middle"),
  middleAttention: z.boolean().default(true).describe("images: attention at the lowest resolution"),
  heads: unitCount().default(1).describe("images: attention heads"),
  dropout: z.number().min(0).max(0.9).default(0).describe("images: share of activations dropped in training"),
});

export type NetworkOptions = z.output<typeof networkOptions>;

/** A network of state [n, …], times [n] and maybe classes [n] that returns what it predicts of the state. */
export interface DiffusionNetwork {
  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor;
}

/** What a network is given beside state and time, and how much it predicts. */
export interface NetworkRole {
  /** Number of classes it is given; 0 for none. */
  readonly classes: number;
  /** Numbers it predicts for each number of the state: channels of images are a multiple of those of the state. */
  readonly multiple: number;
}

/** Deviation of the frequencies of Fourier features, in cycles per model unit. */
const FOURIER_SCALE = 0.5;

/** Options of a network that is given the class. */
interface GivenClasses {
  readonly classes?: number;
}

/** The network for points and tables: an MLP on the state and, for points, random Fourier features of it. */
class VectorNetwork implements DiffusionNetwork {
  readonly features: FourierFeatures | undefined;
  readonly mlp: TimeConditionedMlp;

  constructor(options: NetworkOptions, data: DataInfo, multiple: number, condition: GivenClasses) {
    const { width, depth, fourierFeatures } = options;
    const size = elementCount(data.sampleShape);
    const extra = data.kind === "points" ? fourierFeatures : 0;
    this.features = extra > 0 ? new FourierFeatures(size, extra, FOURIER_SCALE) : undefined;
    this.mlp = new TimeConditionedMlp({
      inputs: size + extra,
      outputs: multiple * size,
      width,
      depth,
      ...condition,
    });
  }

  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor {
    const seen = this.features === undefined ? x : concat([x, this.features.forward(x)], 1);
    return this.mlp.forward(seen, t, label);
  }
}

/**
 * The network for the data: a U-Net for images, a multilayer perceptron otherwise.
 * @throws OptionError where options do not fit the size of the images
 */
export function diffusionNetwork(
  options: NetworkOptions,
  data: DataInfo,
  { classes, multiple }: NetworkRole,
): DiffusionNetwork {
  const condition = classes > 0 ? { classes } : {};
  return data.kind === "image"
    ? imageNetwork(options, data.sampleShape, multiple, condition)
    : new VectorNetwork(options, data, multiple, condition);
}

function imageNetwork(
  options: NetworkOptions,
  [channels = 1, height = 1, width = 1]: readonly number[],
  multiple: number,
  condition: GivenClasses,
): UNet {
  const multipliers = options.multipliers ?? fittingMultipliers(height, width);
  const factor = 2 ** (multipliers.length - 1);
  if (height % factor !== 0 || width % factor !== 0) {
    throw new OptionError(
      `multipliers: ${multipliers.length} levels need a height and width divisible by ${factor}, but images are ` +
        `${height}×${width}; name fewer levels or resize the images`,
    );
  }
  const beyond = options.attention.find((level) => level >= multipliers.length);
  if (beyond !== undefined) {
    throw new OptionError(
      `attention: there is no level ${beyond}; levels are 0 to ${multipliers.length - 1}`,
    );
  }
  return new UNet({
    inputs: channels,
    outputs: multiple * channels,
    base: options.channels,
    multipliers,
    blocks: options.blocks,
    attentionLevels: options.attention,
    middleAttention: options.middleAttention,
    heads: options.heads,
    dropout: options.dropout,
    ...condition,
  });
}

/** 1, 2, 4 where the image can be halved twice, else as many levels as it can. */
function fittingMultipliers(height: number, width: number): readonly number[] {
  const halves = [4, 2, 1].findIndex((factor) => height % factor === 0 && width % factor === 0);
  return [1, 2, 4].slice(0, 3 - halves);
}
