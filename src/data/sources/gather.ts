import { DataError, OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { isRecord } from "../../options.ts";
import type { SplitName } from "./data-set.ts";
import type {
  DataSource,
  Each,
  ImageLabel,
  ImagesSource,
  LabeledImage,
  PhotoImage,
  PhotosSource,
  PixelArray,
  PlainImages,
  PlainPhoto,
  PlainPhotos,
  PlainPoints,
  PlainRows,
  PlainSource,
  PointsSource,
  Row,
  RowCell,
  RowsSource,
} from "./memory.ts";
import { checkEach, checkPoints, checkShape, isPixels, MAYBE_SENT, shown } from "./memory.ts";

/**
 * Checks data in memory and makes plain arrays of it: what comes bit by bit is waited for, and nothing but numbers, texts and arrays
 * is left, so that it can be sent to another thread.
 * @throws DataError that names the item at fault, as in `rows[3]`
 */
export function gatherSource(source: PointsSource): Promise<PlainPoints>;
export function gatherSource(source: ImagesSource): Promise<PlainImages>;
export function gatherSource(source: RowsSource): Promise<PlainRows>;
export function gatherSource(source: PhotosSource): Promise<PlainPhotos>;
export function gatherSource(source: DataSource): Promise<PlainSource>;
export async function gatherSource(source: DataSource): Promise<PlainSource> {
  switch (source.kind) {
    case "points":
      return gatherPoints(source);
    case "images":
      return gatherImages(source);
    case "rows":
      return { kind: "rows", rows: plainRows(await gather("rows", source.rows)) };
    case "photos":
      return { kind: "photos", photos: plainPhotos(await gather("photos", source.photos)) };
  }
}

/** All items. @throws DataError where there are none, or where they stop coming */
async function gather<T>(what: string, each: Each<T>): Promise<readonly T[]> {
  checkEach(what, each, "a list, or an iterable of items");
  const items: T[] = [];
  try {
    for await (const item of each) items.push(item);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new DataError(`${what}: nothing came after ${what}[${items.length - 1}] (${reason})`, {
      cause: error,
    });
  }
  if (items.length === 0) throw new DataError(`${what}: there are none`);
  return items;
}

/** An array of which nobody else has the memory, so that it can be sent to another thread by itself. */
function owned<A extends Uint8Array | Float32Array>(array: A): A {
  return array.byteLength === array.buffer.byteLength ? array : (array.slice() as A);
}

function plainPoints(points: Float32Array, shape: readonly number[] | undefined): PlainPoints {
  checkPoints(points, shape);
  return { kind: "points", points: owned(points), shape: [points.length / 2, 2] };
}

async function gatherPoints({ points, shape }: PointsSource): Promise<PlainPoints> {
  if (points instanceof Float32Array) return plainPoints(points, shape);
  const parts = await gather("points", points);
  const whole = new Float32Array(
    parts.reduce((length, part, i) => {
      const isPair = Array.isArray(part) || part instanceof Float64Array || part instanceof Float32Array;
      if (!isPair || part.length === 0 || part.length % 2 !== 0) {
        throw new DataError(`points[${i}]: must be a pair of numbers; this is ${shown(part)}`);
      }
      const bad = Array.from(part, Number).findIndex((value) => !Number.isFinite(value));
      if (bad >= 0 || Array.from(part).some((value) => typeof value !== "number")) {
        throw new DataError(`points[${i}]: ${shown(part[Math.max(0, bad)])} is no coordinate`);
      }
      return length + part.length;
    }, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return plainPoints(whole, shape);
}

/** Pixels as bytes. @throws DataError where one is no byte */
function bytesOf(pixels: PixelArray, nameOf: (position: number) => string): Uint8Array {
  if (pixels instanceof Uint8Array) return owned(pixels);
  if (pixels instanceof Uint8ClampedArray) return Uint8Array.from(pixels);
  const bad = pixels.findIndex((value) => !(Number.isInteger(value) && value >= 0 && value <= 255));
  if (bad >= 0) {
    throw new DataError(`${nameOf(bad)}: a pixel is ${pixels[bad]}; pixels are whole numbers from 0 to 255`);
  }
  return Uint8Array.from(pixels);
}

async function gatherImages(source: ImagesSource): Promise<PlainImages> {
  const given = source.labels === undefined ? undefined : await gather("images: labels", source.labels);
  if (source.form === "pixels" && isPixels(source.images)) {
    const { images, shape } = source;
    checkShape(shape, 4);
    const [count = 0, channels = 0, height = 0, width = 0] = shape;
    const size = channels * height * width;
    if (images.length === 0) throw new DataError(`images: ${MAYBE_SENT}`);
    if (images.length !== count * size) {
      throw new DataError(
        `images: ${images.length} numbers, where shape [${shape}] takes ${count * size} of them`,
      );
    }
    const bytes = bytesOf(images, (position) => `images[${Math.floor(position / size)}]`);
    return {
      kind: "images",
      form: "pixels",
      images: bytes,
      shape: [count, channels, height, width],
      ...labelsOf(given, count),
    };
  }
  const own: ImageLabel[] = [];
  const items = await gather("images", source.images as Each<PixelArray | LabeledImage<PixelArray>>);
  const arrays = items.map((item, i) => {
    const labeled = !isPixels(item) && isRecord(item);
    if (labeled) own[i] = item.label;
    const image: unknown = labeled ? item.image : item;
    if (!isPixels(image) || (source.form === "encoded" && !(image instanceof Uint8Array))) {
      const wanted = source.form === "encoded" ? "the bytes of a file, a Uint8Array" : "an array of pixels";
      throw new DataError(`images[${i}]: must be ${wanted}; this is ${shown(image)}`);
    }
    if (image.length === 0) throw new DataError(`images[${i}]: ${MAYBE_SENT}`);
    return image;
  });
  if (own.length > 0 && given !== undefined) {
    throw new OptionError("images: classes come with the images, and once more as labels; leave one out");
  }
  const labels = labelsOf(own.length > 0 ? Array.from(own) : given, arrays.length);
  if (source.form === "encoded") {
    const files = arrays.map((image) => owned(image as Uint8Array));
    return { kind: "images", form: "encoded", images: files, ...labels };
  }
  checkShape(source.shape, 3);
  const [channels = 0, height = 0, width = 0] = source.shape;
  const size = channels * height * width;
  const store = new Uint8Array(arrays.length * size);
  for (const [i, image] of arrays.entries()) {
    if (image.length !== size) {
      throw new DataError(
        `images[${i}]: ${image.length} numbers, where shape [${source.shape}] takes ${size} of them`,
      );
    }
    store.set(
      bytesOf(image, () => `images[${i}]`),
      i * size,
    );
  }
  return {
    kind: "images",
    form: "pixels",
    images: store,
    shape: [arrays.length, channels, height, width],
    ...labels,
  };
}

/** Classes that were checked: texts, or whole numbers, one for each image. @throws DataError */
function labelsOf(
  labels: readonly unknown[] | undefined,
  count: number,
): { readonly labels?: readonly ImageLabel[] } {
  if (labels === undefined) return {};
  if (labels.length !== count) {
    throw new DataError(
      `images: ${counted(labels.length, "label")} for ${counted(count, "image")}; each image has one`,
    );
  }
  const type = typeof labels[0];
  return {
    labels: labels.map((label, i): ImageLabel => {
      const valid = typeof label === "string" ? label !== "" : Number.isInteger(label);
      if (!valid) {
        throw new DataError(
          `images[${i}]: its label is ${shown(label)}; it must be a text or a whole number`,
        );
      }
      if (typeof label !== type) {
        throw new DataError(
          `images[${i}]: its label is ${shown(label)}, where that of images[0] is a ${type}`,
        );
      }
      return label as ImageLabel;
    }),
  };
}

const CELL_TYPES = new Set(["number", "bigint", "string", "boolean", "undefined"]);

/** Rows that all have the columns of the first one. @throws DataError naming the row at fault */
function plainRows(rows: readonly unknown[]): readonly Row[] {
  let names: readonly string[] = [];
  return rows.map((row, i) => {
    if (!isRecord(row) || ArrayBuffer.isView(row)) {
      throw new DataError(`rows[${i}]: must be an object, { column: value, … }; this is ${shown(row)}`);
    }
    const own = Object.keys(row);
    if (i === 0) names = own;
    if (own.length === 0) throw new DataError(`rows[${i}]: has no columns`);
    const lost = names.find((name) => !Object.hasOwn(row, name));
    if (lost !== undefined) {
      throw new DataError(
        `rows[${i}]: has no column "${lost}", which rows[0] has; a missing value is written as null`,
      );
    }
    const extra = own.length > names.length ? own.find((name) => !names.includes(name)) : undefined;
    if (extra !== undefined) {
      throw new DataError(`rows[${i}]: has a column "${extra}", which rows[0] does not have`);
    }
    return Object.fromEntries(
      names.map((name): [string, RowCell] => {
        const cell = row[name];
        if (cell === null || CELL_TYPES.has(typeof cell)) return [name, cell as RowCell];
        throw new DataError(
          `rows[${i}]: column "${name}" is ${shown(cell)}; a cell is a number, a text, true, false or null`,
        );
      }),
    );
  });
}

const SPLIT_NAMES: readonly unknown[] = ["train", "validation", "test", undefined];

/** @throws DataError naming the photo and the box at fault */
function plainPhotos(photos: readonly unknown[]): readonly PlainPhoto[] {
  const taken = new Map<string, number>();
  return photos.map((photo, i): PlainPhoto => {
    const at = `photos[${i}]`;
    if (!isRecord(photo)) {
      throw new DataError(`${at}: must be an object, { image, boxes }; this is ${shown(photo)}`);
    }
    const { image, boxes, name = at, split } = photo;
    if (typeof name !== "string" || name === "") throw new DataError(`${at}: its name is ${shown(name)}`);
    const twin = taken.get(name);
    if (twin !== undefined) {
      throw new DataError(`${at}: is called ${name}, as photos[${twin}] is; leave names out, or change one`);
    }
    taken.set(name, i);
    if (!SPLIT_NAMES.includes(split)) {
      throw new DataError(`${at}: its split is ${shown(split)}; there are train, validation and test`);
    }
    if (!Array.isArray(boxes)) {
      throw new DataError(`${at}: boxes must be a list, perhaps an empty one; this is ${shown(boxes)}`);
    }
    return {
      image: checkedImage(image, at),
      boxes: boxes.map((box, k) => plainBox(box, `${at}.boxes[${k}]`)),
      name,
      ...(split !== undefined && { split: split as SplitName }),
    };
  });
}

/**
 * An image in memory, checked.
 * @param name what messages call it
 * @throws DataError where it is neither the bytes of a file nor as many pixels as its size
 */
export function checkedImage(image: unknown, name: string): PhotoImage {
  if (image instanceof Uint8Array) {
    if (image.length === 0) throw new DataError(`${name}: ${MAYBE_SENT}`);
    return owned(image);
  }
  if (!isRecord(image) || ArrayBuffer.isView(image) || image.data === undefined) {
    throw new DataError(
      `${name}: the image must be the bytes of a file, a Uint8Array, or pixels, { width, height, data }; this is ${shown(image)}`,
    );
  }
  const { width, height, data } = image;
  if (!isSide(width) || !isSide(height)) {
    throw new DataError(`${name}: an image of ${shown(width)} × ${shown(height)} pixels`);
  }
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new DataError(`${name}: pixels must be a Uint8Array; this is ${shown(data)}`);
  }
  if (data.length !== 4 * width * height) {
    const sent = data.length === 0 ? `; ${MAYBE_SENT}` : "";
    throw new DataError(
      `${name}: ${data.length} numbers; ${width} × ${height} pixels of red, green, blue and alpha are ${4 * width * height}${sent}`,
    );
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { width, height, data: owned(bytes) };
}

const isSide = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0;

function plainBox(box: unknown, at: string): PlainPhoto["boxes"][number] {
  if (!isRecord(box)) throw new DataError(`${at}: must be an object, { label, box }; this is ${shown(box)}`);
  const { label, box: edges, difficult, crowd } = box;
  if (typeof label !== "string" || label === "") {
    throw new DataError(`${at}: its label is ${shown(label)}; it must be the name of a class`);
  }
  const [x1, y1, x2, y2, ...more] = Array.isArray(edges) ? edges : [box.x1, box.y1, box.x2, box.y2];
  const sides = { x1, y1, x2, y2 };
  for (const [side, value] of Object.entries(sides)) {
    if (typeof value === "number") continue;
    throw new DataError(
      `${at}: ${side} is ${shown(value)}; an object has the edges x1, y1, x2, y2, or box: [x1, y1, x2, y2]`,
    );
  }
  if (more.length > 0)
    throw new DataError(`${at}: its box has ${4 + more.length} numbers, where 4 are edges`);
  return {
    label,
    box: [x1, y1, x2, y2],
    ...(difficult === true && { difficult }),
    ...(crowd === true && { crowd }),
  };
}
