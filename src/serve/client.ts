import type { AbilityOf, ModelName } from "../catalog.ts";
import type { Row } from "../data/sources/memory.ts";
import { ServiceError } from "../errors.ts";
import type { FoundIn, ServedModel } from "./abilities.ts";

// A client of `eidos serve` for programs and pages: it needs nothing but fetch, and no part of the training code.

export { ServiceError } from "../errors.ts";
export type { FoundIn, ServedModel } from "./abilities.ts";

/** How a client reaches its server. */
export interface ClientOptions {
  /** What the server wants to be sent as its token. */
  readonly token?: string;
  /** Default: the fetch of this platform. */
  readonly fetch?: typeof fetch;
}

/** What every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds after which the server is to give up. Default: as the server is set. */
  readonly timeout?: number;
}

/** The bytes of an image file. */
export type ImageBytes = Blob | ArrayBuffer | Uint8Array;

/** An array of numbers, row-major; null where one is not finite. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly (number | null)[];
}

/** Which step of training the weights were of that made an answer, where their file records it. */
export interface Made {
  readonly model: string;
  readonly version?: string;
  /** Columns that were sent and that the model does not know. */
  readonly ignoredColumns?: readonly string[];
}

export interface DetectCall extends CallOptions {
  readonly confidence?: number;
  readonly iou?: number;
  readonly maximum?: number;
}

