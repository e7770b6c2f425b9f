import { DataError, OptionError } from "../../errors.ts";
import { checkNames, isRecord, type NamesOf } from "../../options.ts";
import type { SplitName } from "./data-set.ts";

// Data that a program has in memory, in place of the name or path of some. A source is made by `points`, `images`, `rows` or
// `photos`; `gatherSource` checks it and makes plain arrays of it, which can be sent to another thread.

/** Items one after the other, at once or as they come. */
export type Each<T> = Iterable<T> | AsyncIterable<T>;

/** A cell of a row: a number, a text, or true or false; null and undefined are missing. */
export type RowCell = number | bigint | string | boolean | null | undefined;

/** A row by the names of its columns. */
export type Row = Readonly<Record<string, RowCell>>;

/** Pixels as numbers 0 … 255, channel after channel, line after line. */
export type PixelArray = Uint8Array | Uint8ClampedArray | Float32Array;

/** The class of an image. */
export type ImageLabel = string | number;

/** An image with its class. */
export interface LabeledImage<I> {
  readonly image: I;
  readonly label: ImageLabel;
}

/** An image in memory as a canvas has it: red, green, blue and alpha, 0 … 255, pixel after pixel, line after line. */
export interface RgbaImage {
  readonly width: number;
  readonly height: number;
  /** `width` × `height` × 4 numbers. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** The bytes of an image file (PNG, JPEG, …), or pixels. */
export type PhotoImage = Uint8Array | RgbaImage;

/** An object marked in a photo; edges in pixels of the upright photo. */
export type PhotoBox = {
  /** Name of its class. */
  readonly label: string;
  /** Whether it need not be found. */
  readonly difficult?: boolean;
  /** Whether it is a region with many objects that nobody has counted. */
  readonly crowd?: boolean;
} & (
  | { readonly box: readonly [x1: number, y1: number, x2: number, y2: number] }
  | { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number }
);

/** A photo and the objects that are marked in it. */
export interface Photo {
  readonly image: PhotoImage;
  readonly boxes: readonly PhotoBox[];
  /** What results and messages call it (default: `photos[0]`, `photos[1]`, …). */
  readonly name?: string;
  /** The split that it belongs to (default: drawn by seed). */
  readonly split?: SplitName;
}

export interface PointsSource {
  readonly kind: "points";
  readonly points: Float32Array | Each<ArrayLike<number>>;
  readonly shape?: readonly number[];
}

export type ImagesSource =
  | {
      readonly kind: "images";
      readonly form: "pixels";
      readonly images: PixelArray | Each<PixelArray | LabeledImage<PixelArray>>;
      readonly shape: readonly number[];
      readonly labels?: Each<ImageLabel>;
    }
  | {
      readonly kind: "images";
      readonly form: "encoded";
      readonly images: Each<Uint8Array | LabeledImage<Uint8Array>>;
      readonly labels?: Each<ImageLabel>;
    };

export interface RowsSource {
  readonly kind: "rows";
  readonly rows: Each<object>;
}

export interface PhotosSource {
  readonly kind: "photos";
  readonly photos: Each<Photo>;
}

/** Data in memory, which stands where the name or path of data does. */
export type DataSource = PointsSource | ImagesSource | RowsSource | PhotosSource;

export interface PlainPoints {
  readonly kind: "points";
  readonly points: Float32Array;
  readonly shape: readonly [count: number, coordinates: 2];
}

export type PlainImages =
  | {
      readonly kind: "images";
      readonly form: "pixels";
      readonly images: Uint8Array;
      readonly shape: readonly [count: number, channels: number, height: number, width: number];
      readonly labels?: readonly ImageLabel[];
    }
  | {
      readonly kind: "images";
      readonly form: "encoded";
      readonly images: readonly Uint8Array[];
      readonly labels?: readonly ImageLabel[];
    };

export interface PlainRows {
  readonly kind: "rows";
  readonly rows: readonly Row[];
}

export interface PlainPhoto extends Photo {
  readonly name: string;
  readonly boxes: readonly Extract<PhotoBox, { readonly box: unknown }>[];
}

export interface PlainPhotos {
  readonly kind: "photos";
  readonly photos: readonly PlainPhoto[];
}

/** A source that was checked, in plain arrays: what can be sent to another thread. It is a `DataSource`, too. */
export type PlainSource = PlainPoints | PlainImages | PlainRows | PlainPhotos;

/** What an array without numbers may be. */
export const MAYBE_SENT = "it is empty, or its buffer was handed to another thread";

const KINDS = ["points", "images", "rows", "photos"] as const;

const HOW = "points(…), images(…), rows(…) or photos(…)";

/**
 * Points of the plane in memory.
 * @param points coordinates one after the other, or pairs of them, at once or as they come
 * @param shape `[n, 2]`
 * @throws OptionError where it is no such array, or of another shape
 * @example
 * const run = await fit({ model: "nice", data: points(new Float32Array([0, 1, 2, 3, 4, 5]), [3, 2]) });
 */
export function points(
  points: Float32Array | Each<ArrayLike<number>>,
  shape?: readonly [count: number, coordinates: 2],
): PointsSource {
  if (!(points instanceof Float32Array)) checkEach("points", points, "a Float32Array, or a list of pairs");
  const source: PointsSource = { kind: "points", points, ...(shape !== undefined && { shape }) };
  if (points instanceof Float32Array) checkPoints(points, shape);
  return source;
}

/**
 * Images in memory: files of images, or pixels.
 *
 * - The bytes of files (PNG, JPEG, …), a list of them, are decoded as those of a folder of images are; the options `size` and
 *   `color` set to what.
 * - Pixels are used as they are, whole numbers 0 … 255: one array with `shape: [n, channels, height, width]`, or a list of arrays
 *   with the shape of one image, `shape: [channels, height, width]`. One channel is gray, three are red, green and blue.
 *
 * @param options.labels the class of each image; images that come one by one may bring theirs, as `{ image, label }`
 * @throws OptionError where it is neither, or no shape was given with numbers that are no bytes
 * @example
 * images([await readFile("cat.png"), await readFile("dog.png")], { labels: ["cat", "dog"] })
 * images(new Uint8Array(100 * 28 * 28), { shape: [100, 1, 28, 28] })
 */
export function images(
  images: PixelArray | Each<PixelArray | LabeledImage<PixelArray>>,
  options: { readonly shape: readonly number[]; readonly labels?: Each<ImageLabel> },
): ImagesSource;
export function images(
  images: Each<Uint8Array | LabeledImage<Uint8Array>>,
  options?: { readonly labels?: Each<ImageLabel> },
): ImagesSource;
export function images(
  images: PixelArray | Each<PixelArray | LabeledImage<PixelArray>>,
  options: { readonly shape?: readonly number[]; readonly labels?: Each<ImageLabel> } = {},
): ImagesSource {
  checkNames("images", options, { shape: true, labels: true } satisfies NamesOf<typeof options>);
  const { shape, labels } = options;
  const labeled = labels !== undefined && { labels };
  if (labels !== undefined) checkEach("images: labels", labels, "a list");
  if (shape === undefined) {
    if (isPixels(images)) {
      throw new OptionError(
        "images: an array of pixels comes with its shape, images(array, { shape: [n, channels, height, width] }); the bytes of files come in a list, images([bytes])",
      );
    }
    checkEach("images", images, "an array of pixels, or a list of files of images");
    return { kind: "images", form: "encoded", images: images as Each<Uint8Array>, ...labeled };
  }
  checkShape(shape, isPixels(images) ? 4 : 3);
  if (!isPixels(images)) checkEach("images", images, "an array of pixels, or a list of such arrays");
  return { kind: "images", form: "pixels", images, shape, ...labeled };
}

/**
 * A table in memory: an object for each row, its columns by name, as a line of a CSV file has them. All rows have the same columns,
 * and a column holds numbers, texts, or true and false.
 * @throws OptionError where it is no list of rows
 * @example
 * rows([{ length: 5.1, kind: "setosa" }, { length: 6.2, kind: "virginica" }])
 */
export function rows<R extends { readonly [Column in keyof R]: RowCell }>(rows: Each<R>): RowsSource {
  checkEach("rows", rows, "a list of objects");
  return { kind: "rows", rows: rows as Each<object> };
}

/**
 * Photos in memory with the objects that are marked in them, for detectors. Boxes are in pixels of the upright photo.
 * @throws OptionError where it is no list of photos
 * @example
 * photos([{ image: await readFile("street.jpg"), boxes: [{ label: "car", x1: 10, y1: 20, x2: 110, y2: 80 }] }])
 */
export function photos(photos: Each<Photo>): PhotosSource {
  checkEach("photos", photos, "a list of photos");
  return { kind: "photos", photos };
}

/** True for what `points`, `images`, `rows` and `photos` make. */
function isSource(value: unknown): value is DataSource {
  return isRecord(value) && KINDS.some((kind) => kind === value.kind);
}

/**
 * What is given as data: a source, or the name or path of data.
 * @throws OptionError for anything else; also for a name that says that the data of a run was in memory
 */
export function checkedData(data: unknown): string | DataSource {
  if (isSource(data)) return data;
  if (typeof data !== "string") {
    const list = Array.isArray(data) || ArrayBuffer.isView(data) ? `; wrap it in ${HOW}` : "";
    throw new OptionError(
      `data must be a name, a path, a query or data in memory, made by ${HOW}; this is ${shown(data)}${list}`,
    );
  }
  const kind = KINDS.find((name) => memoryName({ kind: name }) === data);
  if (kind === undefined) return data;
  throw new OptionError(
    `the data of this run was in memory (${kind}), and is not kept with the run; give the same data again, as ${kind}(…)`,
  );
}

/** The name that stands in the files of a run for data in memory: `memory:rows`. */
export function memoryName({ kind }: Pick<DataSource, "kind">): string {
  return `memory:${kind}`;
}

/** Points as a table of the columns `x` and `y`, as which tables of points are read: for `streamTable`. */
export function asRows({ points, shape: [count] }: PlainPoints): PlainRows {
  return {
    kind: "rows",
    rows: Array.from({ length: count }, (_, i) => ({ x: points[2 * i], y: points[2 * i + 1] })),
  };
}

/** A line for a person: `3 rows in memory`. */
export function describeSource(source: PlainSource): string {
  const count = countOf(source);
  return `${count} ${count === 1 ? source.kind.slice(0, -1) : source.kind} in memory`;
}

function countOf(source: PlainSource): number {
  switch (source.kind) {
    case "points":
      return source.shape[0];
    case "images":
      return source.form === "pixels" ? source.shape[0] : source.images.length;
    case "rows":
      return source.rows.length;
    case "photos":
      return source.photos.length;
  }
}

/** What a value is, for messages. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "Object" ? `a ${name}` : "an object";
}

function wrong(what: string, value: unknown, wanted: string): never {
  throw new OptionError(`${what}: must be ${wanted}; this is ${shown(value)}`);
}

export const isPixels = (value: unknown): value is PixelArray =>
  value instanceof Uint8Array || value instanceof Uint8ClampedArray || value instanceof Float32Array;

/** @throws OptionError where a value is nothing to go through */
export function checkEach(what: string, value: unknown, wanted: string): void {
  const iterable = Object(value) as Partial<Record<symbol, unknown>>;
  const goes =
    typeof value === "object" &&
    value !== null &&
    (typeof iterable[Symbol.iterator] === "function" || typeof iterable[Symbol.asyncIterator] === "function");
  if (!goes || ArrayBuffer.isView(value)) wrong(what, value, wanted);
}

/** @throws OptionError */
export function checkShape(shape: unknown, length: 3 | 4): asserts shape is readonly number[] {
  const names = "channels, height, width";
  const wanted = length === 4 ? `[n, ${names}] of one array` : `[${names}] of each array of a list`;
  const valid =
    Array.isArray(shape) &&
    shape.length === length &&
    shape.every((side) => Number.isInteger(side) && side > 0);
  if (!valid) {
    throw new OptionError(`images: shape ${JSON.stringify(shape)}; it is that of pixels, ${wanted}`);
  }
  const channels = shape.at(-3);
  if (channels !== 1 && channels !== 3) {
    throw new OptionError(`images: shape [${shape}] has ${channels} channels; there may be 1 or 3`);
  }
}

/** @throws OptionError for another shape, DataError where the numbers do not fill it, or one is no coordinate */
export function checkPoints(points: Float32Array, shape: readonly number[] | undefined): void {
  if (shape !== undefined && (shape.length !== 2 || shape[1] !== 2)) {
    throw new OptionError(
      `points: of shape [${shape}]; points of the plane have the shape [n, 2], and rows(…) takes others`,
    );
  }
  if (points.length === 0) throw new DataError(`points: ${MAYBE_SENT}`);
  if (points.length !== (shape === undefined ? points.length & ~1 : 2 * Number(shape[0]))) {
    throw new DataError(`points: ${points.length} numbers, where [${shape ?? "n,2"}] has pairs of them`);
  }
  const bad = points.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new DataError(`points[${Math.floor(bad / 2)}]: ${points[bad]} is no coordinate`);
}
