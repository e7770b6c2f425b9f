import type { Worker } from "node:worker_threads";
import { endThread, startThread } from "../../program/native-calls.node.ts";

// The threads of fits. To load the library takes a thread longer than a small fit does, and comparisons, reflow and programs of a user's own
// fit one model after another: a thread that has ended a fit in good order is kept for a moment, and does the next one.

/** Milliseconds that a thread without a fit is kept. */
const KEPT = 5000;

/** What a thread took over from the process when it was started. */
const environment = (): string => JSON.stringify(process.env);

/** The environment in which each thread was started. */
const environments = new WeakMap<Worker, string>();

interface Idle {
  readonly worker: Worker;
  /** Takes it out of what is kept. */
  readonly take: () => void;
}

let idle: Idle | undefined;

/** A thread for a fit: one that is kept, where it would begin in the same environment, or a new one. */
export function fitThread(): Worker {
  const held = idle;
  if (held !== undefined) {
    held.take();
    if (environments.get(held.worker) === environment()) {
      held.worker.ref();
      return held.worker;
    }
    void endThread(held.worker);
  }
  const worker = startThread(new URL("./worker.node.ts", import.meta.url), undefined);
  environments.set(worker, environment());
  return worker;
}

/** Keeps a thread, whose fit has ended in good order, for the next one. It does not keep the process alive. */
export async function keepThread(worker: Worker): Promise<void> {
  if (idle !== undefined) return endThread(worker);
  const end = (): void => {
    take();
    void endThread(worker);
  };
  const timer = setTimeout(end, KEPT).unref();
  const take = (): void => {
    clearTimeout(timer);
    worker.off("error", end).off("exit", take);
    if (idle?.worker === worker) idle = undefined;
  };
  worker.on("error", end).on("exit", take);
  worker.unref();
  idle = { worker, take };
}
