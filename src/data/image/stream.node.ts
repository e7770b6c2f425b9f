import { DataError } from "../../errors.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import type { FolderOptions } from "../files/data-folder.node.ts";
import type { PlainImages } from "../sources/memory.ts";
import { type Shard, shareOf } from "../sources/shard.ts";
import type { ImageChanges } from "./changes.node.ts";
import { decodeLike } from "./decode.node.ts";
import { imageName } from "./folder.node.ts";
import type { ImageFormat } from "./format.ts";
import { type FolderImages, findAllImages } from "./listing.node.ts";

/** Consecutive images of a folder, or in memory, as a model sees them. */
export interface ImageBatch {
  /** `[count, channels, size, size]`, bytes as floats. */
  readonly x: NdArray<"float32">;
  /** Number of the first one among those of this reading that can be read, from 0. */
  readonly firstRow: number;
  /** Position of the first one among all images, those that cannot be read and those of other shards counted. */
  readonly position: number;
  /** Their paths within the folder, or where they are in the list: `images[3]`. */
  readonly files: readonly string[];
}

/** How images are streamed. */
interface StreamOptions extends FolderOptions {
  readonly batchSize: number;
  /** Opens the images of a shard alone. */
  readonly shard?: Shard | undefined;
  /** Takes what is done to each image to be like those of the format. */
  readonly changes?: ImageChanges | undefined;
  /** Called with the path of each image that is left out because it cannot be read, and the reason. */
  readonly onUnreadable?: (file: string, reason: string) => void;
}

/**
 * Reads every image below a folder in order of names, in constant memory, or images in memory in their order. A batch is of `batchSize`
 * images one after another, without those that cannot be read.
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
  const { shard, batchSize } = options;
  const { label, items, leftOut } = await itemsOf(source, format, shape, options);
  // Of several shards, one reports what is left out of all.
  if (shard === undefined || shard.index === 0)
    for (const { name, detail } of leftOut) options.onUnreadable?.(name, detail);
  const share = shard === undefined ? { first: 0, count: items.length } : shareOf(shard, items.length);
  let images: Uint8Array[] = [];
  let names: string[] = [];
  let firstRow = 0;
  let position = share.first;
  const take = (): ImageBatch => {
    const data = new Float32Array(images.length * size);
    images.forEach((image, i) => {
      data.set(image, i * size);
    });
    const batch = { x: float32(data, [images.length, ...shape]), firstRow, position, files: names };
    firstRow += images.length;
    images = [];
    names = [];
    return batch;
  };
  const end = share.first + share.count;
  for (const [i, { name, read }] of items.slice(share.first, end).entries()) {
    try {
      images.push(await read());
      names.push(name);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      options.onUnreadable?.(name, error.message);
    }
    const next = share.first + i + 1;
    if (next % batchSize !== 0 && next !== end) continue;
    if (images.length > 0) yield take();
    position = next;
  }
  if (firstRow === 0 && shard === undefined) {
    const none = items.length === 1 ? "its only image cannot" : `none of its ${items.length} images can`;
    throw new DataError(`${label}: ${none} be read`);
  }
}

interface Item {
  readonly name: string;
  read(): Promise<Uint8Array> | Uint8Array;
}

interface Items extends Pick<FolderImages, "leftOut"> {
  readonly label: string;
  readonly items: readonly Item[];
}

async function itemsOf(
  source: string | PlainImages,
  format: ImageFormat,
  shape: readonly number[],
  options: Pick<StreamOptions, "followLinks" | "changes">,
): Promise<Items> {
  if (typeof source === "string") {
    const { images, leftOut } = await findAllImages(source, options);
    if (images.length === 0) {
      const [first] = leftOut;
      const why = first === undefined ? "" : `; ${first.name}: ${first.detail}`;
      throw new DataError(`${source}: no images in this folder${why}`);
    }
    const items = images.map(({ name, read }) => ({
      name,
      read: async () => decodeLike(await read(), format, name, options.changes),
    }));
    return { label: source, items, leftOut };
  }
  const label = "images in memory";
  if (source.form === "encoded") {
    const items = source.images.map((bytes, i) => ({
      name: imageName(i),
      read: () => decodeLike(bytes, format, imageName(i), options.changes),
    }));
    return { label, items, leftOut: [] };
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
  return { label, items, leftOut: [] };
}
