import { z } from "zod";
import { amount, layerCount, positiveAmount, unitCount } from "../bounds.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";

/** What the players minimize. */
export const GAN_OBJECTIVES = ["non-saturating", "minimax", "hinge", "wasserstein-gp"] as const;

export type GanObjective = (typeof GAN_OBJECTIVES)[number];

/** Options of a GAN. Defaults of optional ones depend on the data or on other options: see their descriptions. */
export const ganOptions = z.strictObject({
  objective: z
    .enum(GAN_OBJECTIVES)
    .default("non-saturating")
    .describe("losses of generator and discriminator; minimax is the original game"),
  latentSize: unitCount().optional().describe("length of a code (default: images 64, otherwise 16)"),
  network: z
    .enum(["convolutional", "mlp"])
    .optional()
    .describe(
      "networks: convolutional (DCGAN), for images, or a perceptron (default: images convolutional, otherwise mlp)",
    ),
  width: unitCount().default(128).describe("units of a hidden layer of perceptrons"),
  depth: layerCount().default(3).describe("hidden layers of perceptrons"),
  channels: unitCount()
    .default(32)
    .describe(
      "channels of convolutional networks at half the size of an image; twice as many at each further halving",
    ),
  conditional: z
    .boolean()
    .default(true)
    .describe("learn the distribution of each class, where data has classes"),
  spectralNorm: z
    .boolean()
    .optional()
    .describe(
      "divide the discriminator's weights by their largest singular value, spectral normalization (default: with hinge on images yes, otherwise no)",
    ),
  r1: amount()
    .optional()
    .describe(
      "γ of the penalty γ/2 · E|∇D(x)|² on data, R1 (default: with wasserstein-gp or spectralNorm 0; otherwise images 1, points and tables 0.02)",
    ),
  gradientPenalty: amount()
    .optional()
    .describe(
      "with wasserstein-gp, λ of the penalty λ · E(|∇D| − 1)² between data and samples (default: images 10, otherwise 0.1)",
    ),
  criticSteps: layerCount()
    .optional()
    .describe(
      "updates of the discriminator in a step, each with its share of the batch (default: with wasserstein-gp images 2, others 5; otherwise 1)",
    ),
  criticRate: positiveAmount()
    .default(1)
    .describe("learning rate of the discriminator relative to that of the generator"),
  labelSmoothing: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe("with minimax and non-saturating, by how much less than 1 the target probability of data is"),
  instanceNoise: amount()
    .default(0)
    .describe("standard deviation of noise added to the inputs of the discriminator in training"),
});

export type GanOptions = z.output<typeof ganOptions>;

/** Options for drawing samples, beside count, seed and label. */
export const ganSampleOptions = z.strictObject({
  truncation: positiveAmount()
    .optional()
    .describe(
      "largest absolute value of the numbers of a code, larger ones are drawn anew; below about 2, samples are more typical and less varied",
    ),
});

/** Options with what depends on the data or on each other filled in. */
export interface SettledGanOptions extends GanOptions {
  readonly latentSize: number;
  readonly network: "convolutional" | "mlp";
  readonly spectralNorm: boolean;
  readonly r1: number;
  readonly gradientPenalty: number;
  readonly criticSteps: number;
  /** Number of classes that the GAN is conditioned on; 0 for none. */
  readonly classes: number;
}

/**
 * Fills in what was left open.
 * @throws OptionError where options do not go together
 */
export function settleOptions(options: GanOptions, data: DataInfo): SettledGanOptions {
  const isImage = data.kind === "image";
  const { objective, network = isImage ? "convolutional" : "mlp" } = options;
  if (network === "convolutional" && !isImage) {
    throw new OptionError("option network: convolutional networks are for images; leave it out");
  }
  const isWasserstein = objective === "wasserstein-gp";
  const smooths = objective === "non-saturating" || objective === "minimax";
  if (options.labelSmoothing > 0 && !smooths) {
    throw new OptionError(`option labelSmoothing: ${objective} has no probabilities to smooth; leave it out`);
  }
  const spectralNorm = options.spectralNorm ?? (objective === "hinge" && isImage);
  return {
    ...options,
    network,
    spectralNorm,
    latentSize: options.latentSize ?? (isImage ? 64 : 16),
    r1: options.r1 ?? (isWasserstein || spectralNorm ? 0 : isImage ? 1 : 0.02),
    gradientPenalty: options.gradientPenalty ?? (isImage ? 10 : 0.1),
    criticSteps: options.criticSteps ?? (isWasserstein ? (isImage ? 2 : 5) : 1),
    classes: options.conditional ? (data.classes ?? 0) : 0,
  };
}
