import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RUN_LOCK, releaseThread } from "../../data/files/lock.node.ts";
import { gatherSource } from "../../data/sources/gather.ts";
import { checkedData, type DataSource, type PlainSource, shown } from "../../data/sources/memory.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { endThread } from "../../program/native-calls.node.ts";
import type { FitSummary } from "../../train/fit-request.node.ts";
import { type RankJob, rankJob } from "../../train/ranks/job.node.ts";
import { fromErrorMessage, workerFailure } from "../../train/threads.node.ts";
import { keepDefinition } from "../run/definition.node.ts";
import type { GivenTrust } from "../run/trust.node.ts";
import { checkHooks, type FitHooks, guarded } from "./hooks.node.ts";
import type { FitTask } from "./prepare.node.ts";
import type { FitRequest, OwnFitRequest, UncheckedRequest } from "./request.ts";
import { fitThread, keepThread } from "./thread.node.ts";
import type { FitOrder, FitWorkerMessage } from "./worker.node.ts";

export type { FitHooks } from "./hooks.node.ts";
export type { FitRequest, FitRequestOf, OwnFitRequest } from "./request.ts";

// A fit runs in a thread of its own (worker.node.ts), so that this one stays responsive. This module is light: model, data and
// runtime are loaded there alone.

/** What of a run may change when it is resumed: options of training by name. */
export interface ResumeOptions {
  /** Where the run's data is now, or the data itself where it was in memory. */
  readonly data?: string | DataSource;
  /** What of the run is trusted, where it is a stranger's: its module, its queries, the address of its weights. Default: nothing. */
  readonly trust?: GivenTrust;
  /** Whether weights that the run began with, and that are elsewhere, are taken from the cache alone. */
  readonly offline?: boolean;
  /** The definition of the model, for a run that was fitted with a definition object; it then goes on in the calling thread. */
  readonly definition?: ModelDefinition;
  readonly [option: string]: unknown;
}

/**
 * Fits a model to data and writes a run folder. A model of the catalogue, or of a module, is fitted in a worker thread; a definition that
 * is given as an object in the calling thread, which it blocks while steps run.
 *
 *     const { folder } = await fit({ model: "nice", data: "two-moons", steps: 200, couplings: 4 });
 *
 *     const wine = rows([{ alcohol: 9.4, quality: 5 }, { alcohol: 11.2, quality: 7 }]);
 *     await fit({ model: "spline-flow", data: wine, label: "quality", seconds: 60 });
 *
 * @throws OptionError, DataError before anything is written; FileError, TrainingError later
 */
export function fit<D extends ModelDefinition>(
  request: OwnFitRequest<D>,
  hooks?: FitHooks,
): Promise<FitSummary>;
export function fit(request: FitRequest, hooks?: FitHooks): Promise<FitSummary>;
export function fit(
  request: FitRequest | OwnFitRequest<ModelDefinition>,
  hooks: FitHooks = {},
): Promise<FitSummary> {
  const { model, ...options } = request;
  if (typeof model === "string") return startFit({ ...options, model }, hooks);
  if (model instanceof URL) return startFit({ ...options, model: fileURLToPath(model) }, hooks);
  return fitDefinition(model, options, hooks);
}

async function fitDefinition(
  definition: ModelDefinition,
  { data, ...options }: Readonly<Record<string, unknown>>,
  hooks: FitHooks,
): Promise<FitSummary> {
  checkHooks(hooks);
  refuseReplicas(options);
  refuseRanks(hooks);
  const request = { ...options, model: keepDefinition(definition), data: await sendable(data) };
  return inThisThread({ kind: "new", request }, hooks);
}

/**
 * As `fit`, for options that are not known while compiling, such as those of a command line.
 * @param trust whether queries among its data are trusted: not where they come out of a run folder
 */
export async function startFit(
  request: UncheckedRequest,
  hooks: FitHooks = {},
  trust: GivenTrust = true,
): Promise<FitSummary> {
  checkHooks(hooks);
  const { data, ...options } = request;
  checkSendable(options);
  const job = jobOf(hooks);
  return inWorker({ kind: "new", request: { ...request, data: await sendable(data) }, trust, job }, hooks);
}

/** Runs a fit in this thread, where the definition of its model is. What it needs is loaded now. */
async function inThisThread(task: FitTask, given: FitHooks): Promise<FitSummary> {
  const { runFit } = await import("./run-fit.node.ts");
  const hooks = guarded(given);
  try {
    return await runFit(task, hooks);
  } finally {
    // What a hook threw comes first: for it the fit may have ended.
    await hooks.settle();
  }
}

/** @throws OptionError where replicas are asked for, which have threads of their own */
function refuseReplicas({ replicas }: Readonly<Record<string, unknown>>): void {
  if (typeof replicas !== "number" || replicas <= 1) return;
  throw new OptionError(
    "option replicas: a definition that is given as an object is fitted in one thread; give the path of its module",
  );
}

