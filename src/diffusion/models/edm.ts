import { z } from "zod";
import { positiveAmount, realNumber } from "../../bounds.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { classOptions } from "../objective/condition.ts";
import { networkOptions } from "../objective/network.ts";
import { denoisingLoss } from "../objective/objective.ts";
import { edmInput } from "../objective/prediction.ts";
import { logNormalTimes } from "../objective/training.ts";
import { edmPath } from "../path/paths.ts";
import { DiffusionModel, defineDiffusion } from "./diffusion-model.ts";

/** Options of EDM: its noise levels, its training distribution, and the network. */
export const edmOptions = networkOptions.extend({
  dataDeviation: positiveAmount()
    .optional()
    .describe("σ_data, deviation of the data in the units of the model (images: 0.5, otherwise 1)"),
  sigmaMin: positiveAmount().default(0.002).describe("least noise of samplers"),
  sigmaMax: positiveAmount().default(80).describe("largest noise of samplers"),
  rho: positiveAmount().default(7).describe("ρ; larger: more of a sampler's steps at little noise"),
  noiseMean: realNumber().default(-1.2).describe("P_mean, mean of log σ in training"),
  noiseDeviation: positiveAmount().default(1.2).describe("P_std, deviation of log σ in training"),
  dequantize: z
    .boolean()
    .default(false)
    .describe("images: train on bytes with uniform noise between them, as likelihoods are measured"),
  ...classOptions.shape,
});

export type EdmModelOptions = z.output<typeof edmOptions>;

/**
 * EDM (Karras, Aittala, Aila and Laine 2022, "Elucidating the design space of diffusion-based generative models"): data with
 * noise of deviation σ, and a denoiser around a network F,
 *
 *     D(x; σ) = c_skip x + c_out F(c_in x; c_noise)                                                   (equation 7)
 *
 * with c_skip = s² / (σ² + s²), c_out = σ s / √(σ² + s²), c_in = 1 / √(σ² + s²), c_noise = ¼ ln σ and the deviation s of the data
 * (table 1), so that the input of F and its target have unit variance at every noise level. The loss is the plain
 * error of F at ln σ ~ N(P_mean, P_std²).
 */
export class Edm extends DiffusionModel {
  /** @throws OptionError where options do not fit the data */
  constructor(options: EdmModelOptions, data: DataInfo) {
    const { sigmaMin, sigmaMax, rho, noiseMean, noiseDeviation, dequantize } = options;
    const { dataDeviation = data.kind === "image" ? 0.5 : 1 } = options;
    const path = edmPath({ sigmaMin, sigmaMax, rho });
    const [low, high] = [Math.log(sigmaMin) / 4, Math.log(sigmaMax) / 4];
    super(
      {
        options,
        process: path,
        prediction: "edm",
        predictionOptions: { dataDeviation },
        preconditioning: {
          scale: (point) => edmInput(point, { dataDeviation }).scale,
          // c_noise in the range of times that the network's embedding is made for.
          time: (point) =>
            edmInput(point)
              .noiseCondition.sub(low)
              .mul(1 / (high - low)),
        },
        times: (count) => logNormalTimes(path, count, noiseMean, noiseDeviation),
        objective: denoisingLoss("edm", "edm", { dataDeviation }),
        dequantize,
        sampling: { solver: "edm", steps: 18 },
      },
      data,
    );
  }
}

/** EDM as the catalogue knows it. */
export const edmDefinition = defineDiffusion({
  name: "edm",
  summary: "a preconditioned denoiser at all noise levels, sampled by few steps of Heun's method",
  paper:
    "Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models, arXiv:2206.00364",
  options: edmOptions,
  build: (options, data) => new Edm(options, data),
});
