import "../program/no-telemetry.node.ts";

import { Worker } from "node:worker_threads";
import * as errors from "../errors.ts";
import type { Model } from "../model/capabilities.ts";
import type { State } from "../program/program.ts";
import type { FitSummary } from "./fit.node.ts";
import type { FitData } from "./fit-setup.ts";
import type { RunConfig } from "./run-config.ts";
import type { RunFolder } from "./run-folder.node.ts";

/** What a run can be asked while it draws or reports. */
export interface RunControl {
  readonly shouldStop: () => boolean;
  readonly warn: (message: string) => void;
}

/** A run whose names have become objects. */
export interface ResolvedRun {
  readonly model: Model;
  readonly data: FitData;
  /** Writes what a run shows before its first step, such as batches as they are fed. */
  readonly begin?: (folder: RunFolder, control: RunControl) => Promise<void>;
  /** Draws pictures of samples into the run folder. */
  readonly draw?: (folder: RunFolder, weights: State, step: number, control: RunControl) => Promise<void>;
  /** Writes what a finished run has besides weights: report and exported model. */
  readonly finish?: (folder: RunFolder, summary: FitSummary, control: RunControl) => Promise<void>;
}

/** A run that can begin or go on. */
export interface PreparedFit {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly resume: boolean;
  readonly run: ResolvedRun;
  /** Weights to begin with, where they are given. */
  readonly start?: State;
  /** Lines for a person beside those on the data. */
  readonly notes?: readonly string[];
}

/**
 * What replicas import to turn a configuration into a model and data: a module that exports `resolveRun`. It keeps this
 * room free of the catalogue.
 */
export interface ResolverModule {
  resolveRun(config: RunConfig): Promise<ResolvedRun>;
}

/** What the fit worker imports: it also turns a request into a run, and makes or opens its folder. */
export interface FitModule<Request> extends ResolverModule {
  prepareFit(request: Request): Promise<PreparedFit>;
}

/** An error on its way between threads: classes do not survive structured cloning. */
export interface ErrorMessage {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

export function toErrorMessage(error: unknown): ErrorMessage {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  return {
    name: error.name,
    message: error.message,
    ...(error.stack !== undefined && { stack: error.stack }),
  };
}

/** The error again, of its own class where it is one of eidos. */
export function fromErrorMessage({ name, message, stack }: ErrorMessage): Error {
  const Known = Object.values(errors).find((candidate) => candidate.name === name);
  const error = Known === undefined ? new Error(message) : new Known(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What became of a worker that did not answer: it threw where nothing catches, ran out of memory or ended itself. */
export function workerFailure(who: string, cause: unknown): Error {
  if (typeof cause === "number")
    return new errors.TrainingError(`${who} ended unexpectedly with code ${cause}`);
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "ERR_WORKER_OUT_OF_MEMORY") {
    return new errors.TrainingError(
      `${who} ran out of memory; use less data or a smaller batchSize, or raise the limit (node --max-old-space-size)`,
      { cause },
    );
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new errors.TrainingError(`${who} failed: ${reason}`, { cause });
}

/** Starts a worker of this package: compiled JavaScript as it is, TypeScript sources (in development) through tsx. */
export function startWorker(entry: URL, workerData: unknown): Worker {
  if (!entry.pathname.endsWith(".ts")) return new Worker(entry, { workerData });
  const code = `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(code, { workerData, eval: true });
}

/** The URL of a sibling module, compiled or not. */
export function siblingModule(name: string, from: string): URL {
  return new URL(`./${name}.node${from.endsWith(".ts") ? ".ts" : ".js"}`, from);
}
