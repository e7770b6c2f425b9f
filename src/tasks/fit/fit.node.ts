import type { FitProgress, FitSummary } from "../../train/fit.node.ts";
import { fromErrorMessage, startThread, workerFailure } from "../../train/threads.node.ts";
import type { FitRequest, FitTask } from "./prepare.node.ts";
import type { FitBeginning, FitWorkerData, FitWorkerMessage } from "./worker.node.ts";

export type { FitRequest } from "./prepare.node.ts";

// A fit runs in a thread of its own (worker.node.ts), so that this one stays responsive. This module is light: model, data and
// runtime are loaded there alone.

/** What a fit reports, and how it is stopped. */
export interface FitHooks {
  /** Called once, when model and data are there and the run folder is made. */
  readonly onBegin?: (beginning: FitBeginning) => void;
  /** Called about four times a second. */
  readonly onProgress?: (progress: FitProgress) => void;
  /** Takes what went wrong without ending the fit. */
  readonly onWarning?: (message: string) => void;
  /** Ends the fit after the step under way; its checkpoint is written. */
  readonly signal?: AbortSignal;
}

/**
 * Fits a model to data in a worker thread and writes a run folder.
 * @throws OptionError, DataError before anything is written; FileError, TrainingError later
 */
export function fit(request: FitRequest, hooks: FitHooks = {}): Promise<FitSummary> {
  return inWorker({ kind: "new", request }, hooks);
}

/**
 * Continues a run from its last checkpoint, bit for bit.
 * @param overrides options of training to change, for example a later limit, which takes the place of the old one
 * @throws OptionError where the run is finished and no larger limit is given, or the data has changed; WeightsError
 * where the checkpoint is damaged
 */
export function resumeFit(
  folder: string,
  overrides: Readonly<Record<string, unknown>> = {},
  hooks: FitHooks = {},
): Promise<FitSummary> {
  return inWorker({ kind: "resume", folder, overrides }, hooks);
}

/** @throws what `prepareFit` and `fitHere` throw; TrainingError where the worker dies */
async function inWorker(
  task: FitTask,
  { onBegin, onProgress, onWarning, signal }: FitHooks,
): Promise<FitSummary> {
  const control = new SharedArrayBuffer(4);
  const data: FitWorkerData = { task, control };
  const worker = startThread(new URL("./worker.node.ts", import.meta.url), data);
  const stop = (): void => {
    Atomics.store(new Int32Array(control), 0, 1);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  let who = "the training worker";
  try {
    return await new Promise<FitSummary>((resolve, reject) => {
      worker.on("message", (message: FitWorkerMessage) => {
        switch (message.kind) {
          case "begin":
            who += ` of ${message.beginning.folder} (continue with eidos fit --resume ${message.beginning.folder})`;
            return onBegin?.(message.beginning);
          case "progress":
            return onProgress?.(message.progress);
          case "warning":
            return onWarning?.(message.message);
          case "done":
            return resolve(message.summary);
          case "error":
            return reject(fromErrorMessage(message.error));
        }
      });
      worker.on("messageerror", (error) => reject(workerFailure(who, error)));
      worker.on("error", (error) => reject(workerFailure(who, error)));
      worker.on("exit", (code) => reject(workerFailure(who, code)));
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
