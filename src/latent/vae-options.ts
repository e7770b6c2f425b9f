import { z } from "zod";
import { amount, layerCount, positiveAmount, trainingSteps, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import { conditioningOptions } from "../flows/densities/index.ts";
import type { DataInfo } from "../model/data-info.ts";
import { elementCount } from "../tensor/index.ts";
import {
  BernoulliObservation,
  DequantizedGaussianObservation,
  DiscretizedLogisticObservation,
  GaussianObservation,
  type ObservationModel,
  SCALE_SOURCES,
  type ScaleSource,
  tableObservation,
} from "./observation.ts";
import { PRIORS } from "./prior-posterior.ts";
import {
  ConvolutionalDecoder,
  ConvolutionalEncoder,
  canConvolve,
  imageMaps,
  PerceptronNetwork,
  type RowNetwork,
} from "./vae-networks.ts";

/** What p(x | z) may be. */
export const LIKELIHOODS = ["gaussian", "bernoulli", "discretised-logistic"] as const;

export type VaeLikelihood = (typeof LIKELIHOODS)[number];

/** Options of a VAE. Defaults of optional ones depend on the data: see their descriptions. */
export const vaeOptions = conditioningOptions.extend({
  latentSize: unitCount()
    .optional()
    .describe("length of a code, L (default: points 2, tables 8, otherwise 16)"),
  likelihood: z
    .enum(LIKELIHOODS)
    .optional()
    .describe(
      "distribution of a sample given its code (default: points and tables: gaussian, with categories of tables as such; zeros and ones: bernoulli; images: discretised-logistic, of bytes, or gaussian, of dequantized bytes)",
    ),
  scale: z
    .enum(SCALE_SOURCES)
    .optional()
    .describe(
      "deviation of gaussian and scale of discretised-logistic: one number, one of each dimension, or predicted by the decoder for each sample (default: images and points: per-sample; tables: per-dimension)",
    ),
  network: z
    .enum(["convolutional", "mlp"])
    .optional()
    .describe(
      "networks for images: convolutional, or a perceptron (default: convolutional where an image can be halved twice)",
    ),
  width: unitCount()
    .default(128)
    .describe("units of a hidden layer; in convolutional networks, of the layer between maps and code"),
  hiddenLayers: layerCount().default(2).describe("hidden layers of perceptrons, of encoder and decoder each"),
  channels: unitCount()
    .default(32)
    .describe(
      "channels of convolutional networks at half the size of an image; twice as many at the next halving, then four times as many",
    ),
  beta: amount()
    .default(1)
    .describe(
      "weight β of the divergence in the loss (β-VAE); above 1, codes carry less information, in fewer numbers",
    ),
  freeBits: amount()
    .default(0)
    .describe("free bits λ: nats of divergence of each number of a code that the loss does not count"),
  warmUp: trainingSteps(0)
    .default(0)
    .describe("steps over which the weight of the divergence rises linearly from 0 to beta"),
  importanceSamples: unitCount()
    .optional()
    .describe(
      "codes drawn for each sample in training; above 1 the loss is their importance-weighted bound (IWAE) (default: points and tables: 8 where no other option weighs the divergence; otherwise 1)",
    ),
  scoreSamples: unitCount()
    .default(64)
    .describe("importance samples for each score; more of them give a tighter bound"),
  posterior: z
    .enum(["gaussian", "iaf"])
    .default("gaussian")
    .describe("approximate posterior q(z | x): a Gaussian, or one followed by inverse autoregressive steps"),
  posteriorTransforms: layerCount().default(2).describe("inverse autoregressive steps of the posterior"),
  prior: z
    .enum(PRIORS)
    .default("gaussian")
    .describe("distribution of codes p(z): a standard Gaussian, or a flow trained with the rest"),
  priorTransforms: layerCount().default(6).describe("couplings, or blocks, of a prior that is a flow"),
  flowWidth: unitCount()
    .default(128)
    .describe("units of a hidden layer in the networks of posterior and prior flows"),
});

export type VaeOptions = z.output<typeof vaeOptions>;

/** Options for drawing samples, beside count, seed and label. */
export const vaeSampleOptions = z.strictObject({
  temperature: positiveAmount()
    .default(1)
    .describe(
      "standard deviation of the code relative to training; below 1, samples are more typical and less varied",
    ),
  mean: z
    .boolean()
    .optional()
    .describe("the mean of p(x | z) in place of a draw (default: images yes, otherwise no)"),
});

/** Options with what depends on the data filled in. */
export interface SettledVaeOptions extends VaeOptions {
  readonly latentSize: number;
  readonly likelihood: VaeLikelihood;
  readonly scale: ScaleSource;
  readonly network: "convolutional" | "mlp";
  readonly importanceSamples: number;
}

interface Defaults {
  readonly latentSize: number;
  /** What p(x | z) may be, the default first. */
  readonly likelihoods: readonly [VaeLikelihood, ...VaeLikelihood[]];
  readonly scale: ScaleSource;
  readonly importanceSamples: number;
}

function defaultsOf({ kind }: DataInfo): Defaults {
  switch (kind) {
    case "points":
      return {
        latentSize: 2,
        likelihoods: ["gaussian"],
        scale: "per-sample",
        importanceSamples: 8,
      };
    case "table":
      return {
        latentSize: 8,
        likelihoods: ["gaussian"],
        scale: "per-dimension",
        importanceSamples: 8,
      };
    case "image":
      return {
        latentSize: 16,
        likelihoods: ["discretised-logistic", "gaussian"],
        scale: "per-sample",
        importanceSamples: 1,
      };
    case "binary":
      return {
        latentSize: 16,
        likelihoods: ["bernoulli"],
        scale: "shared",
        importanceSamples: 1,
      };
  }
}

/** The option that weighs the divergence in the loss, if there is one. */
function weightOf({ beta, freeBits, warmUp }: VaeOptions): "beta" | "freeBits" | "warmUp" | undefined {
  if (beta !== 1) return "beta";
  if (freeBits > 0) return "freeBits";
  return warmUp > 0 ? "warmUp" : undefined;
}

/**
 * Fills in what was left open.
 * @throws OptionError where options do not go with the data or with each other
 */
export function settleVaeOptions(options: VaeOptions, data: DataInfo): SettledVaeOptions {
  const { kind, sampleShape } = data;
  const defaults = defaultsOf(data);
  const { likelihood = defaults.likelihoods[0], network = networkFor(sampleShape) } = options;
  if (!defaults.likelihoods.includes(likelihood)) {
    throw new OptionError(
      `option likelihood: ${kind} data takes ${defaults.likelihoods.join(" or ")}, not ${likelihood}`,
    );
  }
  if (network === "convolutional" && !canConvolve(sampleShape)) {
    throw new OptionError(
      sampleShape.length === 3
        ? `option network: a convolutional network halves images twice, which ${sampleShape.slice(1).join("×")} cannot be; resize them, or choose mlp`
        : "option network: convolutional networks are for images; leave it out",
    );
  }
  const weight = weightOf(options);
  const { importanceSamples = weight === undefined ? defaults.importanceSamples : 1 } = options;
  if (importanceSamples > 1 && weight !== undefined) {
    throw new OptionError(
      `option ${weight}: the bound of ${importanceSamples} importanceSamples has no divergence to weigh; leave one of the two out`,
    );
  }
  return {
    ...options,
    likelihood,
    network,
    importanceSamples,
    latentSize: options.latentSize ?? defaults.latentSize,
    scale: options.scale ?? defaults.scale,
  };
}

function networkFor(sampleShape: readonly number[]): "convolutional" | "mlp" {
  return canConvolve(sampleShape) ? "convolutional" : "mlp";
}

/** p(x | z) by the options of a VAE. */
export function observationOf(
  { likelihood, scale, given }: SettledVaeOptions,
  { kind, sampleShape, columns }: DataInfo,
): ObservationModel {
  const size = elementCount(sampleShape);
  switch (likelihood) {
    case "discretised-logistic":
      return new DiscretizedLogisticObservation(size, scale);
    case "bernoulli":
      return new BernoulliObservation(size - given.length);
    case "gaussian":
      if (kind === "image") return new DequantizedGaussianObservation(size, scale);
      return columns === undefined
        ? new GaussianObservation(size, scale)
        : tableObservation(columns, given, scale);
  }
}

/** What networks lead from and to. */
export interface NetworkSizes {
  readonly latentSize: number;
  readonly contextSize: number;
  /** Numbers that the encoder makes for each sample. */
  readonly encoded: number;
  readonly observation: ObservationModel;
}

/** Encoder and decoder by the options of a VAE. */
export function networksOf(
  { network, width, hiddenLayers, channels }: SettledVaeOptions,
  { sampleShape }: DataInfo,
  { latentSize, contextSize, encoded, observation }: NetworkSizes,
): { readonly encoder: RowNetwork; readonly decoder: RowNetwork } {
  if (network === "mlp") {
    const sizes = { width, hiddenLayers, contextSize };
    return {
      encoder: new PerceptronNetwork({ ...sizes, inputs: observation.size, outputs: encoded }),
      decoder: new PerceptronNetwork({ ...sizes, inputs: latentSize, outputs: observation.outputs }),
    };
  }
  const maps = imageMaps(sampleShape, channels);
  const [, height = 1, breadth = 1] = sampleShape;
  const channelsOut = observation.outputs / (height * breadth);
  const options = { maps, width, contextSize };
  return {
    encoder: new ConvolutionalEncoder(encoded, options),
    decoder: new ConvolutionalDecoder(latentSize, channelsOut, options),
  };
}
