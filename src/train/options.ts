import { z } from "zod";
import {
  amount,
  duration,
  positiveAmount,
  sampleCount,
  seedNumber,
  share,
  stepCount,
  threadCount,
  trainingSteps,
} from "../bounds.ts";
import { isRemote, remoteSource } from "../data/files/source.ts";
import { batchesPerEpoch } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import type { Adversarial, Staged, Trainable } from "../model/capabilities.ts";
import type { FitPreferences } from "../model/definition.ts";
import { nameParameters } from "../nn/module.ts";
import { adam, adamW, type Optimizer, sgd } from "../nn/optimizer.ts";
import { learningRateSchedule } from "../nn/schedule.ts";
import { isAdversarial, isStaged, StepTracer } from "./step.ts";

/** An address that is not spelled well is told before data is read. */
function checkWeights(text: string, context: z.RefinementCtx): void {
  try {
    if (isRemote(text)) remoteSource(text);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}

/** Options of training; the same names in the command, in configuration files and in code. */
export const fitOptions = z.strictObject({
  steps: trainingSteps().optional().describe("stop after this many steps"),
  epochs: duration().optional().describe("stop after this many passes over the training split"),
  seconds: duration()
    .optional()
    .describe("stop after this many seconds of training (default: 120, where no other limit is given)"),
  seed: seedNumber().default(0).describe("seed of weights, batches and noise"),
  batchSize: sampleCount().optional().describe("samples in a step"),
  learningRate: positiveAmount().optional().describe("peak learning rate"),
  schedule: z
    .enum(["constant", "cosine", "linear"])
    .default("cosine")
    .describe("learning rate after warm-up"),
  warmupSteps: trainingSteps(0).optional().describe("steps over which the learning rate rises"),
  optimizer: z.enum(["sgd", "adam", "adamw"]).optional().describe("update rule"),
  momentum: share().default(0.9).describe("momentum of sgd"),
  beta1: z.number().min(0).lt(1).optional().describe("decay of Adam's first moment (default: 0.9)"),
  beta2: z.number().min(0).lt(1).optional().describe("decay of Adam's second moment (default: 0.999)"),
  weightDecay: amount().optional().describe("weight decay"),
  clipNorm: positiveAmount().optional().describe("largest global norm of the gradient"),
  averageDecay: z
    .number()
    .min(0)
    .max(0.99999)
    .optional()
    .describe("decay of the moving average of the weights; 0: none"),
  accumulate: stepCount().default(1).describe("split each batch into this many parts, to save memory"),
  replicas: threadCount().default(1).describe("split each batch over this many workers"),
  threads: threadCount()
    .optional()
    .describe("threads of each replica (default: all cores, divided among replicas)"),
  deterministic: z
    .boolean()
    .default(false)
    .describe("the same numbers with any number of threads (provider cpu); a little slower"),
  weights: z
    .string()
    .min(1)
    .superRefine(checkWeights)
    .optional()
    .describe(
      "begin with these weights: a file (.safetensors, or PyTorch's .pth or .pt), the folder of a run, https://…, or hf:OWNER/NAME[@REVISION][/FILE]; what fits by name and shape is taken",
    ),
  from: z
    .string()
    .min(1)
    .optional()
    .describe(
      "begin from this run, fitted or imported: with its weights, the options of its model and the size of its images, as far as they are not given",
    ),
  provider: z.string().default("cpu").describe("execution provider: cpu, webgpu, cuda, dml, coreml"),
  validateEvery: trainingSteps()
    .optional()
    .describe("steps between validations (default: about once an epoch)"),
  validateSeconds: duration()
    .optional()
    .describe(
      "seconds after which a validation is due, where validateEvery steps take longer; the next one waits for ten times as long as it takes (default: a twentieth of a limit in seconds, where validateEvery is not given)",
    ),
  validationSamples: sampleCount().default(1000).describe("most samples used in a validation"),
  patience: trainingSteps().optional().describe("stop after this many validations without improvement"),
  logEvery: trainingSteps().default(10).describe("steps between rows of metrics.csv"),
  checkpointSeconds: duration().default(30).describe("seconds between checkpoints"),
  checkpointEvery: trainingSteps().optional().describe("steps between checkpoints, instead of seconds"),
  samplePictures: stepCount(0)
    .default(64)
    .describe("images in the pictures of the run folder, and 32 times as many points or rows; 0: none"),
  report: z
    .enum(["quick", "full", "none"])
    .default("quick")
    .describe(
      "samples, measures and report after training: in a fifth of its time, at least 5 and at most 60 seconds; all of them, however long they take; or the model alone",
    ),
});

export type FitOptions = z.output<typeof fitOptions>;
export type FitInput = z.input<typeof fitOptions>;

/** Fit options after the model's preferences and general defaults have filled what the user left open. */
export const resolvedFitOptions = fitOptions.required({
  batchSize: true,
  learningRate: true,
  warmupSteps: true,
  optimizer: true,
  weightDecay: true,
  averageDecay: true,
  validateEvery: true,
});

export type ResolvedFitOptions = z.output<typeof resolvedFitOptions>;

/** Seconds of a fit without a limit. */
const USUAL_SECONDS = 120;

/** Share of a limit in seconds after which the next validation is due, where an epoch takes longer. */
const VALIDATION_TIME = 0.05;

/**
 * Fills what the user left open: first by the model's preferences, then by general defaults.
 * @throws OptionError where the batch does not divide into replicas and parts
 */
export function resolveFitOptions(
  options: FitOptions,
  preferences: FitPreferences,
  trainCount: number,
): ResolvedFitOptions {
  const batchSize = batchSizeOf(options, preferences, trainCount);
  const limited = options.steps ?? options.epochs ?? options.seconds;
  const epoch = batchesPerEpoch(trainCount, batchSize);
  const clipNorm = options.clipNorm ?? preferences.clipNorm;
  const beta1 = options.beta1 ?? preferences.beta1;
  const beta2 = options.beta2 ?? preferences.beta2;
  const seconds = limited === undefined ? USUAL_SECONDS : options.seconds;
  const byTime =
    options.validateEvery === undefined && seconds !== undefined ? seconds * VALIDATION_TIME : undefined;
  const validateSeconds = options.validateSeconds ?? byTime;
  // What is asked for in steps or epochs is done.
  const isOpen = options.steps === undefined && options.epochs === undefined;
  const patience = options.patience ?? (isOpen ? preferences.patience : undefined);
  return {
    ...options,
    ...(seconds !== undefined && { seconds }),
    ...(validateSeconds !== undefined && { validateSeconds }),
    ...(patience !== undefined && { patience }),
    ...(clipNorm !== undefined && { clipNorm }),
    ...(beta1 !== undefined && { beta1 }),
    ...(beta2 !== undefined && { beta2 }),
    batchSize,
    learningRate: options.learningRate ?? preferences.learningRate ?? 1e-3,
    warmupSteps: options.warmupSteps ?? preferences.warmupSteps ?? 50,
    optimizer: options.optimizer ?? preferences.optimizer ?? "adam",
    weightDecay: options.weightDecay ?? preferences.weightDecay ?? 0,
    averageDecay: options.averageDecay ?? preferences.averageDecay ?? 0.999,
    validateEvery: options.validateEvery ?? preferences.validateEvery ?? Math.min(1000, Math.max(50, epoch)),
  };
}

function batchSizeOf(options: FitOptions, preferences: FitPreferences, trainCount: number): number {
  const parts = options.replicas * options.accumulate;
  if (options.batchSize === undefined) {
    const preferred = Math.min(preferences.batchSize ?? 64, trainCount);
    return Math.max(parts, preferred - (preferred % parts));
  }
  checkParts(options.batchSize, options);
  return options.batchSize;
}

/** @throws OptionError where a batch does not divide into equal parts */
export function checkParts(
  batchSize: number,
  { replicas, accumulate }: { readonly replicas: number; readonly accumulate: number },
): void {
  const parts = replicas * accumulate;
  if (batchSize % parts === 0) return;
  const below = batchSize - (batchSize % parts);
  throw new OptionError(
    `option batchSize: ${batchSize} does not divide into ${parts} parts (replicas × accumulate); choose ${below > 0 ? `${below} or ` : ""}${below + parts}`,
  );
}

function optimizerOf(options: ResolvedFitOptions): Optimizer {
  const { optimizer, momentum, weightDecay, beta1, beta2 } = options;
  const betas = { ...(beta1 !== undefined && { beta1 }), ...(beta2 !== undefined && { beta2 }) };
  switch (optimizer) {
    case "sgd":
      return sgd({ momentum, weightDecay });
    case "adam":
      return adam({ weightDecay, ...betas });
    case "adamw":
      return adamW({ weightDecay, ...betas });
  }
}

/**
 * Refuses to divide the batches of a model whose parts play against each other, or are trained one after the other: they need whole
 * batches. Of the latter no validation ends training early, since each part has its share of it.
 * @throws OptionError
 */
export function checkWhole(
  model: Trainable & Partial<Pick<Adversarial, "turns">> & Partial<Pick<Staged, "trainedBy">>,
  {
    replicas,
    accumulate,
    patience,
  }: { readonly replicas: number; readonly accumulate: number; readonly patience?: number | undefined },
): void {
  const staged = isStaged(model);
  if (staged && patience !== undefined) {
    throw new OptionError(
      "option patience: the parts of this model are trained one after the other, each for its share of the fit; leave it out",
    );
  }
  if ((!isAdversarial(model) && !staged) || replicas * accumulate === 1) return;
  const option = replicas > 1 ? "replicas" : "accumulate";
  if (staged) {
    throw new OptionError(
      `option ${option}: the parts of this model are trained one after the other on whole batches; leave it out`,
    );
  }
  throw new OptionError(
    `option ${option}: the parts of this model take turns on whole batches, which are not divided; leave it out`,
  );
}

/** The tracer of a fit's steps. */
export function tracerOf(model: Trainable, options: ResolvedFitOptions): StepTracer {
  return new StepTracer(nameParameters(model), {
    optimizer: optimizerOf(options),
    averageDecay: options.averageDecay,
    ...(options.clipNorm !== undefined && { clipNorm: options.clipNorm }),
  });
}

/** What a quick report may take of the time of training, and seconds at least and at most. */
const QUICK_REPORT = { share: 0.2, least: 5, most: 60 } as const;

/**
 * Seconds that samples, measures and report may take after training; infinite where all of them are asked for.
 * @param trained seconds of training, where no limit in seconds was given
 */
export function reportSeconds(
  { report, seconds }: Pick<FitOptions, "report" | "seconds">,
  trained: number,
): number {
  if (report !== "quick") return Number.POSITIVE_INFINITY;
  const { share, least, most } = QUICK_REPORT;
  return Math.min(most, Math.max(least, share * (seconds ?? trained)));
}

/** What of a budget a stage takes, in shares of it, and the step at which it begins. */
export interface StageSpan {
  readonly firstStep: number;
  readonly from: number;
  readonly to: number;
}

/** How much training there is to be: limits in steps, epochs or seconds, of which the first that is reached counts. */
export class Budget {
  /** Steps at which training ends; infinite where it is limited by seconds alone. */
  readonly stepLimit: number;
  private readonly options: ResolvedFitOptions;
  private readonly elapsed: () => number;

  /**
   * @param epochSteps steps of an epoch
   * @param elapsed seconds of training so far, those before a resume included
   */
  constructor(options: ResolvedFitOptions, epochSteps: number, elapsed: () => number) {
    const { steps = Number.POSITIVE_INFINITY, epochs } = options;
    const inEpochs = epochs === undefined ? Number.POSITIVE_INFINITY : Math.ceil(epochs * epochSteps);
    this.stepLimit = Math.min(steps, inEpochs);
    this.options = options;
    this.elapsed = elapsed;
  }

  /** Share of the budget that is used after `step` steps and so many seconds (default: those up to now), 0 to 1. */
  share(step: number, at = this.elapsed()): number {
    const { seconds } = this.options;
    return Math.min(1, Math.max(step / this.stepLimit, seconds === undefined ? 0 : at / seconds));
  }

  /** Seconds of training in all, as far as they can be foreseen after `step` steps. */
  seconds(step: number): number {
    const elapsed = this.elapsed();
    const share = this.share(step);
    const inSteps = share > 0 ? elapsed / share : elapsed;
    return this.options.seconds ?? inSteps;
  }

  reached(step: number): boolean {
    const { seconds } = this.options;
    return step >= this.stepLimit || (seconds !== undefined && this.elapsed() >= seconds);
  }

  /** Seconds until the limit in seconds; infinite where there is none. */
  get clockLeft(): number {
    const { seconds } = this.options;
    return seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, seconds - this.elapsed());
  }

  /** Foreseen from the speed so far; undefined where it is not known yet. */
  secondsLeft(step: number, stepsPerSecond: number | undefined): number | undefined {
    const byTime = this.clockLeft;
    const bySteps =
      stepsPerSecond === undefined ? Number.POSITIVE_INFINITY : (this.stepLimit - step) / stepsPerSecond;
    const left = Math.min(byTime, bySteps);
    return Number.isFinite(left) ? Math.max(0, left) : undefined;
  }

  /**
   * The learning rate of step `step` (from 0): a function of the step alone where steps or epochs limit the fit. A limit
   * in seconds has a number of steps that is only foreseen, from the speed so far.
   * @param stage with a schedule of its own, where parts of a model are trained one after the other
   */
  learningRate(step: number, stage?: StageSpan): number {
    if (stage !== undefined) return this.rateWithin(stage, step);
    const { seconds } = this.options;
    const share = this.share(step);
    let totalSteps = this.stepLimit;
    if (seconds !== undefined && share > 0.01) totalSteps = Math.min(totalSteps, (step + 1) / share);
    return this.scheduled(step, totalSteps);
  }

  /** The rate of a step of a stage: its schedule takes the steps that its share of the budget comes to. */
  private rateWithin({ firstStep, from, to }: StageSpan, step: number): number {
    const { seconds } = this.options;
    let totalSteps = Math.ceil(to * this.stepLimit - firstStep);
    const share = (this.share(step) - from) / (to - from);
    if (seconds !== undefined && share > 0.01) {
      totalSteps = Math.min(totalSteps, (step - firstStep + 1) / share);
    }
    return this.scheduled(step - firstStep, Math.max(1, totalSteps));
  }

  private scheduled(step: number, totalSteps: number): number {
    const { schedule, learningRate, warmupSteps } = this.options;
    return learningRateSchedule({
      kind: schedule,
      rate: learningRate,
      warmupSteps: Math.min(warmupSteps, Math.floor(totalSteps / 5)),
      totalSteps,
    })(step + 1);
  }
}
