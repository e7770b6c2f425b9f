import { type Remote, wrap } from "comlink";
import type { WorkerApi } from "./worker.ts";

/** The worker of the room, and its functions from here. @param onFailure is given what stopped it */
export function startWorker(onFailure: (reason: string) => void): Remote<WorkerApi> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "detection" });
  worker.addEventListener("error", (event) => onFailure(event.message || "the worker did not start"));
  return wrap<WorkerApi>(worker);
}
