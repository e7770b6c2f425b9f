import { EidosError } from "../../errors.ts";
import { resumeFit, startFit } from "../../tasks/fit/fit.node.ts";
import type { UncheckedRequest } from "../../tasks/fit/request.ts";
import type { FitProgress } from "../../train/fit-request.node.ts";

// The process of one fit that the studio's page has begun: whatever becomes of it, the studio goes on.

/** What the process is told. */
export type ToFit =
  | { readonly kind: "begin"; readonly request: UncheckedRequest }
  | { readonly kind: "resume"; readonly folder: string }
  | { readonly kind: "stop" };

/** What it tells. */
export type FromFit =
  | { readonly kind: "progress"; readonly progress: FitProgress }
  | { readonly kind: "warning"; readonly text: string }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: string };

const stop = new AbortController();

const tell = (message: FromFit): void => {
  if (process.connected) process.send?.(message, () => undefined);
};

async function fit(task: Exclude<ToFit, { kind: "stop" }>): Promise<void> {
  const hooks = {
    signal: stop.signal,
    onProgress: (progress: FitProgress) => tell({ kind: "progress", progress }),
    onWarning: (text: string) => tell({ kind: "warning", text }),
  };
  try {
    await (task.kind === "begin" ? startFit(task.request, hooks, false) : resumeFit(task.folder, {}, hooks));
    tell({ kind: "done" });
  } catch (error) {
    // What is none of eidos's own errors is for its developers.
    if (!(error instanceof EidosError)) console.error(error);
    tell({ kind: "failed", error: error instanceof Error ? error.message : String(error) });
  }
  process.disconnect?.();
}

process.on("message", (message: ToFit) => {
  if (message.kind === "stop") stop.abort();
  else void fit(message);
});
// A studio that has ended leaves a run that can be resumed.
process.on("disconnect", () => stop.abort());
// Ctrl-C in the terminal reaches every process of it; the studio stops this one.
process.on("SIGINT", () => undefined);
