import type { AbilityOf, ModelName } from "../catalog.ts";
import type { Row } from "../data/sources/memory.ts";
import { BusyError, DeadlineError, RefusedError, ServiceError, UnreachableError } from "../errors.ts";
import { checkNames, type NamesOf } from "../options.ts";
import type { FoundIn, OddRow, ServedModel } from "./abilities.ts";
import type {
  CallOptions,
  DetectCall,
  EditCall,
  EmbedCall,
  ImageBytes,
  ImputeCall,
  InpaintCall,
  InterpolateCall,
  Made,
  Numbers,
  Pictures,
  SampleCall,
  Samples,
  ScoreCall,
} from "./calls.ts";

// A client of `eidos serve` for programs and pages: it needs nothing but fetch, and no part of the training code.

export {
  BusyError,
  DeadlineError,
  OptionError,
  RefusedError,
  ServiceError,
  UnreachableError,
} from "../errors.ts";
export type { FoundIn, OddRow } from "./abilities.ts";
export type {
  CallOptions,
  DetectCall,
  EditCall,
  EmbedCall,
  ImageBytes,
  ImputeCall,
  InpaintCall,
  InterpolateCall,
  Made,
  Numbers,
  Pictures,
  SampleCall,
  Samples,
  ScoreCall,
} from "./calls.ts";

/** What a server says of a model. */
export type ModelDescription = Omit<ServedModel, "merged">;

/** How a client reaches its server. */
export interface ClientOptions {
  /** What the server wants to be sent as its token. */
  readonly token?: string;
  /** Default: the fetch of this platform. */
  readonly fetch?: typeof fetch;
  /**
   * How often a request is sent again that the server has no time for (503), each time after the seconds that it says in Retry-After, or one.
   * Default: 0. Nothing that is asked changes the server, so that asking twice does no harm.
   */
  readonly retries?: number;
}

/**
 * A model of a server. Each method throws a ServiceError with the status and the server's own words: RefusedError where the request is wrong (4xx),
 * BusyError where the server has no time (503), DeadlineError where the time is up. An UnreachableError says that no server answers, an OptionError
 * that there is no option of a name.
 */
export interface RemoteModel {
  readonly name: string;
  /** What it is: abilities, columns, classes, version. */
  describe(options?: CallOptions): Promise<ModelDescription>;
  detect(image: ImageBytes, options?: DetectCall): Promise<Made & FoundIn>;
  /** The image with what is found in it, as a JPEG. */
  detectPicture(image: ImageBytes, options?: DetectCall): Promise<Blob>;
  /** Nats a sample; null where a likelihood is 0 or too small for float32. */
  score(
    samples: readonly Row[] | ImageBytes,
    options?: ScoreCall,
  ): Promise<
    Made & {
      readonly logLikelihood: readonly (number | null)[];
      /** The oddest first; null nats where a cell is impossible. */
      readonly why?: readonly OddRow[];
    }
  >;
  sample(options?: SampleCall): Promise<Samples>;
  /** Samples of a model of pictures as one PNG. */
  samplePicture(options?: Omit<SampleCall, "states">): Promise<Blob>;
  impute(rows: readonly Row[], options?: ImputeCall): Promise<Made & { readonly rows: readonly Row[] }>;
  embed(
    samples: readonly Row[] | ImageBytes,
    options?: EmbedCall,
  ): Promise<Made & { readonly features: Numbers }>;
  /** Draws the unknown part of pictures: [n, draws, channels, height, width]. */
  inpaint(
    pictures: Pictures | ImageBytes,
    options: InpaintCall,
  ): Promise<Made & { readonly samples: Numbers }>;
  /** Changes pictures by noise: [n, draws, channels, height, width]. */
  edit(pictures: Pictures | ImageBytes, options?: EditCall): Promise<Made & { readonly samples: Numbers }>;
  /** Changes rows by noise: the draws of each, one after the other. */
  edit(rows: readonly Row[], options?: EditCall): Promise<Made & { readonly rows: readonly Row[] }>;
  /** Pictures along the paths between pairs: [pairs, steps, channels, height, width]. */
  interpolate(pairs: Pictures, options?: InterpolateCall): Promise<Made & { readonly samples: Numbers }>;
  /** Rows along the paths between pairs of rows, path after path. */
  interpolate(
    pairs: readonly Row[],
    options?: InterpolateCall,
  ): Promise<Made & { readonly rows: readonly Row[] }>;
}

