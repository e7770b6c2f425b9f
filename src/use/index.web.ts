import { DataError, OptionError, RuntimeError } from "../errors.ts";
import type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";
import type { Watch, Work } from "./engine.ts";
import { abortable, type Executor, modelOf } from "./model.ts";
import { type LoadRequest, type Reply, type Request, receivedError } from "./protocol.ts";
import { checkLoading } from "./source.ts";
import type { ImageInput, LoadOptions, Model, ModelSource } from "./types.ts";

// Exported models in a page. In Node, `eidos/use` is index.node.ts.

export {
  AbilityError,
  DataError,
  DownloadError,
  EidosError,
  FileError,
  InverseError,
  MissingPackageError,
  OptionError,
  RuntimeError,
} from "../errors.ts";
export { pixelsOf } from "./pixels.ts";
export type * from "./types.ts";

/** What waits for replies of a worker. */
interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (reason: unknown) => void;
  readonly onStep: Watch["onStep"];
}

/** A worker with one model. */
class ModelWorker {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  /** Why there is no worker any more. */
  private ended: Error | undefined;

  constructor(worker: Worker) {
    this.worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.end(
        new RuntimeError(
          `the worker of the model ended (${event.message || "its script does not load; name it by the option worker, or take worker: false"})`,
        ),
      );
    });
  }

  private receive(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    if (waiting === undefined) return;
    if (reply.kind === "step") {
      waiting.onStep?.(reply.step);
      return;
    }
    this.waiting.delete(reply.id);
    if (reply.kind === "failed") waiting.reject(receivedError(reply.error));
    else waiting.resolve(reply);
  }

  /** Asks the worker. Where the signal ends, the worker gives up as soon as it can; whoever waits is told by `abortable`. */
  ask(
    request:
      | { readonly kind: "load"; readonly request: LoadRequest }
      | { readonly kind: "do"; readonly work: Work },
    { signal, onStep }: Watch,
    transfer: readonly Transferable[] = [],
  ): Promise<Reply> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.next++;
    const onAbort = (): void => this.worker.postMessage({ kind: "abort", id } satisfies Request);
    signal?.addEventListener("abort", onAbort, { once: true });
    const replied = new Promise<Reply>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onStep });
      const message = { ...request, id, inSteps: onStep !== undefined } as Request;
      this.worker.postMessage(message, [...transfer]);
    });
    return replied.finally(() => signal?.removeEventListener("abort", onAbort));
  }

  /** Ends the worker; whoever waits is told why. */
  end(reason: Error): void {
    this.ended = reason;
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(reason);
    this.waiting.clear();
  }
}

/** What stands in a page, and cannot be sent: it becomes a bitmap, which can. */
function mustBeDrawn(image: ImageInput): boolean {
  const kinds = ["HTMLCanvasElement", "OffscreenCanvas", "HTMLImageElement", "HTMLVideoElement"] as const;
  return kinds.some((kind) => {
    const Kind: unknown = (globalThis as Readonly<Record<string, unknown>>)[kind];
    return typeof Kind === "function" && image instanceof Kind;
  });
}

/** An image as it can be sent, and what is moved with it. */
async function sendable(
  image: ImageInput,
): Promise<{ readonly image: ImageInput; readonly transfer: readonly Transferable[] }> {
  if (typeof image === "string" || image instanceof URL) {
    return { image: new URL(image, location.href).href, transfer: [] };
  }
  if (!mustBeDrawn(image)) return { image, transfer: [] };
  try {
    const bitmap = await createImageBitmap(image as ImageBitmapSource, { premultiplyAlpha: "none" });
    return { image: bitmap, transfer: [bitmap] };
  } catch (cause) {
    throw new DataError(
      `the image cannot be drawn (${cause instanceof Error ? cause.message : String(cause)}); wait until it is loaded`,
      { cause },
    );
  }
}

