import type { DataSet } from "../data/data-set.ts";
import { batchesPerEpoch } from "../data/order.ts";
import { OptionError, TrainingError, WeightsError } from "../errors.ts";
import type { FitPreferences, Trainable } from "../nn/model.ts";
import { nameParameters, parameterCount } from "../nn/module.ts";
import { adam, adamW, type Optimiser, sgd } from "../nn/optimiser.ts";
import { learningRateSchedule } from "../nn/schedule.ts";
import { nodeRuntime } from "../program/node.ts";
import type { State } from "../program/program.ts";
import { Random } from "../random.ts";
import { elementCount } from "../tensor/array.ts";
import type { FitOptions, ResolvedFitOptions } from "./options.ts";
import type { Checkpoint, MetricRow, RunFolder, RunProgress } from "./run-folder.node.ts";
import { StepTracer } from "./step.ts";
import {
  accumulatingPool,
  type BatchSource,
  type GradientPool,
  initialVectors,
  stepIndices,
  Trainer,
  weightsOf,
} from "./trainer.ts";

/** Where a fit stands; sent about four times a second. */
export interface FitProgress {
  readonly step: number;
  readonly epoch: number;
  readonly seconds: number;
  readonly loss: number;
  readonly validationLoss?: number;
  readonly samplesPerSecond: number;
  /** Undefined until the speed is known. */
  readonly secondsLeft?: number;
  /** Share of the budget that is used, 0 to 1. */
  readonly share: number;
  readonly stage: "compiling" | "training" | "validating" | "drawing" | "saving";
}

/** What a fit comes to. */
export interface FitSummary {
  readonly folder: string;
  readonly step: number;
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly parameters: number;
  readonly loss: number;
  readonly best?: { readonly step: number; readonly loss: number };
  /** Why it ended. */
  readonly reason: "limit" | "patience" | "stopped";
}

/** A fit that is ready to run. */
export interface Fit {
  readonly model: Trainable;
  readonly data: DataSet;
  readonly options: ResolvedFitOptions;
  readonly folder: RunFolder;
  /** Continue from the folder's checkpoint, bit for bit. */
  readonly resume: boolean;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Asked after every step; true ends the fit in good order. */
  readonly shouldStop?: () => boolean;
  /** Draws pictures of samples now and then; its failure ends the fit. */
  readonly draw?: (weights: State, step: number) => Promise<void>;
  /** Makes the gradient pool of replicas; without it, parts are computed in this thread. */
  readonly replicaPool?: (tracer: StepTracer, source: BatchSource) => Promise<GradientPool>;
}

/** Fills what the user left open: first by the model's preferences, then by general defaults. */
export function resolveFitOptions(
  options: FitOptions,
  preferences: FitPreferences,
  trainCount: number,
): ResolvedFitOptions {
  const batchSize = options.batchSize ?? Math.min(preferences.batchSize ?? 64, trainCount);
  const limited = options.steps ?? options.epochs ?? options.seconds;
  const epoch = batchesPerEpoch(trainCount, batchSize);
  const clipNorm = options.clipNorm ?? preferences.clipNorm;
  return {
    ...options,
    ...(limited === undefined && { seconds: 120 }),
    ...(clipNorm !== undefined && { clipNorm }),
    batchSize,
    learningRate: options.learningRate ?? preferences.learningRate ?? 1e-3,
    warmupSteps: options.warmupSteps ?? preferences.warmupSteps ?? 50,
    optimiser: options.optimiser ?? preferences.optimiser ?? "adam",
    weightDecay: options.weightDecay ?? preferences.weightDecay ?? 0,
    averageDecay: options.averageDecay ?? preferences.averageDecay ?? 0.999,
    validateEvery: options.validateEvery ?? Math.min(1000, Math.max(50, epoch)),
  };
}

function optimiserOf({ optimiser, momentum, weightDecay }: ResolvedFitOptions): Optimiser {
  switch (optimiser) {
    case "sgd":
      return sgd({ momentum, weightDecay });
    case "adam":
      return adam({ weightDecay });
    case "adamw":
      return adamW({ weightDecay });
  }
}

/** The tracer of a fit's steps. */
export function tracerOf(model: Trainable, options: ResolvedFitOptions): StepTracer {
  return new StepTracer(nameParameters(model), {
    optimiser: optimiserOf(options),
    averageDecay: options.averageDecay,
    ...(options.clipNorm !== undefined && { clipNorm: options.clipNorm }),
  });
}

/** Where a fit's batches and noise come from. */
export function batchSourceOf(data: DataSet, options: ResolvedFitOptions): BatchSource {
  return { split: data.splits.train, batchSize: options.batchSize, random: new Random(options.seed) };
}

const FRESH: RunProgress = {
  step: 0,
  seconds: 0,
  validationsSinceBest: 0,
  pending: { count: 0, sums: {} },
  finished: false,
};