/** The methods that each ability of the catalogue has. */
interface MethodsOf {
  readonly detect: "detect" | "detectPicture";
  readonly score: "score";
  readonly sample: "sample" | "samplePicture";
  readonly inpaint: "impute" | "inpaint";
  readonly edit: "edit";
  readonly encode: "interpolate";
  readonly embed: "embed";
}

/** A model of a server with the methods of what it can do, where its name in the catalogue is given. */
export type RemoteModelOf<N extends ModelName> = Pick<
  RemoteModel,
  "name" | "describe" | MethodsOf[AbilityOf<N> & keyof MethodsOf]
>;

/** A server. */
export interface Client {
  /** The models that it serves. */
  models(options?: CallOptions): Promise<readonly ModelDescription[]>;
  /** Whether it can answer. */
  isReady(options?: CallOptions): Promise<boolean>;
  /**
   * One of its models by the name that it is served under.
   *
   *     const cells = client.model<"yolo">("yolo-cells");       // has detect, and no sample
   */
  model<N extends ModelName>(name: string): RemoteModelOf<N>;
  model(name: string): RemoteModel;
}

const CLIENT: NamesOf<ClientOptions> = { token: true, fetch: true, retries: true };

const called: NamesOf<CallOptions> = { signal: true, timeout: true, retries: true };

const detecting: NamesOf<DetectCall> = { ...called, confidence: true, iou: true, maximum: true };

const samplePicture: NamesOf<Omit<SampleCall, "states">> = {
  ...called,
  count: true,
  seed: true,
  label: true,
  given: true,
  options: true,
};

const repeated = { ...called, draws: true, seed: true, label: true } satisfies NamesOf<ImputeCall>;

/** Names of the options of each call. */
const NAMES = {
  models: called,
  isReady: called,
  describe: called,
  detect: detecting,
  detectPicture: detecting,
  score: { ...called, seed: true, why: true } satisfies NamesOf<ScoreCall>,
  sample: { ...samplePicture, states: true } satisfies NamesOf<SampleCall>,
  samplePicture,
  impute: repeated,
  embed: { ...called, layer: true, pool: true, seed: true } satisfies NamesOf<EmbedCall>,
  inpaint: { ...repeated, steps: true, half: true, unknown: true } satisfies NamesOf<InpaintCall>,
  edit: { ...repeated, steps: true, strength: true } satisfies NamesOf<EditCall>,
  interpolate: { ...called, steps: true, label: true } satisfies NamesOf<InterpolateCall>,
};

/** Options of what is asked, without those of every call. @throws OptionError for names that are not known */
function ownOf<O extends CallOptions>(call: keyof typeof NAMES, options: O) {
  checkNames(call, options, NAMES[call]);
  const { signal: _, timeout: __, retries: ___, ...own } = options;
  return own;
}

const isNumbers = (pictures: Pictures | ImageBytes): pictures is Pictures => "shape" in pictures;

const isRows = (samples: readonly Row[] | Pictures | ImageBytes): samples is readonly Row[] =>
  Array.isArray(samples);

const isImage = (samples: readonly Row[] | ImageBytes): samples is ImageBytes => !Array.isArray(samples);

/** The seconds of a Retry-After header, where it has some. */
function secondsOf(header: string | null): { readonly retryAfter?: number } {
  const seconds = Number(header ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? { retryAfter: seconds } : {};
}

/** What the server says is wrong. */
async function refusal(response: Response): Promise<ServiceError> {
  const text = await response.text();
  let message = text.slice(0, 1000);
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "error" in body) message = String(body.error);
  } catch {
    // Something between client and server has answered.
  }
  const { status, statusText, headers } = response;
  const options = { status, ...secondsOf(headers.get("retry-after")) };
  const Kind =
    status === 503
      ? BusyError
      : status === 504
        ? DeadlineError
        : status >= 400 && status < 500
          ? RefusedError
          : ServiceError;
  return new Kind(message === "" ? statusText || `status ${status}` : message, options);
}