/**
 * Continues a run from its last checkpoint, bit for bit.
 * @param overrides options of training to change, for example a later limit, which takes the place of the old one; the run's `data`,
 * where it was in memory or is elsewhere now; the `definition` of its model, where that was given as an object; `trust` in the module, the
 * queries or the address of weights that the run names; and `offline`, as for `fit`
 * @throws OptionError where the run is finished and no larger limit is given, or the data has changed; WeightsError
 * where the checkpoint is damaged
 */
export async function resumeFit(
  folder: string,
  { data, definition, trust, offline, ...overrides }: ResumeOptions = {},
  hooks: FitHooks = {},
): Promise<FitSummary> {
  checkHooks(hooks);
  checkSendable(overrides);
  const task: FitTask = {
    kind: "resume",
    folder,
    overrides,
    job: jobOf(hooks),
    ...(trust !== undefined && { trust }),
    ...(offline !== undefined && { offline }),
    ...(data !== undefined && { data: await sendable(data) }),
  };
  if (definition === undefined) return inWorker(task, hooks);
  refuseReplicas(overrides);
  refuseRanks(hooks);
  keepDefinition(definition);
  return inThisThread(task, hooks);
}

/** The job whose ranks share the batches of a fit. */
function jobOf({ ranks }: FitHooks): RankJob | undefined {
  return ranks === true ? rankJob() : undefined;
}

/** @throws OptionError where ranks are to share the batches of a definition object */
function refuseRanks(hooks: FitHooks): void {
  if (jobOf(hooks) === undefined) return;
  throw new OptionError(
    "ranks: a definition that is given as an object is fitted in one process; give the path of its module",
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

/** Milliseconds that a run which is stopped while it reports may take to end by itself; its weights are saved. */
const REPORT_GRACE = 1500;

/** @throws what `prepareFit` and `fitHere` throw, and what hooks throw; TrainingError where the worker dies */
async function inWorker(task: FitTask, given: FitHooks): Promise<FitSummary> {
  const { signal } = given;
  const control = new SharedArrayBuffer(4);
  const worker = fitThread();
  const { threadId } = worker;
  const stop = (): void => {
    Atomics.store(new Int32Array(control), 0, 1);
  };
  if (signal?.aborted) stop();
  worker.postMessage({ task, control } satisfies FitOrder);
  signal?.addEventListener("abort", stop);
  const hooks = guarded(given);
  hooks.onFailure = stop;
  let folder = task.kind === "resume" ? task.folder : undefined;
  const who = (): string =>
    `the training worker${folder === undefined ? "" : ` of ${folder} (continue with eidos fit --resume ${folder})`}`;
  let summary: FitSummary;
  let trained: FitSummary | undefined;
  let endReport: (() => void) | undefined;
  let forget: (() => void) | undefined;
  let again = false;
  signal?.addEventListener("abort", () => endReport?.());
  try {
    summary = await new Promise<FitSummary>((resolve, reject) => {
      // What is drawn, measured or written may be stopped anywhere: it is done again by a resumed fit.
      endReport = () => {
        const ended = trained;
        if (ended === undefined || ended.reason === "stopped") return;
        setTimeout(() => resolve({ ...ended, unreported: true }), REPORT_GRACE).unref();
      };
      const take = (message: FitWorkerMessage): void => {
        switch (message.kind) {
          case "begin":
            folder = message.beginning.folder;
            hooks.onBegin(message.beginning);
            break;
          case "progress":
            hooks.onProgress(message.progress);
            break;
          case "download":
            hooks.onDownload(message.progress);
            break;
          case "decoding":
            hooks.onDecoding(message.progress);
            break;
          case "warning":
            hooks.onWarning(message.message);
            break;
          case "trained":
            trained = message.summary;
            if (signal?.aborted) endReport?.();
            break;
          case "done":
            again = message.again;
            resolve(message.summary);
            break;
          case "error":
            again = message.again;
            reject(fromErrorMessage(message.error));
            break;
        }
      };
      const died = (cause: unknown): void => reject(workerFailure(who(), cause));
      worker.on("message", take).on("messageerror", died).on("error", died).on("exit", died);
      forget = () =>
        void worker.off("message", take).off("messageerror", died).off("error", died).off("exit", died);
    });
  } finally {
    signal?.removeEventListener("abort", stop);
    // A rank's thread holds the library of its job.
    if (again && task.job === undefined) await keepThread(worker);
    else await endThread(worker);
    forget?.();
    // A worker that died has given nothing back.
    if (folder !== undefined) await releaseThread(join(folder, RUN_LOCK), threadId);
    // What a hook threw comes first: for it the fit may have ended.
    await hooks.settle();
  }
  return summary;
}
