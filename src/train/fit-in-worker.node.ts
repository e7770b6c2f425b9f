import type { FitProgress, FitSummary } from "./fit.node.ts";
import type { FitBeginning, FitWorkerData, FitWorkerMessage } from "./fit-worker.node.ts";
import { fromErrorMessage, siblingModule, startWorker, workerFailure } from "./worker-protocol.node.ts";

export interface FitHooks {
  /** Called once, when model and data are there and the run folder is made. */
  readonly onBegin?: (beginning: FitBeginning) => void;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Told what went wrong without ending the fit. */
  readonly onWarning?: (message: string) => void;
  /** Ends the fit after the step under way; its checkpoint is written. */
  readonly signal?: AbortSignal;
}

export interface FitInWorkerOptions extends FitHooks {
  /** A module that exports `prepareFit` and `resolveRun`. */
  readonly module: URL;
  /** What `prepareFit` takes; it is cloned. */
  readonly request: unknown;
}

/**
 * Fits in a worker thread, so that this thread stays responsive. Data and model are opened there alone.
 * @throws what `prepareFit` and `fitHere` throw; TrainingError where the worker dies
 */
export async function fitInWorker(options: FitInWorkerOptions): Promise<FitSummary> {
  const { module, request, onBegin, onProgress, onWarning, signal } = options;
  const control = new SharedArrayBuffer(4);
  const data: FitWorkerData = { module: module.href, request, control };
  const worker = startWorker(siblingModule("fit-worker", import.meta.url), data);
  const stop = (): void => {
    Atomics.store(new Int32Array(control), 0, 1);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  let who = "the training worker";
  try {
    return await new Promise<FitSummary>((resolve, reject) => {
      worker.on("message", (message: FitWorkerMessage) => {
        switch (message.type) {
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