/** The body of an answer. @throws ServiceError where it is no JSON: something between client and server has answered */
async function parsed<T>(response: Response): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServiceError("the answer is no JSON; is that the address of eidos serve?", {
      status: response.status,
      cause,
    });
  }
}

/** A request, and how its answer is read. */
interface Request<T> {
  readonly path: string;
  readonly body?: { readonly content: BodyInit; readonly type: string };
  readonly accept: string;
  readonly read: (response: Response) => Promise<T>;
}

const JSON_TYPE = "application/json";

const picture = (response: Response): Promise<Blob> => response.blob();

function unreachable(base: string, cause: unknown): UnreachableError {
  const why = cause instanceof Error ? cause : new Error(String(cause));
  // Node has the reason of a failed fetch one level deeper.
  const inner = why.cause instanceof Error ? why.cause : why;
  const code = "code" in inner ? ` (${String(inner.code)})` : "";
  return new UnreachableError(`no answer from ${base}: ${inner.message || why.message}${code}`, { cause });
}

/** Seconds before a busy server is asked again that does not say how long it is busy. */
const AGAIN = 1;

/** Waits, but no longer than until a signal. @throws the reason of the signal */
function wait(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, 1000 * seconds);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Does something that may take so many milliseconds, and ends where the caller's signal does.
 * @param timeout none where undefined
 * @throws DeadlineError where the time is up; the reason of the signal
 */
async function within<T>(
  timeout: number | undefined,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(outer?.reason);
  if (outer?.aborted) onAbort();
  else outer?.addEventListener("abort", onAbort, { once: true });
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(
          () =>
            controller.abort(new DeadlineError(`no answer within ${timeout} milliseconds`, { status: 504 })),
          timeout,
        );
  try {
    return await work(controller.signal);
  } catch (error) {
    // Whatever the end of the signal has broken: it is the cause.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", onAbort);
  }
}

/**
 * A client of the server at an address.
 *
 *     const client = connect("http://localhost:8000", { token });
 *     const { objects } = await client.model<"yolo">("yolo-cells").detect(file, { confidence: 0.5 });
 */
