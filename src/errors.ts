import { printableLines } from "./printable.ts";

/**
 * Every error that eidos throws on purpose. The command prints the message of an EidosError alone, without a stack,
 * and exits with code 1: a message therefore states what is wrong, where, and what to do. It may quote names out of files, whose
 * control characters are written out.
 */
export class EidosError extends Error {
  override readonly name: string = "EidosError";

  constructor(message: string, options?: ErrorOptions) {
    super(printableLines(message), options);
  }
}

/**
 * Shapes or dtypes that an operation cannot take. The message names the operation, every shape, and the file and line
 * outside of eidos from which it was called, where there is one.
 */
export class ShapeError extends EidosError {
  override readonly name = "ShapeError";

  constructor(message: string, options?: ErrorOptions) {
    const caller = callerOutside();
    super(caller === undefined ? message : `${message} (called at ${caller})`, options);
  }
}

/** A location in a stack, whether it is written as a path or as a URL. */
const pathOf = (location: string): string =>
  location.replace(/^file:\/\/(?:\/(?=[A-Za-z]:))?/, "").replaceAll("\\", "/");

/** Named here, as webpack takes every `new URL(…, import.meta.url)` for a file to be packed. */
const thisFile = import.meta.url;
const here = (relative: string): string => pathOf(decodeURI(new URL(relative, thisFile).href));

/** The folders of eidos's own files. Compiled files stand in dist/ and bundle/, and with source maps their frames name src/ beside them. */
const OWN = /\/(?:src|dist|bundle)\/errors\.[jt]s$/.test(thisFile)
  ? [here("../src/"), here("../dist/"), here("../bundle/")]
  : [here(".")];

/** Frames that are looked at for a caller: a model is a tower of layers, each of some frames. */
const MOST_FRAMES = 200;

/** The nearest file and line of the stack outside of eidos, of Node and of installed packages. */
function callerOutside(): string | undefined {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = MOST_FRAMES;
  const { stack = "" } = new Error("for its stack");
  Error.stackTraceLimit = stackTraceLimit;
  return locationOutside(stack);
}

/**
 * The nearest file and line of a stack outside of eidos, of Node and of installed packages: one's own model, where it has thrown. Undefined
 * where there is none.
 */
export function locationOutside(stack: string): string | undefined {
  for (const frame of stack.split("\n")) {
    const [, location, line] =
      /(?:\(|@|at (?:async )?)((?:\w+:\/\/|\/|[A-Za-z]:[\\/]).+):(\d+):\d+\)?$/.exec(frame) ?? [];
    if (location === undefined) continue;
    const path = pathOf(location);
    if (path.includes("/node_modules/") || OWN.some((folder) => path.startsWith(folder))) continue;
    return `${path}:${line}`;
  }
  return undefined;
}

/** A derivative was asked for where none is defined (argmax, comparison against an index, …). */
export class GradientError extends EidosError {
  override readonly name = "GradientError";
}

/** An option, model name, data name or configuration value that is not acceptable. */
export class OptionError extends EidosError {
  override readonly name = "OptionError";
}

/** Data from outside that cannot be used: the message names the file and, where there is one, the row and column. */
export class DataError extends EidosError {
  override readonly name = "DataError";
}

/** A weights, state or checkpoint file that is truncated, corrupted or of another shape than the model. */
export class WeightsError extends EidosError {
  override readonly name = "WeightsError";
}

/** The runtime cannot run a program: missing execution provider, failed session, missing optional package. */
export class RuntimeError extends EidosError {
  override readonly name = "RuntimeError";
}

/** Training cannot go on: the loss became NaN or infinite, or a worker died. */
export class TrainingError extends EidosError {
  override readonly name = "TrainingError";
}

/** A file cannot be written or read: no space left, read-only folder, missing path. */
export class FileError extends EidosError {
  override readonly name = "FileError";
}

/** A file cannot be fetched: no network, no such file, no permission, other bytes than were promised, or a request is forbidden. */
export class DownloadError extends EidosError {
  override readonly name = "DownloadError";
}

/** A heavy helper (sharp, DuckDB, onnxruntime-web, …) is not installed; the message names what to install. */
export class MissingPackageError extends EidosError {
  override readonly name = "MissingPackageError";
}

/** A model is asked for what it, or the file that it is in, cannot do; the message has the reason. */
export class AbilityError extends EidosError {
  override readonly name = "AbilityError";
}

/** What a server answers in place of a result: its HTTP status, and where it is worth a try, seconds until then. */
export class ServiceError extends EidosError {
  override readonly name: string = "ServiceError";
  readonly status: number;
  readonly retryAfter: number | undefined;

  constructor(
    message: string,
    options: ErrorOptions & { readonly status?: number; readonly retryAfter?: number } = {},
  ) {
    super(message, options);
    this.status = options.status ?? 500;
    this.retryAfter = options.retryAfter;
  }
}

/** A server does not do what it was asked for, and will not the next time: something in the request is wrong (4xx). */
export class RefusedError extends ServiceError {
  override readonly name = "RefusedError";
}

/** A server has no time now (503): too many requests wait, a worker died, or it is stopping. The same request may succeed later. */
export class BusyError extends ServiceError {
  override readonly name = "BusyError";
}

/** A request was given up because its time was up, by the server (504) or by its client. */
export class DeadlineError extends ServiceError {
  override readonly name = "DeadlineError";
}

/** No server answers at an address. */
export class UnreachableError extends EidosError {
  override readonly name = "UnreachableError";
}

/** What is asked for would need more memory than there is; nothing of it has been taken. */
export class MemoryError extends EidosError {
  override readonly name = "MemoryError";
  /** The estimate in bytes; undefined where the error comes from another thread. */
  readonly bytes: number | undefined;

  constructor(message: string, options: ErrorOptions & { readonly bytes?: number } = {}) {
    super(message, options);
    this.bytes = options.bytes;
  }
}

/** A numerical method did not reach its goal, such as a solver that ran out of evaluations. */
export class SolverError extends EidosError {
  override readonly name = "SolverError";
}

/** An inverse was asked of a map that has no analytic one; the message names which and what to use instead. */
export class InverseError extends EidosError {
  override readonly name = "InverseError";
}
