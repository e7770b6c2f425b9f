import type { Row } from "../data/sources/memory.ts";
import type { Detection } from "../detection/boxes/detections.ts";
import type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";

// What callers give to an exported model and get from it, in Node and in pages. Names are those of the server and its client.

export type { Row } from "../data/sources/memory.ts";
export type { Detection } from "../detection/boxes/detections.ts";
export type { ExportedAbilityName, ExportedModel } from "../model/exported.ts";

/** What the platform has under a name; nothing where it has no such thing. */
type Global<N extends string> =
  typeof globalThis extends Readonly<Record<N, { prototype: infer T }>> ? T : never;

/** What a page can draw, where there are pages. */
export type PageImage =
  | Global<"ImageBitmap">
  | Global<"HTMLCanvasElement">
  | Global<"OffscreenCanvas">
  | Global<"HTMLImageElement">
  | Global<"HTMLVideoElement">
  | Global<"VideoFrame">;

/** Pixels as a canvas has them (`ImageData` is one): red, green, blue and alpha, 0 … 255, pixel after pixel, line after line. */
export interface PixelImage {
  readonly width: number;
  readonly height: number;
  /** `width` × `height` × 4 numbers. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

/**
 * An image: pixels, the bytes of an image file (PNG, JPEG, …), what a page can draw, or where a file lies: a URL, or a text, which is a path
 * in Node and an address in a page.
 */
export type ImageInput = PixelImage | Uint8Array | ArrayBuffer | Blob | URL | string | PageImage;

/** An array of numbers, row-major. */
export interface Numbers<D extends ArrayLike<number> = Float32Array> {
  readonly shape: readonly number[];
  readonly data: D;
}

/** What was found in an image. */
export interface FoundIn {
  readonly width: number;
  readonly height: number;
  /** From the best down, in pixels of the upright image. */
  readonly objects: readonly (Detection & { readonly label: string })[];
  /** Whether more was found than the maximum. */
  readonly cut: boolean;
}

/** Log-likelihoods. */
export interface Scored {
  /** Nats a sample; null where a likelihood is 0 or too small. */
  readonly logLikelihood: readonly (number | null)[];
  /** Columns that were given and that the model does not know; absent for images. */
  readonly ignoredColumns?: readonly string[];
}

/** Samples: rows of a table or of points, or images as bytes 0 … 255, [n, channels, height, width]. */
export type Samples =
  | { readonly rows: readonly Row[]; readonly samples?: undefined }
  | { readonly samples: Numbers<Uint8Array>; readonly rows?: undefined };

/** Samples on their way. */
export type SampleStep = Samples & {
  /** Steps that are done. */
  readonly done: number;
  /** All of them. */
  readonly steps: number;
};

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, which throws the reason of the signal at once. */
  readonly signal?: AbortSignal | undefined;
}

/** How many samples are computed together. */
export interface BatchOptions extends CallOptions {
  /** Default: 4096 rows, or as many images as have a million numbers, at most 64. Results do not depend on it. */
  readonly batchSize?: number | undefined;
}

export interface DetectOptions extends CallOptions {
  /** Least score of a detection, 0 … 1. Default: that of the file. */
  readonly confidence?: number | undefined;
  /** Of two detections of a class with a larger IoU than this the better one stays, 0 … 1. Default: that of the file. */
  readonly iou?: number | undefined;
  /** Most detections of an image. Default: that of the file. */
  readonly maximum?: number | undefined;
}

export interface ScoreOptions extends BatchOptions {
  /** Number of the first row among all that are scored: the noise of a row follows from its number. Default: 0. */
  readonly firstRow?: number | undefined;
}

export interface SampleOptions extends BatchOptions {
  /** Default: 1. */
  readonly count?: number | undefined;
  /** The same seed gives the same samples, in Node and in pages. Default: 0. */
  readonly seed?: number | undefined;
  /** Number of a class, for all samples or for each; for models that know classes. */
  readonly label?: number | readonly number[] | undefined;
  /** In place of noise that is drawn from the seed: values of inputs by their names in model.json, [count, …] row-major. */
  readonly noise?: Readonly<Record<string, ArrayLike<number>>> | undefined;
  /** Called after each step of a model that draws samples in steps. */
  readonly onStep?: ((step: SampleStep) => void) | undefined;
}