export interface SampleCall extends CallOptions {
  readonly count?: number;
  readonly seed?: number;
  readonly label?: number;
  readonly given?: Readonly<Record<string, string | number>>;
  /** Options of the model's own sampler: steps, solver, temperature. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface ImputeCall extends CallOptions {
  readonly draws?: number;
  readonly seed?: number;
  readonly label?: number;
}

export interface EmbedCall extends CallOptions {
  readonly layer?: string;
  readonly pool?: "none" | "mean";
  readonly seed?: number;
}

/** Samples: rows of a table or of points, or pictures as numbers 0 … 255. */
export type Samples = Made &
  (
    | { readonly rows: readonly Row[]; readonly samples?: undefined }
    | { readonly samples: Numbers; readonly rows?: undefined }
  );

/** A model of a server. Each method throws a ServiceError with the status and the server's own words where it is refused. */
export interface RemoteModel {
  readonly name: string;
  /** What it is: abilities, columns, classes, version. */
  describe(options?: CallOptions): Promise<ServedModel>;
  detect(image: ImageBytes, options?: DetectCall): Promise<Made & FoundIn>;
  /** The image with what is found in it, as a JPEG. */
  detectPicture(image: ImageBytes, options?: DetectCall): Promise<Blob>;
  /** Nats a sample; null where a likelihood is 0 or too small for float32. */
  score(
    samples: readonly Row[] | ImageBytes,
    options?: CallOptions & { readonly seed?: number },
  ): Promise<Made & { readonly logLikelihood: readonly (number | null)[] }>;
  sample(options?: SampleCall): Promise<Samples>;
  /** Samples of a model of pictures as one PNG. */
  samplePicture(options?: SampleCall): Promise<Blob>;
  impute(rows: readonly Row[], options?: ImputeCall): Promise<Made & { readonly rows: readonly Row[] }>;
  embed(
    samples: readonly Row[] | ImageBytes,
    options?: EmbedCall,
  ): Promise<Made & { readonly features: Numbers }>;
}

/** The methods that each ability of the catalogue has. */
interface MethodsOf {
  readonly detect: "detect" | "detectPicture";
  readonly score: "score";
  readonly sample: "sample" | "samplePicture";
  readonly inpaint: "impute";
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
  models(options?: CallOptions): Promise<readonly ServedModel[]>;
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

const isImage = (samples: readonly Row[] | ImageBytes): samples is ImageBytes => !Array.isArray(samples);

/** The seconds of a Retry-After header, where it has some. */
function secondsOf(header: string | null): { readonly retryAfter?: number } {
  const seconds = Number(header ?? Number.NaN);
  return Number.isFinite(seconds) ? { retryAfter: seconds } : {};
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
  return new ServiceError(message === "" ? response.statusText : message, {
    status: response.status,
    ...secondsOf(response.headers.get("retry-after")),
  });
}

/**
 * A client of the server at an address.
 *
 *     const client = connect("http://localhost:8000", { token });
 *     const { objects } = await client.model<"yolo">("yolo-cells").detect(file, { confidence: 0.5 });
 */
export function connect(address: string | URL, { token, fetch: call = fetch }: ClientOptions = {}): Client {
  const base = String(address).replace(/\/+$/, "");

  const send = async (
    path: string,
    { signal, timeout }: CallOptions,
    body?: { readonly content: BodyInit; readonly type: string },
    accept = "application/json",
  ): Promise<Response> => {
    const response = await call(`${base}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        accept,
        ...(body !== undefined && { "content-type": body.type }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(timeout !== undefined && { "x-timeout-ms": String(timeout) }),
      },
      ...(body !== undefined && { body: body.content }),
      ...(signal !== undefined && { signal }),
    });
    if (response.ok) return response;
    throw await refusal(response);
  };

  const json = (value: unknown) => ({ content: JSON.stringify(value), type: "application/json" });

  /** The type is found out by the server. */
  const image = (bytes: ImageBytes) => ({ content: bytes as BodyInit, type: "application/octet-stream" });

  const query = (model: string, options: Readonly<Record<string, unknown>>): string => {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    return `?${new URLSearchParams([["model", model], ...given.map(([name, value]) => [name, String(value)])])}`;
  };

  const models = async (options: CallOptions = {}): Promise<readonly ServedModel[]> =>
    (await send("/models", options)).json();

  /** Samples go as they are, with their options beside them. */
  const withSamples = async <T>(
    path: string,
    name: string,
    samples: readonly Row[] | ImageBytes,
    own: Readonly<Record<string, unknown>>,
    options: CallOptions,
  ): Promise<T> => {
    const sent = isImage(samples)
      ? await send(`${path}${query(name, own)}`, options, image(samples))
      : await send(`${path}${query(name, {})}`, options, json({ ...own, rows: samples }));
    return sent.json();
  };

  const detection = (bytes: ImageBytes, name: string, options: DetectCall, accept: string) => {
    const { signal: _, timeout: __, ...own } = options;
    return send(`/detect${query(name, own)}`, options, image(bytes), accept);
  };

  const sampling = (name: string, { signal, timeout, options = {}, ...own }: SampleCall, accept: string) =>
    send(
      `/sample${query(name, {})}`,
      { ...(signal !== undefined && { signal }), ...(timeout !== undefined && { timeout }) },
      json({ ...options, ...own }),
      accept,
    );

  const model = (name: string): RemoteModel => ({
    name,
    async describe(options) {
      const found = (await models(options)).find((one) => one.name === name);
      if (found === undefined) throw new ServiceError(`the server has no model ${name}`, { status: 404 });
      return found;
    },
    async detect(bytes, options = {}) {
      return (await detection(bytes, name, options, "application/json")).json();
    },
    async detectPicture(bytes, options = {}) {
      return (await detection(bytes, name, options, "image/jpeg")).blob();
    },
    score: (samples, { seed, ...options } = {}) => withSamples("/score", name, samples, { seed }, options),
    async sample(options = {}) {
      return (await sampling(name, options, "application/json")).json();
    },
    async samplePicture(options = {}) {
      return (await sampling(name, options, "image/png")).blob();
    },
    async impute(rows, { draws, seed, label, ...options } = {}) {
      return (await send(`/impute${query(name, {})}`, options, json({ rows, draws, seed, label }))).json();
    },
    embed: (samples, { layer, pool, seed, ...options } = {}) =>
      withSamples("/embed", name, samples, { layer, pool, seed }, options),
  });

  return {
    models,
    async isReady(options = {}) {
      try {
        return (await send("/v2/health/ready", options)).ok;
      } catch (error) {
        if (error instanceof ServiceError && error.status === 503) return false;
        throw error;
      }
    },
    model,
  };
}
