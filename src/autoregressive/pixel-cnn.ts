import { z } from "zod";
import { layerCount, pixelCount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";
import { builderOf } from "../model/definition.ts";
import type { Tensor } from "../tensor/index.ts";
import type { Conditionals, Draw, DrawInputs } from "./conditionals.ts";
import { marginalLogits } from "./conditionals.ts";
import { classesOf, conditionalOption, defineAutoregressive } from "./model.ts";
import { PixelNetwork, type PixelNetworkOptions } from "./networks/pixel.ts";
import { bits, byteLevels, drawPixels, type PixelValues } from "./networks/pixel-draw.ts";

/**
 * The conditionals of a gated PixelCNN: pixels in raster order, the channels of a pixel one after the other. Elements are
 * those of a flattened image [C, H, W].
 */
export class PixelConditionals implements Conditionals {
  readonly kind = "one-order";
  readonly network: PixelNetwork;
  readonly order: readonly number[];
  readonly classes: number;
  private readonly values: PixelValues;
  private readonly shape: readonly [number, number, number];

  /** @throws OptionError; see `PixelNetwork` */
  constructor(
    values: PixelValues,
    shape: readonly [number, number, number],
    options: Omit<PixelNetworkOptions, "channels" | "logits">,
  ) {
    const [channels, height, width] = shape;
    const pixels = height * width;
    this.network = new PixelNetwork({ ...options, channels, logits: values.logits });
    this.order = Array.from(
      { length: channels * pixels },
      (_, position) => (position % channels) * pixels + Math.floor(position / channels),
    );
    this.classes = options.classes;
    this.values = values;
    this.shape = shape;
  }

  elementLogProb(x: Tensor, label?: Tensor): Tensor {
    const [channels, height, width] = this.shape;
    const n = x.shape[0] ?? 1;
    const images = x.reshape([n, channels, height, width]);
    const logits = this.network
      .forward(this.values.scale(images), label)
      .reshape([n, channels, this.values.logits, height, width])
      .add(this.network.marginals(this.shape).unsqueeze(1));
    return this.values.logProb(logits, images, 2).reshape(x.shape);
  }

  draw(inputs: DrawInputs): Draw {
    return drawPixels(this.network, this.values, this.shape, inputs);
  }
}

/** Options of the gated PixelCNN. */
export const pixelCnnOptions = z.strictObject({
  ...conditionalOption.shape,
  layers: layerCount().default(6).describe("gated layers (the paper, on ImageNet: 20)"),
  features: unitCount()
    .optional()
    .describe("channels of each stack (default: 32, color 48; the paper, on ImageNet: 384)"),
  kernel: pixelCount().default(3).describe("size of the filters, odd"),
  firstKernel: pixelCount(3).default(7).describe("size of the first layer's filter, odd"),
  outputFeatures: unitCount()
    .optional()
    .describe("units of the output's hidden layer (default: those of a stack)"),
  levels: z
    .int()
    .min(2)
    .max(256)
    .default(256)
    .describe("levels into which the bytes of an image are divided; bytes of a level are equally probable"),
  dropout: z.number().min(0).lt(1).default(0).describe("dropout rate of the outputs of gates"),
});

export type PixelCnnOptions = z.output<typeof pixelCnnOptions>;

/** @throws OptionError where samples are no images of one or three channels */
function imageShape({ kind, sampleShape }: DataInfo): readonly [number, number, number] {
  const [channels = 0, height = 0, width = 0] = sampleShape;
  if (sampleShape.length !== 3 || ![1, 3].includes(channels)) {
    throw new OptionError(
      `pixel-cnn: samples of shape [${sampleShape}] (${kind}) are no images of one or three channels; causal-transformer and made take vectors of zeros and ones`,
    );
  }
  return [channels, height, width];
}

function conditionals(options: PixelCnnOptions, data: DataInfo): PixelConditionals {
  const { conditional, levels, ...rest } = options;
  const shape = imageShape(data);
  const { features = shape[0] === 1 ? 32 : 48, outputFeatures = features } = rest;
  const values = data.kind === "binary" ? bits : byteLevels(levels);
  const classes = classesOf(conditional, data);
  return new PixelConditionals(values, shape, {
    ...rest,
    features,
    outputFeatures,
    classes,
    marginals: marginalLogits(data),
  });
}

/** The gated PixelCNN as the catalogue knows it. */
export const pixelCnnDefinition = defineAutoregressive({
  name: "pixel-cnn",
  summary: "gated PixelCNN: images pixel by pixel, exact log-probabilities of zeros and ones or of bytes",
  paper:
    "van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu 2016, Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328",
  dataKinds: ["binary", "image"],
  options: pixelCnnOptions,
  conditionals,
  preferences: { learningRate: 2e-3, batchSize: 32, warmupSteps: 50, optimizer: "adam", weightDecay: 0 },
});

/**
 * Gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders") of binary images or
 * of images in bytes.
 * @throws OptionError where samples are no such images, or `conditional` is asked of data without classes
 */
export const pixelCnn = builderOf(pixelCnnDefinition);
