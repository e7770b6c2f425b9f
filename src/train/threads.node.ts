import * as errors from "../errors.ts";

// Worker threads of this package: how their errors travel.

/** An error sent between threads: classes do not survive structured cloning. */
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

const { locationOutside: _notAClass, ...CLASSES } = errors;

/** The error again, of its own class where it is one of eidos. */
export function fromErrorMessage({ name, message, stack }: ErrorMessage): Error {
  const Known = Object.values(CLASSES).find((candidate) => candidate.name === name);
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
