import type { DataSet, Split } from "../data/sources/data-set.ts";
import { batchesPerEpoch } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import type { Adversarial, Trainable } from "../model/capabilities.ts";
import type { FitPreferences } from "../model/definition.ts";
import { nameParameters } from "../nn/module.ts";
import { adam, adamW, type Optimizer, sgd } from "../nn/optimizer.ts";
import { Random } from "../random.ts";
import { type HeldOut, type TrainingBatches, trainingBatches } from "./batches.ts";
import type { FitOptions, ResolvedFitOptions } from "./options.ts";
import { StepTracer } from "./step.ts";

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
  return {
    ...options,
    ...(limited === undefined && { seconds: 120 }),
    ...(clipNorm !== undefined && { clipNorm }),
    ...(beta1 !== undefined && { beta1 }),
    ...(beta2 !== undefined && { beta2 }),
    batchSize,
    learningRate: options.learningRate ?? preferences.learningRate ?? 1e-3,
    warmupSteps: options.warmupSteps ?? preferences.warmupSteps ?? 50,
    optimizer: options.optimizer ?? preferences.optimizer ?? "adam",
    weightDecay: options.weightDecay ?? preferences.weightDecay ?? 0,
    averageDecay: options.averageDecay ?? preferences.averageDecay ?? 0.999,
    validateEvery: options.validateEvery ?? Math.min(1000, Math.max(50, epoch)),
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
 * Refuses to divide the batches of a model whose parts play against each other: its turns need the whole batch.
 * @throws OptionError
 */
export function checkWhole(
  { turns }: Partial<Adversarial>,
  { replicas, accumulate }: { readonly replicas: number; readonly accumulate: number },
): void {
  if (turns === undefined || replicas * accumulate === 1) return;
  const option = replicas > 1 ? "replicas" : "accumulate";
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

/** Data that makes its own batches, such as images that are changed each time anew. */
export interface BatchedData {
  readonly name: string;
  /** Changes whenever the contents or the split change. */
  readonly fingerprint: string;
  /** Lines for a person. */
  describe(): string[];
  batches(options: Pick<ResolvedFitOptions, "batchSize" | "seed">): TrainingBatches;
  readonly validation: HeldOut;
}

/** What a model is fitted to. */
export type FitData = DataSet | BatchedData;

/** Where a fit's batches and noise come from. */
export function batchSourceOf(data: FitData, options: ResolvedFitOptions): TrainingBatches {
  if ("batches" in data) return data.batches(options);
  const { batchSize, seed } = options;
  return trainingBatches({ split: (data.pairs ?? data.splits).train, batchSize, random: new Random(seed) });
}

/** What the weights of a fit are chosen by. */
export function validationOf(data: FitData): Split | HeldOut {
  return "batches" in data ? data.validation : (data.pairs ?? data.splits).validation;
}

/** Refuses to resume on other data than the run began with. @throws OptionError */
export function checkFingerprint(expected: string, data: Pick<FitData, "name" | "fingerprint">): void {
  if (expected !== data.fingerprint) {
    throw new OptionError(
      `${data.name} is no longer what this run was begun with (its contents or split changed); fit into a new folder`,
    );
  }
}