export function connect(address: string | URL, options: ClientOptions = {}): Client {
  checkNames("connect", options, CLIENT);
  const { token, fetch: call = fetch, retries: usual = 0 } = options;
  const base = String(address).replace(/\/+$/, "");

  /** One request, and all of its answer. */
  const once = async <T>(
    { path, body, accept, read }: Request<T>,
    signal: AbortSignal,
    left: number | undefined,
  ): Promise<T> => {
    let response: Response;
    try {
      response = await call(`${base}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          accept,
          ...(body !== undefined && { "content-type": body.type }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(left !== undefined && { "x-timeout-ms": String(Math.max(1, Math.ceil(left))) }),
        },
        ...(body !== undefined && { body: body.content }),
        signal,
      });
    } catch (cause) {
      throw unreachable(base, cause);
    }
    if (!response.ok) throw await refusal(response).catch((cause) => unreachable(base, cause));
    try {
      return await read(response);
    } catch (cause) {
      throw cause instanceof ServiceError ? cause : unreachable(base, cause);
    }
  };

  const send = <T>(request: Request<T>, { signal, timeout, retries = usual }: CallOptions): Promise<T> => {
    const end = timeout === undefined ? undefined : Date.now() + timeout;
    return within(timeout, signal, async (inner) => {
      for (let tries = 0; ; tries++) {
        try {
          return await once(request, inner, end === undefined ? undefined : end - Date.now());
        } catch (error) {
          if (!(error instanceof BusyError) || tries >= retries) throw error;
          await wait(error.retryAfter ?? AGAIN, inner);
        }
      }
    });
  };

  const json = (value: unknown) => ({ content: JSON.stringify(value), type: JSON_TYPE });

  /** The type is found out by the server. */
  const image = (bytes: ImageBytes) => ({ content: bytes as BodyInit, type: "application/octet-stream" });

  const query = (model: string, options: Readonly<Record<string, unknown>>): string => {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    return `?${new URLSearchParams([["model", model], ...given.map(([name, value]) => [name, String(value)])])}`;
  };

  const get = <T>(path: string, options: CallOptions): Promise<T> =>
    send({ path, accept: JSON_TYPE, read: (response) => parsed<T>(response) }, options);

  const post = <T>(path: string, body: Request<T>["body"], options: CallOptions): Promise<T> =>
    send(
      { path, ...(body && { body }), accept: JSON_TYPE, read: (response) => parsed<T>(response) },
      options,
    );

  const listed = (options: CallOptions): Promise<readonly ModelDescription[]> => get("/models", options);

  /** Samples go as they are, with their options beside them. */
  const withSamples = <T>(
    path: string,
    name: string,
    samples: readonly Row[] | ImageBytes,
    own: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<T> =>
    isImage(samples)
      ? post(`${path}${query(name, own)}`, image(samples), options)
      : post(`${path}${query(name, {})}`, json({ ...own, rows: samples }), options);

  const withPictures = <T>(
    path: string,
    name: string,
    pictures: Pictures | ImageBytes,
    own: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<T> =>
    isNumbers(pictures)
      ? post(`${path}${query(name, {})}`, json({ ...own, samples: pictures }), options)
      : post(`${path}${query(name, own)}`, image(pictures), options);

  const withEither = <T>(
    path: string,
    name: string,
    samples: readonly Row[] | Pictures | ImageBytes,
    own: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<T> =>
    isRows(samples)
      ? withSamples(path, name, samples, own, options)
      : withPictures(path, name, samples, own, options);

  const model = (name: string): RemoteModel => ({
    name,
    async describe(options = {}) {
      ownOf("describe", options);
      const found = (await listed(options)).find((one) => one.name === name);
      if (found === undefined) throw new RefusedError(`the server has no model ${name}`, { status: 404 });
      return found;
    },
    async detect(bytes, options = {}) {
      return post(`/detect${query(name, ownOf("detect", options))}`, image(bytes), options);
    },
    async detectPicture(bytes, options = {}) {
      const path = `/detect${query(name, ownOf("detectPicture", options))}`;
      return send({ path, body: image(bytes), accept: "image/jpeg", read: picture }, options);
    },
    score: async (samples, options = {}) =>
      withSamples("/score", name, samples, ownOf("score", options), options),
    async sample(options = {}) {
      const { options: own, ...asked } = ownOf("sample", options);
      return post(`/sample${query(name, {})}`, json({ ...own, ...asked }), options);
    },
    async samplePicture(options = {}) {
      const { options: own, ...asked } = ownOf("samplePicture", options);
      const path = `/sample${query(name, {})}`;
      const body = json({ ...own, ...asked });
      return send({ path, body, accept: "image/png", read: picture }, options);
    },
    impute: async (rows, options = {}) =>
      post(`/impute${query(name, {})}`, json({ ...ownOf("impute", options), rows }), options),
    embed: async (samples, options = {}) =>
      withSamples("/embed", name, samples, ownOf("embed", options), options),
    inpaint: async (pictures, options) =>
      withPictures("/inpaint", name, pictures, ownOf("inpaint", options), options),
    edit: async <T>(samples: readonly Row[] | Pictures | ImageBytes, options: EditCall = {}): Promise<T> =>
      withEither("/edit", name, samples, ownOf("edit", options), options),
    interpolate: async <T>(pairs: readonly Row[] | Pictures, options: InterpolateCall = {}): Promise<T> =>
      withEither("/interpolate", name, pairs, ownOf("interpolate", options), options),
  });

  return {
    async models(options = {}) {
      ownOf("models", options);
      return listed(options);
    },
    async isReady(options = {}) {
      ownOf("isReady", options);
      try {
        await get("/v2/health/ready", { retries: 0, ...options });
        return true;
      } catch (error) {
        if (error instanceof BusyError) return false;
        throw error;
      }
    },
    model,
  };
}
