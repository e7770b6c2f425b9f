import { DataError } from "../../errors.ts";
import { binarizedShare } from "../sources/binarize.ts";
import { range, type Split, storedSplit } from "../sources/data-set.ts";
import { type DataOptions, resolveDataOptions } from "../sources/options.ts";
import type { SampleShare } from "../sources/sample-share.ts";
import { decodeOriginal } from "./decode.node.ts";
import { decodeAll, unreadLines } from "./decode-all.node.ts";
import { DepthWatch } from "./depth.node.ts";
import { checkDecoded, type FolderHooks } from "./folder.node.ts";
import type { ImageFormat } from "./format.ts";
import { digestOfFiles, imagesToRead } from "./listing.node.ts";
import { importSharp } from "./sharp.node.ts";

/**
 * Reads some training samples of a folder of images, as `openImageFolder` has them. Their files alone are opened. What is kept of decoded
 * images is that of whole folders, and neither read nor written.
 * @throws as it does; DataError where the folder holds other files, or one of the share cannot be read
 */
export async function openFolderShare(
  folder: string,
  options: DataOptions,
  { rows, positions, classes, sampleShape, names }: SampleShare,
  { onProgress }: Pick<FolderHooks, "onProgress"> = {},
): Promise<Split> {
  const { binary = false, binarize: protocol, splitSeed: seed, ...resolved } = resolveDataOptions(options);
  await importSharp();
  const { images } = await imagesToRead(folder, resolved);
  if (digestOfFiles(images) !== names) {
    throw new DataError(
      `${folder}: holds other images than for rank 0, by their names (${images.length.toLocaleString("en")} here); copy it anew`,
    );
  }
  const items = Array.from(rows, (row) => {
    const item = images[row];
    if (item === undefined) throw new RangeError(`image ${row} of ${images.length}`);
    return item;
  });
  const [channels = 1, size = 1] = sampleShape;
  const { bits, valueRange } = resolved;
  const format: ImageFormat = { size, channels: channels === 1 ? "grey" : "rgb", bits, valueRange };
  checkDecoded(folder, items.length, sampleShape);
  const { pixels, broken } = await decodeAll({
    items,
    shape: [channels, size, size],
    reading: format,
    colors: false,
    decode: async (item) => decodeOriginal(await item.read(), format, item.name),
    depths: new DepthWatch(),
    onProgress,
  });
  if (broken.size > 0) {
    throw new DataError(
      `${folder}: images that rank 0 has read cannot be read: ${unreadLines(items, broken).join("; ")}`,
    );
  }
  const numbers = new Map(classes?.map((name, number) => [name, number]));
  const labels = classes && Uint32Array.from(items, ({ className = "" }) => numbers.get(className) ?? 0);
  const held = storedSplit(pixels, sampleShape, range(0, items.length), labels);
  return binary ? binarizedShare(held, sampleShape, { protocol, seed }, positions) : held;
}
