import { z } from "zod";
import { amount, layerCount, positiveAmount, share, stepCount } from "../../bounds.ts";
import type { SampleOptions } from "../../model/capabilities.ts";
import { parseOptions } from "../../options.ts";
import { SPACINGS } from "./levels.ts";
import { REVERSE_VARIANCES } from "./samplers.ts";

/** Names of solvers. */
export const SOLVERS = [
  "ddpm",
  "ddim",
  "dpm++",
  "edm",
  "euler",
  "midpoint",
  "heun",
  "rk4",
  "dormand-prince",
  "euler-maruyama",
  "predictor-corrector",
] as const;

export type SolverName = (typeof SOLVERS)[number];

/** Options of solvers. What a solver takes of them, and its defaults, stand in `solvers`. */
export const solverOptions = z.strictObject({
  solver: z
    .enum(SOLVERS)
    .optional()
    .describe(
      "how samples are integrated (ddpm: ddim; score-sde: predictor-corrector; edm: edm; rectified-flow: heun)",
    ),
  steps: stepCount()
    .optional()
    .describe("steps from noise to data, but of dormand-prince, which chooses its own (each model's page)"),
  spacing: z
    .enum(SPACINGS)
    .optional()
    .describe("how the steps lie (edm: karras; of a chain: trailing; otherwise uniform)"),
  eta: share().optional().describe("ddim: share of the noise of ddpm, 0 for none (default: 0)"),
  variance: z
    .enum(REVERSE_VARIANCES)
    .optional()
    .describe("ddpm: variance of a step (default: that of the model; lower of models without one)"),
  order: z.int().min(1).max(2).optional().describe("dpm++, edm: order of the method (default: 2)"),
  churn: amount().optional().describe("edm: S_churn, how much noise is added during sampling (default: 0)"),
  churnLeast: amount().optional().describe("edm: S_tmin, least noise level with churn (default: 0)"),
  churnLargest: positiveAmount()
    .optional()
    .describe("edm: S_tmax, largest noise level with churn (default: all)"),
  churnNoise: positiveAmount().optional().describe("edm: S_noise, deviation of that noise (default: 1)"),
  noiseScale: amount()
    .optional()
    .describe("euler-maruyama: noise relative to the reverse of the path's own equation (default: 1)"),
  correctorSteps: layerCount()
    .optional()
    .describe("predictor-corrector: Langevin steps at each level (default: 1)"),
  correctorRatio: z
    .number()
    .positive()
    .lt(0.5)
    .optional()
    .describe("predictor-corrector: ratio of a Langevin step to its noise (default: 0.16)"),
  rtol: amount().default(1e-3).describe("dormand-prince: relative tolerance"),
  atol: positiveAmount().default(1e-3).describe("dormand-prince: absolute tolerance"),
  maxEvaluations: stepCount(8)
    .default(1000)
    .describe("dormand-prince: network evaluations before it gives up"),
});

export type SolverInput = z.input<typeof solverOptions>;
export type SolverSettings = z.output<typeof solverOptions>;

/** Options for drawing samples from a diffusion model, beside count, seed and label. */
export const diffusionSampleOptions = solverOptions.extend({
  guidance: amount()
    .optional()
    .describe(
      "classifier-free guidance: 0 ignores the class, 1 none, more: more typical (images: 2, otherwise 1)",
    ),
  clip: z
    .boolean()
    .optional()
    .describe("images: keep the estimate of the image within the range of bytes at every step (ddpm: yes)"),
});

export type DiffusionSampleOptions = SampleOptions & z.input<typeof diffusionSampleOptions>;

/** Parses sampling options and fills in defaults. @throws OptionError that names the option at fault */
export function parseSampleOptions(options: unknown): z.output<typeof diffusionSampleOptions> {
  return parseOptions("sampling", diffusionSampleOptions, options);
}
