import { parentPort, workerData } from "node:worker_threads";
import type { DownloadProgress } from "../../data/files/download.node.ts";
import { threadLoaded } from "../../program/native-calls.node.ts";
import type { FitProgress, FitSummary } from "../../train/fit-request.node.ts";
import { type ErrorMessage, toErrorMessage } from "../../train/threads.node.ts";
import type { FitTask } from "./prepare.node.ts";
import { type FitBeginning, runFit } from "./run-fit.node.ts";

// The thread of a fit: data and model are opened here alone.

/** What the thread is started with. */
export interface FitWorkerData {
  readonly task: FitTask;
  /** One Int32: not 0 means stop. */
  readonly control: SharedArrayBuffer;
}

/** What it reports. */
export type FitWorkerMessage =
  | { readonly kind: "begin"; readonly beginning: FitBeginning }
  | { readonly kind: "progress"; readonly progress: FitProgress }
  | { readonly kind: "download"; readonly progress: DownloadProgress }
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "done"; readonly summary: FitSummary }
  | { readonly kind: "error"; readonly error: ErrorMessage };

threadLoaded();
const { task, control }: FitWorkerData = workerData;
const flags = new Int32Array(control);
const send = (message: FitWorkerMessage): void => parentPort?.postMessage(message);

try {
  const summary = await runFit(task, {
    onBegin: (beginning) => send({ kind: "begin", beginning }),
    onProgress: (progress) => send({ kind: "progress", progress }),
    onDownload: (progress) => send({ kind: "download", progress }),
    onWarning: (message) => send({ kind: "warning", message }),
    shouldStop: () => Atomics.load(flags, 0) !== 0,
  });
  send({ kind: "done", summary });
} catch (error) {
  send({ kind: "error", error: toErrorMessage(error) });
}
