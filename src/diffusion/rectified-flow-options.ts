import { z } from "zod";
import { OptionError } from "../errors.ts";
import type { SampleOptions } from "../nn/model.ts";
import { TIME_SAMPLINGS } from "./time-sampling.ts";

/** Options of a rectified flow: the network, and what it is trained on. */
export const rectifiedFlowOptions = z.strictObject({
  width: z.int().min(8).default(128).describe("points and tables: units of a hidden layer"),
  depth: z.int().min(1).default(4).describe("points and tables: hidden layers"),
  fourierFeatures: z
    .int()
    .min(0)
    .multipleOf(2)
    .default(64)
    .describe(
      "points: Fourier features of the state that the network sees beside it, for sharp edges; 0: none",
    ),
  channels: z.int().min(8).default(16).describe("images: channels at full resolution, a multiple of 8"),
  multipliers: z
    .array(z.int().min(1))
    .min(1)
    .optional()
    .describe(
      "images: channels of each level as multiples of `channels` (1,2,4, or as deep as the size can be halved)",
    ),
  blocks: z.int().min(1).default(1).describe("images: residual blocks of a level"),
  attention: z
    .array(z.int().min(0))
    .default([])
    .describe("images: levels with attention (0: full resolution), beside the middle"),
  middleAttention: z.boolean().default(true).describe("images: attention at the lowest resolution"),
  heads: z.int().min(1).default(1).describe("images: attention heads"),
  dropout: z.number().min(0).max(0.9).default(0).describe("images: share of activations dropped in training"),
  timeSampling: z
    .enum(TIME_SAMPLINGS)
    .default("logit-normal")
    .describe("distribution of the training time: uniform, or logit-normal around the middle of the path"),
  conditional: z
    .boolean()
    .default(true)
    .describe("learn the distribution of each class, where data has classes"),
  classDropout: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("share of training samples whose class is hidden, so that guidance is possible"),
});

export type RectifiedFlowOptions = z.output<typeof rectifiedFlowOptions>;

/** Options for drawing samples, beside count, seed and label. */
export const rectifiedFlowSampleOptions = z.strictObject({
  solver: z
    .enum(["euler", "midpoint", "heun", "rk4", "dormand-prince"])
    .default("heun")
    .describe("how the flow is integrated; dormand-prince chooses its steps itself"),
  steps: z.int().min(1).default(25).describe("steps from noise to data, for solvers with fixed steps"),
  guidance: z
    .number()
    .min(0)
    .optional()
    .describe(
      "classifier-free guidance: 0 ignores the class, 1 none, more: more typical (images: 2, otherwise 1)",
    ),
  rtol: z.number().min(0).default(1e-3).describe("dormand-prince: relative tolerance"),
  atol: z.number().positive().default(1e-3).describe("dormand-prince: absolute tolerance"),
  maxEvaluations: z
    .int()
    .min(8)
    .default(1000)
    .describe("dormand-prince: velocity evaluations before it gives up"),
});

export type RectifiedFlowSampleOptions = SampleOptions & z.input<typeof rectifiedFlowSampleOptions>;

/** Parses sampling options and fills in defaults. @throws OptionError that names the option at fault */
export function parseSampleOptions(options: unknown): z.output<typeof rectifiedFlowSampleOptions> {
  const parsed = rectifiedFlowSampleOptions.safeParse(options);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new OptionError(`sample options: ${faults.join("; ")}`);
}
