import { parentPort, workerData } from "node:worker_threads";
import { checkFingerprint, type FitProgress, type FitSummary, fitHere } from "./fit.node.ts";
import { replicaPool } from "./replicas.node.ts";
import type { RunConfig } from "./run-config.ts";
import { RunFolder } from "./run-folder.node.ts";
import { type ErrorMessage, type ResolverModule, toErrorMessage } from "./worker-protocol.node.ts";

/** What the fit worker is started with. */
export interface FitWorkerData {
  readonly config: RunConfig;
  readonly folder: string;
  readonly resume: boolean;
  /** URL of a resolver module. */
  readonly resolver: string;
  /** One Int32: not 0 means stop. */
  readonly control: SharedArrayBuffer;
}

/** What it reports. */
export type FitWorkerMessage =
  | { readonly type: "progress"; readonly progress: FitProgress }
  | { readonly type: "done"; readonly summary: FitSummary }
  | { readonly type: "error"; readonly error: ErrorMessage };

const { config, folder: path, resume, resolver, control }: FitWorkerData = workerData;
const flags = new Int32Array(control);
const send = (message: FitWorkerMessage): void => parentPort?.postMessage(message);

try {
  const { resolveRun }: ResolverModule = await import(resolver);
  const { model, data, draw, finish } = await resolveRun(config);
  checkFingerprint(config.dataInfo.fingerprint, data);
  const folder = new RunFolder(path);
  const summary = await fitHere({
    model,
    data,
    options: config.fit,
    folder,
    resume,
    onProgress: (progress) => send({ type: "progress", progress }),
    shouldStop: () => Atomics.load(flags, 0) !== 0,
    ...(draw !== undefined && { draw: (weights, step) => draw(folder, weights, step) }),
    replicaPool: (tracer, source) => replicaPool(tracer, source, config, resolver),
  });
  await finish?.(folder, summary);
  send({ type: "done", summary });
} catch (error) {
  send({ type: "error", error: toErrorMessage(error) });
}
