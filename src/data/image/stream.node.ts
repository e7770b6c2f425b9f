import { relative } from "node:path";
import { DataError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { decodeImage, findAllImages, type ImageFormat } from "./folder.node.ts";

/** Consecutive images of a folder as a model sees them. */
export interface ImageBatch {
  /** `[count, channels, size, size]`, bytes as floats. */
  readonly x: NdArray<"float32">;
  /** Number of the first one among those that can be read, from 0. */
  readonly firstRow: number;
  /** Their paths within the folder. */
  readonly files: readonly string[];
}

/**
 * Reads every image below a folder in order of names, in constant memory. All batches but the last hold `batchSize`.
 * @param options.onUnreadable told the path of each file that is left out because it cannot be read
 * @throws DataError where the folder is missing, holds no images, or none can be read; MissingPackageError
 */
export async function* streamImages(
  folder: string,
  format: ImageFormat,
  options: { readonly batchSize: number; readonly onUnreadable?: (file: string) => void },
): AsyncGenerator<ImageBatch, void, undefined> {
  const files = await findAllImages(folder);
  if (files.length === 0) throw new DataError(`${folder}: no images in this folder`);
  const channels = format.channels === "grey" ? 1 : 3;
  const shape = [channels, format.size, format.size];
  const size = channels * format.size ** 2;
  let images: Uint8Array[] = [];
  let names: string[] = [];
  let firstRow = 0;
  const take = (): ImageBatch => {
    const data = new Float32Array(images.length * size);
    images.forEach((image, i) => {
      data.set(image, i * size);
    });
    const x: NdArray<"float32"> = { dtype: "float32", shape: [images.length, ...shape], data };
    const batch = { x, firstRow, files: names };
    firstRow += images.length;
    images = [];
    names = [];
    return batch;
  };
  for (const { path } of files) {
    const name = relative(folder, path);
    try {
      images.push(await decodeImage(path, format));
      names.push(name);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      options.onUnreadable?.(name);
    }
    if (images.length === options.batchSize) yield take();
  }
  if (images.length > 0) yield take();
  if (firstRow === 0) throw new DataError(`${folder}: none of its ${files.length} images can be read`);
}
