import { gatherSource } from "../../data/sources/gather.ts";
import { checkedData, type DataSource, type PlainSource, shown } from "../../data/sources/memory.ts";
import { OptionError } from "../../errors.ts";
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

/** What of a run may change when it is resumed: options of training by name. */
export interface ResumeOptions {
  readonly data?: string | DataSource;
  readonly [option: string]: unknown;
}

/**
 * Fits a model to data in a worker thread and writes a run folder.
 * @throws OptionError, DataError before anything is written; FileError, TrainingError later
 */
export async function fit(request: FitRequest, hooks: FitHooks = {}): Promise<FitSummary> {
  const { data, ...options } = request;
  checkSendable(options);
  return inWorker({ kind: "new", request: { ...request, data: await sendable(data) } }, hooks);
}

/**
 * Continues a run from its last checkpoint, bit for bit.
 * @param overrides options of training to change, for example a later limit, which takes the place of the old one; and the
 * run's `data`, where it was in memory or is elsewhere now
 * @throws OptionError where the run is finished and no larger limit is given, or the data has changed; WeightsError
 * where the checkpoint is damaged
 */
export async function resumeFit(
  folder: string,
  { data, ...overrides }: ResumeOptions = {},
  hooks: FitHooks = {},
): Promise<FitSummary> {
  checkSendable(overrides);
  return inWorker(
    { kind: "resume", folder, overrides, ...(data !== undefined && { data: await sendable(data) }) },
    hooks,
  );
}

/** Data as it travels to the thread of a fit. @throws OptionError, DataError */
async function sendable(data: unknown): Promise<string | PlainSource> {
  const checked = checkedData(data);
  return typeof checked === "string" ? checked : gatherSource(checked);
}

/** @throws OptionError for an option that is no plain value, such as a function */
function checkSendable(options: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(options)) {
    try {
      structuredClone(value);
    } catch (cause) {
      throw new OptionError(`option ${name}: must be a plain value, not ${shown(value)}`, { cause });
    }
  }
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
