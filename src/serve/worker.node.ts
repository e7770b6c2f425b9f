import { EidosError } from "../errors.ts";
import { openRun } from "../tasks/open-run.node.ts";
import type { LoadRunOptions } from "../tasks/run/load.node.ts";
import { type ErrorMessage, toErrorMessage } from "../train/threads.node.ts";
import type { ServedModel } from "./abilities.ts";
import { FilesPipe, type JobsWithoutFiles } from "./files-pipe.node.ts";
import { type Outcome, ServedRun } from "./work.node.ts";

// A process that computes. ONNX Runtime blocks the thread that it is called from, and a fault of native code takes its process down: the main
// process therefore computes nothing, and answers for its workers where one of them dies. It sends them one thing to do at a time.

/** How a run is opened by workers. */
export interface RunToOpen {
  readonly name: string;
  readonly folder: string;
  readonly options: Pick<LoadRunOptions, "weights" | "provider" | "threads" | "trust">;
  readonly pixelLimit: number;
}

/** What the main process sends. */
export type ToWorker =
  /** Opens a run, or opens it again, in place of the one of its name, when that has succeeded. */
  | { readonly kind: "open"; readonly run: RunToOpen }
  /** Computes requests, whose files follow through the pipe of files. */
  | ({ readonly kind: "jobs" } & JobsWithoutFiles)
  /** Nobody waits for this job any more. */
  | { readonly kind: "cancel"; readonly id: number };

/** What a worker sends. */
export type FromWorker =
  | { readonly kind: "opened"; readonly model: ServedModel }
  | { readonly kind: "not-opened"; readonly name: string; readonly error: ErrorMessage }
  | {
      readonly kind: "outcome";
      readonly id: number;
      readonly version: string | undefined;
      readonly outcome: Outcome;
    }
  /** All jobs are done. */
  | { readonly kind: "done" };

const runs = new Map<string, ServedRun>();
const cancelled = new Set<number>();
const files = new FilesPipe();

function send(message: FromWorker): void {
  // Where the main process has closed the channel meanwhile, nobody waits for this any more.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

async function open({ name, folder, options, pixelLimit }: RunToOpen): Promise<void> {
  try {
    const served = new ServedRun(name, await openRun(folder, options), pixelLimit);
    await served.warmUp();
    const before = runs.get(name);
    runs.set(name, served);
    await before?.release();
    send({ kind: "opened", model: served.model });
  } catch (error) {
    const told = error instanceof EidosError ? error : new Error(String(error), { cause: error });
    send({ kind: "not-opened", name, error: toErrorMessage(told) });
  }
}

async function work(message: JobsWithoutFiles): Promise<void> {
  const jobs = await files.putFiles(message);
  const [first] = jobs;
  const run = first && runs.get(first.model);
  await run?.answer(
    jobs,
    ({ id }, outcome) => send({ kind: "outcome", id, version: run.model.version, outcome }),
    ({ id, deadline }) => cancelled.has(id) || Date.now() > deadline,
  );
  cancelled.clear();
  send({ kind: "done" });
}

process.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "open":
      void open(message.run);
      return;
    case "jobs":
      void work(message);
      return;
    case "cancel":
      cancelled.add(message.id);
  }
});

// Ctrl-C reaches all processes of a terminal: the main one decides when its workers end.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
process.on("disconnect", () => process.exit(0));
