import { parentPort } from "node:worker_threads";
import type { DownloadProgress } from "../../data/files/download.node.ts";
import type { DecodingProgress } from "../../data/image/decode-all.node.ts";
import { threadLoaded } from "../../program/native-calls.node.ts";
import type { FitProgress, FitSummary } from "../../train/fit-request.node.ts";
import { type ErrorMessage, toErrorMessage } from "../../train/threads.node.ts";
import { hasImportedModule } from "../run/definition.node.ts";
import type { FitTask } from "./prepare.node.ts";
import { type FitBeginning, runFit } from "./run-fit.node.ts";

// The thread of fits, one after another: data and model are opened here alone.

/** What the thread is sent to begin a fit. */
export interface FitOrder {
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
  | { readonly kind: "done"; readonly summary: FitSummary; readonly again: boolean }
  | { readonly kind: "error"; readonly error: ErrorMessage; readonly again: boolean };

/** Bytes that a thread may hold after a fit and still be kept for another. */
const HELD = 2 ** 28;

/**
 * Whether this thread can do another fit: not where a module of the user's own is loaded, which may be another by then, or where much memory
 * would stay taken.
 */
function again(): boolean {
  const { heapTotal, external } = process.memoryUsage();
  return !hasImportedModule() && heapTotal + external < HELD;
}

async function fit({ task, control }: FitOrder): Promise<void> {
  const flags = new Int32Array(control);
  let ended = false;
  const send = (message: FitWorkerMessage): void => {
    if (!ended) parentPort?.postMessage(message);
  };
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
    send({ kind: "done", summary, again: again() });
  } catch (error) {
    send({ kind: "error", error: toErrorMessage(error), again: again() });
  }
  ended = true;
}

threadLoaded();
parentPort?.on("message", async (order: FitOrder) => {
  // A fit that waits for nothing any more is to end the thread, which its starter notices.
  parentPort?.unref();
  await fit(order);
  parentPort?.ref();
});
