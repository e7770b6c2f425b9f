import type { FitSummary } from "../../train/fit.node.ts";
import { type FitHooks, fitInWorker } from "../../train/fit-in-worker.node.ts";
import { siblingModule } from "../../train/worker-protocol.node.ts";

export type { FitHooks } from "../../train/fit-in-worker.node.ts";

/** What `fit` takes: a model, data, where to write, and any option of training, data and model by its name. */
export interface FitRequest {
  /** Name in the catalogue, or path of a module (.js, .mjs) whose default export is a model definition. */
  readonly model: string;
  /** Name, path or query, as for `openData`. */
  readonly data: string;
  /** Run folder; runs/MODEL-DATA unless told, with a number behind it where that is taken. */
  readonly out?: string;
  readonly [option: string]: unknown;
}

/** What the fit worker is asked for: a new run, or one to go on with. */
export type FitTask =
  | { readonly type: "new"; readonly request: FitRequest }
  | {
      readonly type: "resume";
      readonly folder: string;
      readonly overrides: Readonly<Record<string, unknown>>;
    };

// Model, data and runtime are loaded in the worker alone; this module is light.
function start(task: FitTask, hooks: FitHooks): Promise<FitSummary> {
  return fitInWorker({ module: siblingModule("prepare", import.meta.url), request: task, ...hooks });
}

/**
 * Fits a model to data in a worker thread and writes a run folder.
 * @throws OptionError, DataError before anything is written; FileError, TrainingError later
 */
export function fit(request: FitRequest, hooks: FitHooks = {}): Promise<FitSummary> {
  return start({ type: "new", request }, hooks);
}

/**
 * Continues a run from its last checkpoint, bit for bit.
 * @param overrides options of training to change, for example a later limit, which takes the place of the old one
 * @throws OptionError where the run is finished and no larger limit is given, or the data has changed; WeightsError
 * where the checkpoint is damaged
 */
export function resumeFit(
  folder: string,
  overrides: Readonly<Record<string, unknown>> = {},
  hooks: FitHooks = {},
): Promise<FitSummary> {
  return start({ type: "resume", folder, overrides }, hooks);
}
