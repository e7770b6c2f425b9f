import { parentPort, workerData } from "node:worker_threads";
import { type FitProgress, type FitSummary, fitHere } from "../../train/fit.node.ts";
import { type ErrorMessage, toErrorMessage } from "../../train/threads.node.ts";
import { type FitTask, prepareFit } from "./prepare.node.ts";

// The thread of a fit: data and model are opened here alone.

/** What the thread is started with. */
export interface FitWorkerData {
  readonly task: FitTask;
  /** One Int32: not 0 means stop. */
  readonly control: SharedArrayBuffer;
}

/** A fit as it begins. */
export interface FitBeginning {
  readonly folder: string;
  readonly model: string;
  /** Lines for a person on the data. */
  readonly data: readonly string[];
  readonly resumed: boolean;
}

/** What it reports. */
export type FitWorkerMessage =
  | { readonly kind: "begin"; readonly beginning: FitBeginning }
  | { readonly kind: "progress"; readonly progress: FitProgress }
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "done"; readonly summary: FitSummary }
  | { readonly kind: "error"; readonly error: ErrorMessage };

const { task, control }: FitWorkerData = workerData;
const flags = new Int32Array(control);
const send = (message: FitWorkerMessage): void => parentPort?.postMessage(message);

try {
  const { fit, config, notes } = await prepareFit(task);
  send({
    kind: "begin",
    beginning: {
      folder: fit.folder.path,
      model: config.model,
      data: [...fit.data.describe(), ...notes],
      resumed: fit.resume,
    },
  });
  const summary = await fitHere({
    ...fit,
    onProgress: (progress) => send({ kind: "progress", progress }),
    onWarning: (message) => send({ kind: "warning", message }),
    shouldStop: () => Atomics.load(flags, 0) !== 0,
  });
  send({ kind: "done", summary });
} catch (error) {
  send({ kind: "error", error: toErrorMessage(error) });
}