export interface ImputeOptions extends CallOptions {
  /** Completions of each row. Default: 5. */
  readonly draws?: number | undefined;
  /**
   * In Node, the same seed gives the draws of `eidos impute`. Where floats are rounded otherwise (pages, classes that are mixed), a chain takes another
   * turn sooner or later, and gives another draw of the same distribution. Default: 0.
   */
  readonly seed?: number | undefined;
  /**
   * Number of a class, for all rows or for each; for models that know classes. Default: that in the table's class column, otherwise all of
   * them by their shares.
   */
  readonly label?: number | readonly number[] | undefined;
  /** Trajectories of each chain, where gaps are filled in by iteration. Default: that of the file. */
  readonly steps?: number | undefined;
}

/** Rows whose gaps are filled in. */
export interface Imputed {
  /** Every row once for each draw, complete ones too, with a column `draw` that counts from 0. */
  readonly rows: readonly Row[];
}

/** What each ability is called with. */
export interface Methods {
  /** Objects in an image, or in each of several. */
  detect: {
    (image: ImageInput, options?: DetectOptions): Promise<FoundIn>;
    (images: readonly ImageInput[], options?: DetectOptions): Promise<readonly FoundIn[]>;
  };
  /**
   * Log-likelihoods of rows of a table, or of images. Images of another size are fitted as eidos fits them: the central part, resized.
   * @throws DataError naming the row and column of a cell that the model does not know
   */
  score: (
    samples: readonly Row[] | ImageInput | readonly ImageInput[],
    options?: ScoreOptions,
  ) => Promise<Scored>;
  /** Draws samples. */
  sample: (options?: SampleOptions) => Promise<Samples>;
  /**
   * Fills in missing cells of rows (null, or NaN) by draws from the model's conditional density given the other cells, several for each row. Cells that
   * are there stay as they are, as do columns that the model does not know.
   * @throws DataError naming the row and column of a cell that the model does not know
   */
  impute: (rows: readonly Row[], options?: ImputeOptions) => Promise<Imputed>;
  /** Features of rows or images. */
  embed: (
    samples: readonly Row[] | ImageInput | readonly ImageInput[],
    options?: ScoreOptions,
  ) => Promise<{ readonly features: Numbers }>;
}

/** What every loaded model has. */
export interface Loaded {
  /** The model's name in eidos: spline-flow, yolo. */
  readonly model: string;
  /** What it was fitted on. */
  readonly data: string;
  readonly kind: ExportedModel["kind"];
  /** Names of classes, by number; empty where there are none. */
  readonly classes: readonly string[];
  /** What can be asked of it. */
  readonly abilities: readonly ExportedAbilityName[];
  /** All that model.json says. */
  readonly record: ExportedModel;
  /** What computes: cpu, cuda, … in Node; wasm or webgpu in a page. */
  readonly provider: string;
  /** Whether it computes in a worker, beside the page. */
  readonly inWorker: boolean;
  /** Whether something can be asked of it: `if (model.can("detect")) await model.detect(image)`. */
  can<A extends ExportedAbilityName>(ability: A): this is Model<A>;
  /** Frees its memory, and ends its worker. Calls under way are given up. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A loaded model, with the methods of what is known that it can do. */
export type Model<A extends ExportedAbilityName = never> = Loaded & Pick<Methods, A>;

/** The files of an exported model by their names: `model.json` and ONNX files. */
export type ModelFiles = Readonly<Record<string, Uint8Array | ArrayBuffer>>;

/** Where a model is: a folder (in Node), the address of one, or its files. */
export type ModelSource = string | URL | ModelFiles;

export interface LoadOptions<A extends ExportedAbilityName = ExportedAbilityName> {
  /** What will be asked of it: the result has these methods, and only their files are read. Default: whatever the model can do. */
  readonly needs?: A | readonly A[] | undefined;
  /**
   * What computes. In Node: cpu (default), cuda, …; in a page: wasm, webgpu, or auto (default), which takes WebGPU for images where the page has it
   * and the graph runs, else wasm.
   */
  readonly provider?: string | undefined;
  /** Threads that compute. Default: in Node as many as there are cores; in a page up to 8 where it is cross-origin isolated, else 1. */
  readonly threads?: number | undefined;
  /** In a page: whether it computes in a worker (default: true), or where the worker's script lies. */
  readonly worker?: boolean | string | URL | undefined;
  /** In a page: address of the folder with the `ort-wasm-*` files of onnxruntime-web. Default: beside the script. */
  readonly wasmPaths?: string | undefined;
  /**
   * In a page: the bytes of `ort-wasm-simd-threaded.wasm`, where a page has them and may fetch nothing. WebAssembly then computes, on one thread.
   */
  readonly wasmBinary?: Uint8Array | undefined;
  /** Ends loading, which throws the reason of the signal at once. */
  readonly signal?: AbortSignal | undefined;
}
