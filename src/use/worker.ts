import { OptionError } from "../errors.ts";
import type { Engine } from "./engine.ts";
import { loadHere } from "./here.web.ts";
import { type Reply, type Request, sentError } from "./protocol.ts";

// The worker of a page: one model, which computes beside the page. Bundlers that do not follow `new Worker(new URL(…))` are given this file as an
// entry of its own, which the option `worker` of `load` then names.

const scope = globalThis as unknown as {
  postMessage(message: Reply, transfer?: readonly Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Request>) => void): void;
};

let engine: Engine | undefined;
const running = new Map<number, AbortController>();

/** Memory of arrays in a result, which moves to the page. */
function buffersOf(value: unknown): readonly ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : [];
  if (typeof value !== "object" || value === null) return [];
  const { samples, features } = value as Readonly<Record<string, { readonly data?: unknown } | undefined>>;
  return [...buffersOf(samples?.data), ...buffersOf(features?.data)];
}

async function answer(request: Exclude<Request, { kind: "abort" }>, signal: AbortSignal): Promise<Reply> {
  const { id } = request;
  if (request.kind === "load") {
    engine = await loadHere(request.request, signal);
    return { kind: "loaded", id, record: engine.record, provider: engine.provider };
  }
  if (engine === undefined) throw new OptionError("the worker has loaded no model");
  const onStep = request.inSteps
    ? (step: Extract<Reply, { kind: "step" }>["step"]) => scope.postMessage({ kind: "step", id, step })
    : undefined;
  const result = await engine.do(request.work, { signal, onStep });
  return { kind: "done", id, result, provider: engine.provider };
}

scope.addEventListener("message", async ({ data: request }) => {
  const { id } = request;
  if (request.kind === "abort") {
    running.get(id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const reply = await answer(request, controller.signal);
    scope.postMessage(reply, reply.kind === "done" ? buffersOf(reply.result) : []);
  } catch (error) {
    scope.postMessage({ kind: "failed", id, error: sentError(error) });
  } finally {
    running.delete(id);
  }
});
