import { z } from "zod";
import { stepCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { ExportedScore, ScoreParts } from "../../model/capabilities.ts";
import type { DataInfo } from "../../model/data-info.ts";
import type { Session } from "../../program/program.ts";
import type { NdArray, Tensor } from "../../tensor/index.ts";
import {
  type BoundParts,
  type ChainBound,
  type ChainScoreOptions,
  chainBound,
  chainLogProb,
  chainScore,
  exportedChainScore,
  USUAL_TERMS,
} from "../density/chain-score.ts";
import type { Decoder } from "../density/variational.ts";
import { hybridLoss, VariationalTerms, variationalLoss } from "../density/variational.ts";
import { classOptions } from "../objective/condition.ts";
import { networkOptions } from "../objective/network.ts";
import { denoisingLoss, type Objective } from "../objective/objective.ts";
import { stepTimes } from "../objective/training.ts";
import { BETA_SCHEDULES, DiscreteSchedule } from "../path/schedule.ts";
import { REVERSE_VARIANCES, type ReverseVariance } from "../solver/samplers.ts";
import { DiffusionModel, defineDiffusion } from "./diffusion-model.ts";

/** Options of a DDPM: the chain, what the network predicts and by what it is fitted, and the network. */
export const ddpmOptions = networkOptions.extend({
  noiseSteps: stepCount(2).default(1000).describe("steps of the chain, T"),
  noiseSchedule: z.enum(BETA_SCHEDULES).default("linear").describe("variances of the steps of the chain"),
  zeroTerminal: z
    .boolean()
    .default(false)
    .describe("rescale the schedule so that its last step holds no signal (with prediction v or data)"),
  prediction: z
    .enum(["noise", "data", "v"])
    .default("v")
    .describe("what the network predicts: the noise, the data, or v between them, which is learned sooner"),
  loss: z
    .enum(["simple", "hybrid", "variational"])
    .optional()
    .describe(
      "simple: squared error; variational: the bound on the log-likelihood; hybrid: simple for the mean and the bound for a learned variance (default: hybrid where the variance is learned, otherwise simple)",
    ),
  weighting: z
    .enum(["noise", "v", "truncated-snr", "min-snr"])
    .optional()
    .describe(
      "weight of the squared error at each noise level, whatever the network predicts (default: the plain error of noise or v; for data truncated-snr)",
    ),
  variance: z
    .enum(REVERSE_VARIANCES)
    .optional()
    .describe(
      "variance of a reverse step: lower, that of the posterior, upper, that of the noise, or learned between them (images: lower, otherwise upper)",
    ),
  ...classOptions.shape,
});

export type DdpmModelOptions = z.output<typeof ddpmOptions>;

/** Bytes are decoded as cells of their own (Ho et al. 2020, equation 13); anything else by a density. */
function decoderOf({ kind }: DataInfo): Decoder {
  return kind === "image" ? { cells: 256 } : "gaussian";
}

/** What is minimized. @throws OptionError where options do not go together */
function objectiveOf(
  options: DdpmModelOptions,
  variance: ReverseVariance,
  schedule: DiscreteSchedule,
  data: DataInfo,
): Objective {
  const { prediction, zeroTerminal } = options;
  const { loss = variance === "learned" ? "hybrid" : "simple" } = options;
  const { weighting = prediction === "data" ? "truncated-snr" : prediction } = options;
  if (zeroTerminal && prediction === "noise") {
    throw new OptionError(
      "option zeroTerminal: the last step holds nothing but noise, whose prediction is no information; choose prediction v or data",
    );
  }
  if (loss === "hybrid" && variance !== "learned") {
    throw new OptionError(
      "option loss: hybrid fits a learned variance; set variance to learned, or choose simple",
    );
  }
  if (loss === "simple" && variance === "learned") {
    throw new OptionError(
      "option loss: simple does not see the variance; choose hybrid or variational to learn it",
    );
  }
  const simple = denoisingLoss(prediction, weighting);
  if (loss === "simple") return simple;
  const terms = new VariationalTerms(schedule, variance, decoderOf(data));
  return loss === "variational" ? variationalLoss(terms, prediction) : hybridLoss(terms, prediction, simple);
}

/**
 * Denoising diffusion probabilistic models (Ho, Jain and Abbeel 2020; Nichol and Dhariwal 2021): a chain of T small steps
 *
 *     q(x_t | x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t I),   hence   x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε
 *
 * turns data to noise, and a network is fitted to predict the noise ε (or x₀, or v between them) of x_t, from which the mean of
 * the reverse step p(x_{t−1} | x_t) is made. Its loss is the squared error, E ‖ε − ε_θ(x_t, t)‖² (equation 14), or the
 * variational bound.
 */
export class Ddpm extends DiffusionModel {
  private readonly bound: ChainBound;

  /** @throws OptionError where options do not go together or do not fit the data */
  constructor(options: DdpmModelOptions, data: DataInfo) {
    const { noiseSteps: steps, noiseSchedule, zeroTerminal, prediction } = options;
    const { variance = data.kind === "image" ? "lower" : "upper" } = options;
    const schedule = DiscreteSchedule.of(noiseSchedule, { steps, zeroTerminal });
    super(
      {
        options,
        process: schedule,
        prediction,
        times: (count) => stepTimes(steps, count),
        objective: objectiveOf(options, variance, schedule, data),
        variance,
        sampling: { solver: "ddim", steps: Math.min(50, steps), clip: true },
      },
      data,
    );
    const decoder = decoderOf(data);
    const terms = new VariationalTerms(schedule, variance, decoder);
    this.bound = { model: this, schedule, terms, variance, decoder };
  }

  override get likelihood(): "bound" {
    return "bound";
  }

  override get likelihoodDetail(): string {
    const { steps } = this.bound.schedule;
    const terms = Math.min(USUAL_TERMS, steps - 1);
    return `variational bound, ${terms === steps - 1 ? "all its terms" : `${terms} of ${steps - 1} terms between the first and the last`}`;
  }

  /** The bound inside a graph; see `chainLogProb`. */
  override logProb(x: Tensor, label?: Tensor): Tensor {
    return chainLogProb(this.bound, x, label);
  }

  /** The bound of an array, in parts; see `chainBound`. */
  boundParts(session: Session, x: NdArray<"float32">, options?: ChainScoreOptions): Promise<BoundParts> {
    return chainBound(this.bound, session, x, options);
  }

  /** The parts of the bound of an array by what they are called, and its terms. */
  async scoreParts(
    session: Session,
    x: NdArray<"float32">,
    options?: ChainScoreOptions,
  ): Promise<ScoreParts> {
    const { decoder, steps, prior, terms } = await chainBound(this.bound, session, x, options);
    const last = this.bound.schedule.steps;
    return { parts: { L_0: decoder, [`L_1 to L_${last - 1}`]: steps, [`L_${last}`]: prior }, terms };
  }

  /** The bound of an array. */
  override score(
    session: Session,
    x: NdArray<"float32">,
    options?: ChainScoreOptions,
  ): Promise<NdArray<"float32">> {
    return chainScore(this.bound, session, x, options);
  }

  /** `score` as one graph; see `exportedChainScore`. */
  override exportedScore(): ExportedScore {
    return exportedChainScore(this.bound);
  }
}

/** DDPM as the catalogue knows it. */
export const ddpmDefinition = defineDiffusion({
  name: "ddpm",
  summary: "a chain of small steps from data to noise, undone step by step; also for DDIM",
  paper: "Ho, Jain and Abbeel 2020, Denoising Diffusion Probabilistic Models, arXiv:2006.11239",
  options: ddpmOptions,
  build: (options, data) => new Ddpm(options, data),
});