/** Work as it can be sent. */
async function sendableWork(
  work: Work,
): Promise<{ readonly work: Work; readonly transfer: readonly Transferable[] }> {
  if (work.kind === "sample" || work.kind === "impute") return { work, transfer: [] };
  if (work.kind !== "detect" && work.samples.rows !== undefined) return { work, transfer: [] };
  const given =
    work.kind === "detect"
      ? work.images
      : (work.samples as { readonly images: readonly ImageInput[] }).images;
  const sent = await Promise.all(given.map(sendable));
  const images = sent.map(({ image }) => image);
  const transfer = sent.flatMap((one) => one.transfer);
  return { work: work.kind === "detect" ? { ...work, images } : { ...work, samples: { images } }, transfer };
}

function newWorker(given: string | URL | undefined): Worker {
  const options = { type: "module", name: "eidos" } as const;
  // Bundlers look for exactly this form.
  return given === undefined
    ? new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "eidos" })
    : new Worker(given, options);
}

async function inWorker(
  request: LoadRequest,
  given: string | URL | undefined,
  signal: AbortSignal | undefined,
): Promise<Executor> {
  const worker = new ModelWorker(newWorker(given));
  let provider = "";
  const noteOf = (reply: Reply): void => {
    if (reply.kind === "done" || reply.kind === "loaded") provider = reply.provider;
  };
  const stop = (): void => worker.end(new OptionError("loading was given up"));
  signal?.addEventListener("abort", stop, { once: true });
  let record: ExportedModel;
  try {
    const reply = await worker.ask({ kind: "load", request }, {});
    if (reply.kind !== "loaded") throw new RuntimeError("the worker of the model answers something else");
    noteOf(reply);
    record = reply.record;
  } catch (error) {
    worker.end(new OptionError("loading failed"));
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  return {
    record,
    inWorker: true,
    get provider() {
      return provider;
    },
    async do(asked, watch) {
      const { work, transfer } = await sendableWork(asked);
      const reply = await worker.ask({ kind: "do", work }, watch, transfer);
      noteOf(reply);
      return reply.kind === "done" ? reply.result : undefined;
    },
    async release() {
      worker.end(new OptionError(`the model ${record.model} has been released`));
    },
  };
}

async function inPage(request: LoadRequest, signal: AbortSignal | undefined): Promise<Executor> {
  const { loadHere } = await import("./here.web.ts");
  const engine = await loadHere(request, signal);
  return {
    record: engine.record,
    inWorker: false,
    get provider() {
      return engine.provider;
    },
    do: (work, watch) => engine.do(work, watch),
    release: () => engine.release(),
  };
}

/**
 * Loads a model that `eidos export` has written: the address of its folder, or its files in memory. It computes in a worker, beside the page.
 *
 *     const model = await load("models/cells", { needs: "detect" });
 *     const { objects } = await model.detect(video);
 *
 * @throws AbilityError where the model lacks what is needed, with the reason; DataError where model.json or a file is not what it should be;
 * DownloadError, OptionError, RuntimeError, MissingPackageError
 */
export async function load<A extends ExportedAbilityName = never>(
  source: ModelSource,
  options: LoadOptions<A> = {},
): Promise<Model<A>> {
  checkLoading(options);
  const { signal, needs, provider, threads, worker = true, wasmPaths, wasmBinary } = options;
  signal?.throwIfAborted();
  const isAddress = typeof source === "string" || source instanceof URL;
  const request: LoadRequest = {
    source: isAddress ? new URL(source, location.href).href : source,
    needs,
    provider,
    threads,
    wasmPaths: wasmPaths === undefined ? undefined : new URL(wasmPaths, location.href).href,
    wasmBinary,
  };
  const opened =
    worker === false
      ? inPage(request, signal)
      : inWorker(request, worker === true ? undefined : worker, signal);
  // A model that came too late is not kept.
  opened.then(
    (executor) => (signal?.aborted ? executor.release() : undefined),
    () => undefined,
  );
  return modelOf<A>(await abortable(opened, signal));
}
