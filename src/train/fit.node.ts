import { Deadline } from "../program/deadline.ts";
import { nodeRuntime } from "../program/node.ts";
import { batchSourceOf } from "./batches.ts";
import { FitLoop } from "./fit-loop.node.ts";
import type { Fit, FitControl, FitSummary } from "./fit-request.node.ts";
import { orderVectors } from "./follow.node.ts";
import { reportSeconds, tracerOf } from "./options.ts";
import { gradientPool } from "./rank-pool.node.ts";
import { fitThreads } from "./replicas.node.ts";
import type { Checkpoint } from "./run-folder.node.ts";
import { initialVectors, Trainer } from "./trainer.ts";

/**
 * Fits a model in this thread, which it blocks while steps run, and keeps the run folder up to date.
 *
 * Batches and noise are functions of seed and step; metrics are gathered by step. A resumed fit therefore repeats the
 * uninterrupted one bit for bit, as long as its limit is in steps or epochs. At its end the folder is unlocked. A new fit that fails before
 * its first step leaves no folder.
 *
 * @throws TrainingError where the loss turns NaN or infinite: with the step, the samples of the batch and the last good
 * checkpoint. FileError where the folder cannot be written. WeightsError where the checkpoint is damaged or foreign.
 */
export async function fitHere(fit: Fit): Promise<FitSummary> {
  const begun = { steps: false };
  try {
    return await fitLocked(fit, begun);
  } catch (error) {
    if (!fit.resume && !begun.steps) await fit.folder.discard();
    throw error;
  } finally {
    await fit.folder.unlock();
  }
}

/** @param begun is noted in it once a step is done */
async function fitLocked(fit: Fit, begun: { steps: boolean }): Promise<FitSummary> {
  const { options, folder, ranks, owners } = fit;
  const shouldStop = (): boolean => fit.shouldStop?.() ?? false;
  let loop: FitLoop | undefined;
  const control: FitControl = {
    shouldStop: () => shouldStop() || ranks?.stopAsked === true,
    warn: (message) => fit.onWarning?.(message),
    deadline: new Deadline(shouldStop),
    doing: (what, done) => loop?.reportDoing(what, done),
  };
  if (!fit.resume) await fit.begin?.(control);
  const tracer = tracerOf(fit.model, options);
  const source = batchSourceOf(fit.data, options);
  const held = fit.resume ? await folder.readCheckpoint() : undefined;
  const start: Pick<Checkpoint, "vectors"> & Partial<Checkpoint> =
    held === undefined
      ? { vectors: initialVectors(tracer, source.random, fit.start) }
      : folder.checked(held, initialVectors(tracer, source.random));
  const rows = held === undefined ? [] : await folder.resumedMetrics(held, control.warn);
  loop = new FitLoop(fit, control, tracer, source, start.progress, rows);

  loop.report("compiling", true);
  const runtime = await nodeRuntime({
    provider: options.provider,
    deterministic: options.deterministic,
    ...fitThreads(options),
  });
  const { replicaPool } = fit;
  const work = { tracer, source, options, runtime, replicaPool, ranks, owners, shouldStop };
  const pool = await gradientPool(work);
  let summary: FitSummary;
  loop.onStep = () => {
    begun.steps = true;
  };
  try {
    const snapshot = {
      step: start.progress?.step ?? 0,
      vectors: start.vectors,
      given: fit.start !== undefined,
    };
    await loop.prepare(runtime, snapshot);
    const trainer = await Trainer.create(tracer, source, runtime, snapshot, pool);
    try {
      if (ranks !== undefined) await orderVectors(ranks, trainer, initialVectors(tracer, source.random));
      summary = await loop.run(trainer);
    } finally {
      await trainer.release();
    }
  } finally {
    await pool?.release();
  }
  return finish(fit, summary, control, loop);
}

/** Has the run write what it has besides weights, in the time that there is for it. */
async function finish(
  { finish, folder, options, onTrained }: Fit,
  summary: FitSummary,
  control: FitControl,
  loop: FitLoop,
): Promise<FitSummary> {
  onTrained?.(summary);
  const begun = performance.now();
  if (finish !== undefined) {
    loop.report("reporting", true);
    const seconds = reportSeconds(options, summary.seconds);
    await control.deadline.within(seconds, () => finish(summary, control));
  }
  const ended = { ...summary, reportSeconds: (performance.now() - begun) / 1000 };
  if (summary.reason === "stopped") return ended;
  if (finish !== undefined && control.shouldStop()) return { ...ended, unreported: true };
  await folder.markFinished();
  return ended;
}
