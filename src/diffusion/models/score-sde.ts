import { z } from "zod";
import { positiveAmount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { classOptions } from "../objective/condition.ts";
import { networkOptions } from "../objective/network.ts";
import { denoisingLoss, type Objective, slicedLoss } from "../objective/objective.ts";
import { edmInput } from "../objective/prediction.ts";
import { logRatioTimes, sampleTimes } from "../objective/training.ts";
import type { GaussianPath } from "../path/gaussian.ts";
import { subVariancePreservingPath, varianceExplodingPath, variancePreservingPath } from "../path/paths.ts";
import { flowSpan } from "../solver/levels.ts";
import { DiffusionModel, defineDiffusion } from "./diffusion-model.ts";

/** Options of a score SDE: the equation, what the score is fitted by, and the network. */
export const scoreSdeOptions = networkOptions.extend({
  path: z
    .enum(["vp", "ve", "sub-vp"])
    .default("vp")
    .describe("the stochastic equation: variance preserving, exploding, or below the preserving one"),
  betaMin: positiveAmount().default(0.1).describe("vp, sub-vp: β at time 0"),
  betaMax: positiveAmount().default(20).describe("vp, sub-vp: β at time 1"),
  sigmaMin: positiveAmount().default(0.01).describe("ve: deviation of the noise at time 0"),
  sigmaMax: positiveAmount()
    .optional()
    .describe(
      "ve: deviation of the noise at time 1, about the largest distance between samples (images: 50, otherwise 10)",
    ),
  prediction: z
    .enum(["noise", "v"])
    .default("v")
    .describe(
      "what the network predicts, from which the score follows: the noise, or v between noise and data, which is learned sooner",
    ),
  weighting: z
    .enum(["plain", "likelihood"])
    .default("plain")
    .describe(
      "plain: error of what the network predicts; likelihood: g², which bounds the log-likelihood, by importance sampling of times",
    ),
  matching: z
    .enum(["denoising", "sliced"])
    .default("denoising")
    .describe(
      "how the score is fitted: by the noise that was added, or by its own divergence (points alone)",
    ),
  dequantize: z
    .boolean()
    .default(true)
    .describe("images: train on bytes with uniform noise between them, as likelihoods are measured"),
  ...classOptions.shape,
});

export type ScoreSdeOptions = z.output<typeof scoreSdeOptions>;

function pathOf(
  { path, betaMin, betaMax, sigmaMin, sigmaMax }: ScoreSdeOptions,
  { kind }: DataInfo,
): GaussianPath {
  switch (path) {
    case "vp":
      return variancePreservingPath({ betaMin, betaMax });
    case "sub-vp":
      return subVariancePreservingPath({ betaMin, betaMax });
    case "ve":
      return varianceExplodingPath({ sigmaMin, sigmaMax: sigmaMax ?? (kind === "image" ? 50 : 10) });
  }
}

/** v for states of any variance is EDM's F for data of unit variance. */
const UNIT = { dataDeviation: 1 } as const;

/** @throws OptionError where sliced score matching is asked of anything but points, or weighed */
function objectiveOf(
  { matching, weighting }: ScoreSdeOptions,
  prediction: "noise" | "edm",
  { kind }: DataInfo,
): Objective {
  // The importance sampling of times makes g² of the plain error of the noise.
  if (matching === "denoising") {
    return denoisingLoss(prediction, weighting === "likelihood" ? "noise" : prediction, UNIT);
  }
  if (kind !== "points") {
    throw new OptionError(
      "option matching: sliced takes second derivatives of the network, and is for points of the plane",
    );
  }
  if (weighting === "likelihood") {
    throw new OptionError(
      "option weighting: sliced matching is weighed by the variance of the noise; leave it at plain",
    );
  }
  return slicedLoss(prediction, UNIT);
}

/**
 * Score-based generative modeling through stochastic differential equations (Song et al. 2021): data diffuses by
 * dx = f(t) x dt + g(t) dw, and a network is fitted to the score ∇log p_t(x) = −E[ε | x] / σ by denoising score matching,
 *
 *     E_t λ(t) ‖s_θ(x_t, t) − ∇log p(x_t | x₀)‖²                                                    (equation 7)
 *
 * With the score the equation runs in reverse (equation 6), or as a deterministic flow with the same marginals, the
 * probability-flow equation (equation 13). The network predicts ε, of which λ = σ² makes the plain error, or v; λ = g² makes a
 * bound on the log-likelihood (Song, Durkan, Murray and Ermon 2021, theorem 1).
 */
export class ScoreSde extends DiffusionModel {
  /** @throws OptionError where options do not go together or do not fit the data */
  constructor(options: ScoreSdeOptions, data: DataInfo) {
    const path = pathOf(options, data);
    // Down to where densities begin; samplers end before.
    const { noisy, clean } = flowSpan({ process: path, prediction: "noise", variance: "lower" });
    const prediction = options.prediction === "v" ? "edm" : "noise";
    super(
      {
        options,
        process: path,
        prediction,
        predictionOptions: UNIT,
        // States of the exploding equation are brought to the size that networks take.
        ...(options.path === "ve" && {
          preconditioning: { scale: (point) => edmInput(point, UNIT).scale },
        }),
        times: (count) =>
          options.weighting === "likelihood"
            ? logRatioTimes(path, count, clean, noisy)
            : sampleTimes("uniform", count)
                .mul(noisy - clean)
                .add(clean),
        objective: objectiveOf(options, prediction, data),
        dequantize: options.dequantize,
        sampling: { solver: "predictor-corrector", steps: 100 },
      },
      data,
    );
  }
}

/** Score SDEs as the catalogue knows them. */
export const scoreSdeDefinition = defineDiffusion({
  name: "score-sde",
  summary: "the score of noisy data in continuous time, for stochastic and deterministic samplers",
  paper:
    "Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations, arXiv:2011.13456",
  options: scoreSdeOptions,
  build: (options, data) => new ScoreSde(options, data),
});
