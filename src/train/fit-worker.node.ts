import { parentPort, workerData } from "node:worker_threads";
import { type FitProgress, type FitSummary, fitHere } from "./fit.node.ts";
import { replicaPool } from "./replicas.node.ts";
import {
  type ErrorMessage,
  type FitModule,
  type RunControl,
  toErrorMessage,
} from "./worker-protocol.node.ts";

/** What the fit worker is started with. */
export interface FitWorkerData {
  /** URL of a module that prepares the fit. */
  readonly module: string;
  /** Passed to it. */
  readonly request: unknown;
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
  | { readonly type: "begin"; readonly beginning: FitBeginning }
  | { readonly type: "progress"; readonly progress: FitProgress }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "done"; readonly summary: FitSummary }
  | { readonly type: "error"; readonly error: ErrorMessage };

const { module, request, control }: FitWorkerData = workerData;
const flags = new Int32Array(control);
const send = (message: FitWorkerMessage): void => parentPort?.postMessage(message);

try {
  const { prepareFit }: FitModule<unknown> = await import(module);
  const { config, folder, resume, run, start, notes = [] } = await prepareFit(request);
  send({
    type: "begin",
    beginning: {
      folder: folder.path,
      model: config.model,
      data: [...run.data.describe(), ...notes],
      resumed: resume,
    },
  });
  const talk: RunControl = {
    shouldStop: () => Atomics.load(flags, 0) !== 0,
    warn: (message) => send({ type: "warning", message }),
  };
  const { begin, draw, finish } = run;
  if (!resume) await begin?.(folder, talk);
  const summary = await fitHere({
    model: run.model,
    data: run.data,
    options: config.fit,
    folder,
    resume,
    ...(start !== undefined && { start }),
    onProgress: (progress) => send({ type: "progress", progress }),
    onWarning: talk.warn,
    shouldStop: talk.shouldStop,
    ...(draw !== undefined && { draw: (weights, step) => draw(folder, weights, step, talk) }),
    ...(finish !== undefined && { finish: (summary) => finish(folder, summary, talk) }),
    replicaPool: (tracer, source) => replicaPool(tracer, source, config, module),
  });
  send({ type: "done", summary });
} catch (error) {
  send({ type: "error", error: toErrorMessage(error) });
}
