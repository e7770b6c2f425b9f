import { type Remote, wrap } from "comlink";
import type { WorkerApi } from "./worker.ts";

/** A worker of the playground, and its functions from here. */
export function startWorker(name: string): { readonly worker: Worker; readonly api: Remote<WorkerApi> } {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name });
  return { worker, api: wrap<WorkerApi>(worker) };
}
