import { parentPort, workerData } from "node:worker_threads";
import type { DownloadProgress } from "../../data/files/download.node.ts";
import type { DecodingProgress } from "../../data/image/decode-all.node.ts";
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
  | { readonly kind: "decoding"; readonly progress: DecodingProgress }
  | { readonly kind: "warning"; readonly message: string }
  /** Training has ended and its weights are saved; the report follows. */
  | { readonly kind: "trained"; readonly summary: FitSummary }
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
    onDecoding: (progress) => send({ kind: "decoding", progress }),
    onWarning: (message) => send({ kind: "warning", message }),
    onTrained: (summary) => send({ kind: "trained", summary }),
    shouldStop: () => Atomics.load(flags, 0) !== 0,
  });
  send({ kind: "done", summary });
} catch (error) {
  send({ kind: "error", error: toErrorMessage(error) });
}