/** A checkpoint that fits the model. @throws WeightsError */
function checked(checkpoint: Checkpoint, tracer: StepTracer, folder: RunFolder): Checkpoint {
  const expected = initialVectors(tracer, new Random(0));
  for (const [name, { shape }] of expected) {
    const found = checkpoint.vectors.get(name);
    if (found === undefined || elementCount(found.shape) !== elementCount(shape)) {
      throw new WeightsError(
        `${folder.file("state.safetensors")}: ${name} ${found ? `has shape [${found.shape}]` : "is missing"}, the model wants [${shape}]; it belongs to another model or other options`,
      );
    }
  }
  return checkpoint;
}

/**
 * Fits a model in this thread, which it blocks while steps run, and keeps the run folder up to date.
 *
 * Batches and noise are functions of seed and step; metrics are gathered by step. A resumed fit therefore repeats the
 * uninterrupted one bit for bit, as long as its limit is in steps or epochs.
 *
 * @throws TrainingError where the loss turns NaN or infinite: with the step, the samples of the batch and the last good
 * checkpoint. FileError where the folder cannot be written.
 */
export async function fitHere(fit: Fit): Promise<FitSummary> {
  const { options, folder, data } = fit;
  const tracer = tracerOf(fit.model, options);
  const source = batchSourceOf(data, options);
  const parts = options.replicas * options.accumulate;
  const runtime = await nodeRuntime({
    provider: options.provider,
    ...(options.threads !== undefined && { threads: options.threads }),
  });

  const held = fit.resume ? await folder.readCheckpoint() : undefined;
  const start = held && checked(held, tracer, folder);
  let progress: RunProgress = start?.progress ?? FRESH;
  const rows: MetricRow[] = (fit.resume ? await folder.readMetrics() : []).filter(
    (row) => row.step <= progress.step,
  );
  const vectors = start?.vectors ?? initialVectors(tracer, source.random);

  const secondsBefore = progress.seconds;
  const begun = performance.now();
  const elapsed = (): number => secondsBefore + (performance.now() - begun) / 1000;
  const epochSteps = batchesPerEpoch(source.split.count, options.batchSize);
  const stepLimit = Math.min(
    options.steps ?? Number.POSITIVE_INFINITY,
    options.epochs === undefined ? Number.POSITIVE_INFINITY : Math.ceil(options.epochs * epochSteps),
  );
  const shareDone = (step: number): number =>
    Math.min(1, Math.max(step / stepLimit, options.seconds === undefined ? 0 : elapsed() / options.seconds));

  // A budget in seconds has a number of steps that is only foreseen, from the speed so far.
  const learningRateAt = (step: number): number => {
    const share = shareDone(step);
    const foreseen =
      Number.isFinite(stepLimit) && options.seconds === undefined ? stepLimit : (step + 1) / share;
    const totalSteps = share > 0.01 || Number.isFinite(stepLimit) ? foreseen : Number.POSITIVE_INFINITY;
    return learningRateSchedule({
      kind: options.schedule,
      rate: options.learningRate,
      warmupSteps: Math.min(options.warmupSteps, Math.floor(totalSteps / 5)),
      totalSteps,
    })(step + 1);
  };

  let loss = rows.at(-1)?.loss ?? Number.NaN;
  let lastReport = 0;
  let speed: number | undefined;
  let validationLoss = rows.findLast((row) => row.validationLoss !== undefined)?.validationLoss;
  const report = (stage: FitProgress["stage"], step: number, always = false): void => {
    const now = performance.now();
    if (!always && now - lastReport < 250) return;
    lastReport = now;
    const share = shareDone(step);
    const leftByTime = options.seconds === undefined ? Number.POSITIVE_INFINITY : options.seconds - elapsed();
    const leftBySteps = speed === undefined ? Number.POSITIVE_INFINITY : (stepLimit - step) / speed;
    const left = Math.min(leftByTime, leftBySteps);
    fit.onProgress?.({
      step,
      epoch: step / epochSteps,
      seconds: elapsed(),
      loss,
      ...(validationLoss !== undefined && { validationLoss }),
      samplesPerSecond: (speed ?? 0) * options.batchSize,
      ...(Number.isFinite(left) && { secondsLeft: Math.max(0, left) }),
      share,
      stage,
    });
  };

  report("compiling", progress.step, true);
  const pool =
    parts === 1
      ? undefined
      : options.replicas > 1 && fit.replicaPool !== undefined
        ? await fit.replicaPool(tracer, source)
        : await accumulatingPool(tracer, source, parts, runtime);
  const trainer = await Trainer.create(tracer, source, runtime, { step: progress.step, vectors }, pool);
  try {
    return await run();
  } finally {
    await trainer.release();
  }

  async function checkpoint(): Promise<void> {
    report("saving", trainer.step);
    const snapshot = await trainer.snapshot();
    // Metrics first: rows past the checkpoint are dropped when the run is resumed, missing ones could not be made up.
    await folder.writeMetrics(rows);
    await folder.writeCheckpoint({ progress, vectors: snapshot.vectors });
    await folder.writeWeights("last", weightsOf(tracer, snapshot), snapshot.step);
  }

  async function validate(): Promise<Readonly<Record<string, number>>> {
    report("validating", trainer.step);
    const losses = await trainer.validate(data.splits.validation, options.validationSamples);
    const total = losses.total ?? Number.NaN;
    validationLoss = total;
    if (Number.isFinite(total) && (progress.best === undefined || total < progress.best.loss)) {
      progress = { ...progress, best: { step: trainer.step, loss: total }, validationsSinceBest: 0 };
      await folder.writeWeights("best", await trainer.weights(), trainer.step);
    } else {
      progress = { ...progress, validationsSinceBest: progress.validationsSinceBest + 1 };
    }
    return losses;
  }

  function atLimit(): boolean {
    return trainer.step >= stepLimit || (options.seconds !== undefined && elapsed() >= options.seconds);
  }

  function earlyReason(): FitSummary["reason"] | undefined {
    if (options.patience !== undefined && progress.validationsSinceBest >= options.patience)
      return "patience";
    return fit.shouldStop?.() ? "stopped" : undefined;
  }

  async function run(): Promise<FitSummary> {
    const stepsBefore = trainer.step;
    let stepSeconds = 0;
    let checkpointAt = performance.now();
    let drawnShare = shareDone(trainer.step);
    let reason: FitSummary["reason"] | undefined = atLimit() ? "limit" : undefined;
    while (reason === undefined) {
      const rate = learningRateAt(trainer.step);
      const before = performance.now();
      const result = await trainer.train(rate);
      stepSeconds += (performance.now() - before) / 1000;
      speed = (trainer.step - stepsBefore) / stepSeconds;
      loss = result.losses.total ?? Number.NaN;
      if (!Number.isFinite(loss) || !Number.isFinite(result.gradientNorm)) throw await diverged(loss);
      const sums: Record<string, number> = { ...progress.pending.sums };
      for (const [name, value] of Object.entries({ ...result.losses, gradientNorm: result.gradientNorm })) {
        sums[name] = (sums[name] ?? 0) + value;
      }
      const count = progress.pending.count + 1;
      progress = { ...progress, step: trainer.step, seconds: elapsed(), pending: { count, sums } };

      const limit = atLimit();
      const validated = trainer.step % options.validateEvery === 0 || limit ? await validate() : undefined;
      if (trainer.step % options.logEvery === 0 || validated !== undefined) {
        rows.push(metricRow(count, sums, rate, validated));
        progress = { ...progress, pending: { count: 0, sums: {} } };
      }
      reason = limit ? "limit" : earlyReason();
      report("training", trainer.step);
      const due =
        options.checkpointEvery === undefined
          ? performance.now() - checkpointAt > options.checkpointSeconds * 1000
          : trainer.step % options.checkpointEvery === 0;
      if (due && reason === undefined) {
        await checkpoint();
        checkpointAt = performance.now();
      }
      const share = shareDone(trainer.step);
      if (reason === undefined && fit.draw !== undefined && share - drawnShare >= 0.25) {
        report("drawing", trainer.step, true);
        await fit.draw(await trainer.weights(), trainer.step);
        drawnShare = share;
      }
    }
    progress = { ...progress, seconds: elapsed(), finished: reason !== "stopped" };
    await checkpoint();
    report("saving", trainer.step, true);
    return {
      folder: folder.path,
      step: trainer.step,
      seconds: progress.seconds,
      samplesPerSecond: (speed ?? 0) * options.batchSize,
      parameters: parameterCount(fit.model),
      loss,
      ...(progress.best !== undefined && { best: progress.best }),
      reason,
    };
  }

  function metricRow(
    count: number,
    sums: Readonly<Record<string, number>>,
    learningRate: number,
    validated: Readonly<Record<string, number>> | undefined,
  ): MetricRow {
    const { total, ...others } = sums;
    return {
      step: trainer.step,
      epoch: trainer.step / epochSteps,
      seconds: Number(elapsed().toFixed(3)),
      loss: (total ?? Number.NaN) / count,
      ...Object.fromEntries(Object.entries(others).map(([name, value]) => [name, value / count])),
      learningRate,
      samplesPerSecond: Number(((speed ?? 0) * options.batchSize).toFixed(1)),
      ...(validated !== undefined && { validationLoss: validated.total }),
    };
  }

  async function diverged(value: number): Promise<TrainingError> {
    const kept = await folder.readCheckpoint();
    const indices = [...stepIndices(source, trainer.step - 1)];
    const shown = `${indices.slice(0, 8).join(", ")}${indices.length > 8 ? ", …" : ""}`;
    const where = kept
      ? `the checkpoint of step ${kept.progress.step} is kept in ${folder.path}`
      : "no checkpoint had been written yet";
    return new TrainingError(
      `the loss became ${Number.isFinite(value) ? "finite but its gradient not" : value} at step ${trainer.step} (training samples ${shown}); ${where}. Lower learningRate or set clipNorm`,
    );
  }
}

/** Refuses to resume on other data than the run began with. @throws OptionError */
export function checkFingerprint(expected: string, data: DataSet): void {
  if (expected !== data.fingerprint) {
    throw new OptionError(
      `${data.name} is no longer what this run was begun with (its contents or split changed); fit into a new folder`,
    );
  }
}
