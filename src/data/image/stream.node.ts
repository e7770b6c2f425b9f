import { relative } from "node:path";
import { DataError } from "../../errors.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { PlainImages } from "../sources/memory.ts";
import { decodeImage, findAllImages, type ImageFormat, imageName } from "./folder.node.ts";

/** Consecutive images of a folder, or in memory, as a model sees them. */
export interface ImageBatch {
  /** `[count, channels, size, size]`, bytes as floats. */
  readonly x: NdArray<"float32">;
  /** Number of the first one among those that can be read, from 0. */
  readonly firstRow: number;
  /** Their paths within the folder, or where they are in the list: `images[3]`. */
  readonly files: readonly string[];
}

/** How images are streamed. */
interface StreamOptions {
  readonly batchSize: number;
  /** Called with the path of each image that is left out because it cannot be read. */
  readonly onUnreadable?: (file: string) => void;
}

/**
 * Reads every image below a folder in order of names, in constant memory, or images in memory in their order. All batches but the last
 * hold `batchSize`.
 * @throws DataError where the folder is missing, holds no images, none can be read, or pixels in memory have another shape than that
 * asked for; MissingPackageError
 */
export async function* streamImages(
  source: string | PlainImages,
  format: ImageFormat,
  options: StreamOptions,
): AsyncGenerator<ImageBatch, void, undefined> {
  const channels = format.channels === "grey" ? 1 : 3;
  const shape = [channels, format.size, format.size];
  const size = elementCount(shape);
  const [label, items] = await itemsOf(source, format, shape);
  let images: Uint8Array[] = [];
  let names: string[] = [];
  let firstRow = 0;
  const take = (): ImageBatch => {
    const data = new Float32Array(images.length * size);
    images.forEach((image, i) => {
      data.set(image, i * size);
    });
    const batch = { x: float32(data, [images.length, ...shape]), firstRow, files: names };
    firstRow += images.length;
    images = [];
    names = [];
    return batch;
  };
  for (const { name, read } of items) {
    try {
      images.push(await read());
      names.push(name);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      options.onUnreadable?.(name);
    }
    if (images.length === options.batchSize) yield take();
  }
  if (images.length > 0) yield take();
  if (firstRow === 0) throw new DataError(`${label}: none of its ${items.length} images can be read`);
}

interface Item {
  readonly name: string;
  read(): Promise<Uint8Array> | Uint8Array;
}

async function itemsOf(
  source: string | PlainImages,
  format: ImageFormat,
  shape: readonly number[],
): Promise<readonly [label: string, items: readonly Item[]]> {
  if (typeof source === "string") {
    const files = await findAllImages(source);
    if (files.length === 0) throw new DataError(`${source}: no images in this folder`);
    const items = files.map(({ path }) => ({
      name: relative(source, path),
      read: () => decodeImage(path, format),
    }));
    return [source, items];
  }
  const label = "images in memory";
  if (source.form === "encoded") {
    const items = source.images.map((bytes, i) => ({
      name: imageName(i),
      read: () => decodeImage(bytes, format, imageName(i)),
    }));
    return [label, items];
  }
  const [count, ...own] = source.shape;
  if (own.join() !== shape.join()) {
    throw new DataError(`${label}: of shape [${own}], where [${shape}] is wanted; scale them, or give files`);
  }
  const size = elementCount(shape);
  const items = Array.from({ length: count }, (_, i) => ({
    name: imageName(i),
    read: () => source.images.subarray(i * size, (i + 1) * size),
  }));
  return [label, items];
}
