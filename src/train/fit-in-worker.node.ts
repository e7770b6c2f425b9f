import { TrainingError } from "../errors.ts";
import type { FitProgress, FitSummary } from "./fit.node.ts";
import type { FitWorkerData, FitWorkerMessage } from "./fit-worker.node.ts";
import type { RunConfig } from "./run-config.ts";
import { fromErrorMessage, siblingModule, startWorker } from "./worker-protocol.node.ts";

export interface FitInWorkerOptions {
  readonly config: RunConfig;
  readonly folder: string;
  readonly resume: boolean;
  /** URL of a module that exports `resolveRun`. */
  readonly resolver: string;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Ends the fit after the step under way; its checkpoint is written. */
  readonly signal?: AbortSignal;
}

/** Fits in a worker thread, so that this thread stays responsive. @throws what `fitHere` throws */
export function fitInWorker(options: FitInWorkerOptions): Promise<FitSummary> {
  const { config, folder, resume, resolver, onProgress, signal } = options;
  const control = new SharedArrayBuffer(4);
  const data: FitWorkerData = { config, folder, resume, resolver, control };
  const worker = startWorker(siblingModule("fit-worker", import.meta.url), data);
  const stop = (): void => {
    Atomics.store(new Int32Array(control), 0, 1);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  return new Promise<FitSummary>((resolve, reject) => {
    worker.on("message", (message: FitWorkerMessage) => {
      if (message.type === "progress") onProgress?.(message.progress);
      else if (message.type === "done") resolve(message.summary);
      else reject(fromErrorMessage(message.error));
    });
    worker.on("error", reject);
    worker.on("exit", (code) => {
      reject(
        new TrainingError(
          `the training worker ended with code ${code}; resume with eidos fit --resume ${folder}`,
        ),
      );
    });
  }).finally(async () => {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  });
}
