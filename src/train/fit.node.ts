import type { Trainable } from "../model/capabilities.ts";
import { nodeRuntime } from "../program/node.ts";
import type { State } from "../program/program.ts";
import type { TrainingBatches } from "./batches.ts";
import { FitLoop } from "./fit-loop.node.ts";
import { batchSourceOf, type FitData, tracerOf } from "./fit-setup.ts";
import { accumulatingPool, type GradientPool } from "./gradient-parts.ts";
import type { ResolvedFitOptions } from "./options.ts";
import { replicaThreads } from "./replicas.node.ts";
import type { Checkpoint, RunFolder, RunProgress } from "./run-folder.node.ts";
import type { StepTracer } from "./step.ts";
import { initialVectors, Trainer } from "./trainer.ts";

/** Where a fit stands; sent about four times a second. */
export interface FitProgress {
  readonly step: number;
  /** Steps at which training ends; undefined where it is limited by seconds alone. */
  readonly stepLimit?: number;
  readonly epoch: number;
  readonly seconds: number;
  readonly loss: number;
  readonly validationLoss?: number;
  /** Measures of the last validation, where the data has a judge. */
  readonly measures?: Readonly<Record<string, number>>;
  readonly samplesPerSecond: number;
  /** Undefined until the speed is known. */
  readonly secondsLeft?: number;
  /** Share of the budget that is used, 0 to 1. */
  readonly share: number;
  readonly stage: "compiling" | "training" | "validating" | "drawing" | "saving" | "reporting";
}

/** What a fit comes to. */
export interface FitSummary {
  readonly folder: string;
  readonly step: number;
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly parameters: number;
  readonly loss: number;
  readonly best?: NonNullable<RunProgress["best"]>;
  /** Why it ended. */
  readonly reason: "limit" | "patience" | "stopped";
}

/** A fit that is ready to run. */
export interface Fit {
  readonly model: Trainable;
  readonly data: FitData;
  readonly options: ResolvedFitOptions;
  readonly folder: RunFolder;
  /** Continue from the folder's checkpoint, bit for bit. */
  readonly resume: boolean;
  /** Weights to begin with, of every parameter and buffer; drawn by the seed unless given. */
  readonly start?: State;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Told what went wrong without ending the fit. */
  readonly onWarning?: (message: string) => void;
  /** Asked after every step; true ends the fit in good order. */
  readonly shouldStop?: () => boolean;
  /**
   * Draws pictures of samples now and then. That a half-trained model cannot be sampled is a warning; only a failure of
   * the file system ends the fit.
   */
  readonly draw?: (weights: State, step: number) => Promise<void>;
  /** Writes what a run has besides weights. Until it is done, the checkpoint does not count as finished. */
  readonly finish?: (summary: FitSummary) => Promise<void>;
  /** Makes the gradient pool of replicas; without it, parts are computed in this thread. */
  readonly replicaPool?: (tracer: StepTracer, source: TrainingBatches) => Promise<GradientPool>;
}

/**
 * Fits a model in this thread, which it blocks while steps run, and keeps the run folder up to date.
 *
 * Batches and noise are functions of seed and step; metrics are gathered by step. A resumed fit therefore repeats the
 * uninterrupted one bit for bit, as long as its limit is in steps or epochs.
 *
 * @throws TrainingError where the loss turns NaN or infinite: with the step, the samples of the batch and the last good
 * checkpoint. FileError where the folder cannot be written. WeightsError where the checkpoint is damaged or foreign.
 */
export async function fitHere(fit: Fit): Promise<FitSummary> {
  const { options, folder } = fit;
  const tracer = tracerOf(fit.model, options);
  const source = batchSourceOf(fit.data, options);
  const held = fit.resume ? await folder.readCheckpoint() : undefined;
  const start: Pick<Checkpoint, "vectors"> & Partial<Checkpoint> =
    held === undefined
      ? { vectors: initialVectors(tracer, source.random, fit.start) }
      : folder.checked(held, initialVectors(tracer, source.random));
  const rows = held === undefined ? [] : await folder.readMetrics();
  const loop = new FitLoop(fit, tracer, source, start.progress, rows);

  loop.report("compiling", true);
  const { parts, threads } = {
    parts: options.replicas * options.accumulate,
    threads: replicaThreads(options),
  };
  const runtime = await nodeRuntime({
    provider: options.provider,
    ...(threads !== undefined && { threads }),
  });
  let pool: GradientPool | undefined;
  if (options.replicas > 1 && fit.replicaPool !== undefined) pool = await fit.replicaPool(tracer, source);
  else if (parts > 1) pool = await accumulatingPool(tracer, source, parts, runtime);
  let summary: FitSummary;
  try {
    const snapshot = {
      step: start.progress?.step ?? 0,
      vectors: start.vectors,
      given: fit.start !== undefined,
    };
    const trainer = await Trainer.create(tracer, source, runtime, snapshot, pool);
    try {
      summary = await loop.run(trainer);
    } finally {
      await trainer.release();
    }
  } finally {
    await pool?.release();
  }
  if (fit.finish !== undefined) {
    loop.report("reporting", true);
    await fit.finish(summary);
  }
  if (summary.reason !== "stopped") await folder.markFinished();
  return summary;
}
