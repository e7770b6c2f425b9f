import type { Row } from "../data/sources/memory.ts";

// What the calls of a client take, and what they return.

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, which then throws the reason of the signal. */
  readonly signal?: AbortSignal;
  /** Milliseconds after which the call is given up, here and at the server, further tries included. Default: as the server is set. */
  readonly timeout?: number;
  /** In place of the client's own. */
  readonly retries?: number;
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

/** Pictures as numbers 0 … 255 (of binary ones 0 and 1), row-major: [n, channels, height, width]. */
export interface Pictures {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface RepeatedCall extends CallOptions {
  /** Results for each picture or row; default: 1. */
  readonly draws?: number;
  readonly seed?: number;
  readonly label?: number;
  /** Steps of a model that iterates. */
  readonly steps?: number;
}

/** What is unknown is told by one of `half` and `unknown`. */
export interface InpaintCall extends RepeatedCall {
  readonly half?: "top" | "bottom" | "left" | "right";
  /** 1 where pictures are drawn anew, otherwise 0: [height, width], or [n, height, width]. Not with the bytes of an image. */
  readonly unknown?: Pictures;
}

export interface EditCall extends RepeatedCall {
  /** How much noise is added, to 1: nothing but noise; default: 0.5. */
  readonly strength?: number;
}

export interface InterpolateCall extends CallOptions {
  /** Pictures or rows along each path, its ends among them; default: 8. */
  readonly steps?: number;
  readonly label?: number;
}

export interface ScoreCall extends CallOptions {
  readonly seed?: number;
  /** Of so many rows of a table, the oddest ones, the cells that make them odd are told. */
  readonly why?: number;
}

export interface SampleCall extends CallOptions {
  readonly count?: number;
  readonly seed?: number;
  readonly label?: number;
  readonly given?: Readonly<Record<string, string | number>>;
  /** So many states at most of samples as they form: of pictures [states, count, channels, height, width], of rows one state after the other. Not of one picture of all. */
  readonly states?: number;
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
