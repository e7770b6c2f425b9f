import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { basename, extname, join, relative } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { listFolder } from "../files/files.node.ts";
import { optional } from "../files/optional.node.ts";
import { binarized } from "../sources/binarize.ts";
import type { DataSet, SplitName } from "../sources/data-set.ts";
import { describeSplits, randomSplit, splitNamed, storedSplit } from "../sources/data-set.ts";
import type { DataOptions } from "../sources/options.ts";
import { resolveDataOptions } from "../sources/options.ts";

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif"]);

/** How many images are decoded at once; sharp has threads of its own. */
const CONCURRENCY = 4;

/** An image file and where it belongs, as far as its folders say. */
export interface ImageFile {
  readonly path: string;
  readonly className: string | undefined;
  readonly split: SplitName | undefined;
}

/** How decoded images come out: square, `size` × `size`. */
export interface ImageFormat {
  readonly size: number;
  readonly channels: "grey" | "rgb";
}

/** True for the entry of a folder that has the extension of an image. */
export const isImage = (entry: Dirent): boolean =>
  !entry.isDirectory() && IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase());

/** Images below a folder: directly in it, or one class a subfolder (images deeper down belong to that class too). */
async function findImages(folder: string, split: SplitName | undefined): Promise<ImageFile[]> {
  const found: ImageFile[] = [];
  const walk = async (directory: string, className: string | undefined): Promise<void> => {
    for (const entry of await listFolder(directory)) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) await walk(path, className ?? entry.name);
      else if (isImage(entry)) found.push({ path, className, split });
    }
  };
  await walk(folder, undefined);
  return found;
}

/** Every image below a folder, in order of names. */
export async function findAllImages(folder: string): Promise<ImageFile[]> {
  const entries = await listFolder(folder);
  const parts = entries.flatMap((entry) => {
    const split = entry.isDirectory() ? splitNamed(entry.name) : undefined;
    return split === undefined ? [] : [{ path: join(folder, entry.name), split }];
  });
  if (!parts.some(({ split }) => split === "train")) return findImages(folder, undefined);
  return (await Promise.all(parts.map(({ path, split }) => findImages(path, split)))).flat();
}

function importSharp() {
  return optional("sharp", "reading images", async () => (await import("sharp")).default);
}

/**
 * Decodes one image to `[channels, size, size]` bytes: turned upright as its EXIF data say, the central square cut out,
 * resized, transparency laid on white.
 * @throws DataError naming the file where it is no readable image, MissingPackageError where sharp is not installed.
 */
export async function decodeImage(path: string, { size, channels }: ImageFormat): Promise<Uint8Array> {
  const sharp = await importSharp();
  const planes = channels === "grey" ? 1 : 3;
  try {
    const upright = sharp(path).autoOrient().flatten({ background: "white" });
    const square = upright.resize(size, size, { fit: "cover", position: "centre" });
    const colored = channels === "grey" ? square.greyscale() : square.toColorspace("srgb");
    const { data, info } = await colored.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    const bytes = new Uint8Array(planes * size * size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      for (let plane = 0; plane < planes; plane++) {
        // A grey file may come with one channel where three were asked for.
        bytes[plane * size * size + pixel] =
          data[pixel * info.channels + Math.min(plane, info.channels - 1)] ?? 0;
      }
    }
    return bytes;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw new DataError(`${path}: not a readable image (${reason})`, { cause: error });
  }
}

/** Runs `work` on every item, a few at once. */
export async function forEachLimited<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

/**
 * A folder of images, decoded once and kept in memory as bytes (sharp).
 *
 * Subfolders `train`, `validation` (`val`, `valid`) and `test` fix the split; without a `train` it is random by seed,
 * and a missing validation or test part is taken from the training images. Where every image lies in a further
 * subfolder, the subfolders are classes. Files that cannot be read are left out: `describe` says which. With `binary`,
 * images are grey and become zeros and ones.
 * @throws DataError where the folder is missing, holds no images, or none can be read; MissingPackageError where sharp
 * is not installed; OptionError for bad options.
 */
export async function openImageFolder(folder: string, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { size, color, binary = false, splitSeed: seed, validation, test } = resolved;
  if (binary && color === "rgb") {
    throw new OptionError("option color: binary images are grey before they are binarized; leave rgb out");
  }
  const channels = color ?? (binary ? "grey" : "rgb");
  await importSharp();
  const files = await findAllImages(folder);
  if (files.length === 0) {
    throw new DataError(
      `${folder}: no images in this folder; looked for ${[...IMAGE_EXTENSIONS].join(", ")}`,
    );
  }
  const planes = channels === "grey" ? 1 : 3;
  const sampleShape = [planes, size, size];
  const length = planes * size * size;
  const pixels = new Uint8Array(files.length * length);
  const broken = new Map<number, string>();
  await forEachLimited(files, async ({ path }, index) => {
    try {
      pixels.set(await decodeImage(path, { size, channels }), index * length);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      broken.set(index, relative(folder, path));
    }
  });
  const readable = [...files.keys()].filter((index) => !broken.has(index));
  const brokenNames = [...broken].sort(([a], [b]) => a - b).map(([, name]) => name);
  if (readable.length === 0) {
    throw new DataError(
      `${folder}: none of its ${files.length} images can be read (${brokenNames.slice(0, 3).join(", ")}${files.length > 3 ? ", …" : ""})`,
    );
  }

  const labeled = readable.every((index) => files[index]?.className !== undefined);
  const classes = labeled
    ? [...new Set(readable.map((index) => files[index]?.className ?? ""))].sort((a, b) => (a < b ? -1 : 1))
    : undefined;
  const labels =
    classes === undefined
      ? undefined
      : Uint32Array.from(files, ({ className }) => Math.max(0, classes.indexOf(className ?? "")));
  const parts = divide(files, readable, { validation, test }, new Random(seed).split("images"));
  const split = (name: SplitName) => storedSplit(pixels, sampleShape, parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(JSON.stringify({ sampleShape, classes, parts, brokenNames }));
  const data: DataSet = {
    name: basename(folder),
    kind: "image",
    sampleShape,
    splits,
    ...(classes === undefined ? {} : { classes }),
    fingerprint: hash.update(pixels).digest("hex").slice(0, 16),
    describe: () => [
      `${folder}: ${readable.length} images, ${size} × ${size}, ${channels}${classes === undefined ? "" : `, ${classes.length} classes`}`,
      `${describeSplits(splits)}${files[0]?.split === undefined ? `, split with seed ${seed}` : ", split by folders"}`,
      ...(brokenNames.length === 0
        ? []
        : [
            `left out ${brokenNames.length} unreadable: ${brokenNames.slice(0, 10).join(", ")}${brokenNames.length > 10 ? ", …" : ""}`,
          ]),
    ],
  };
  return binary ? binarized(data, { protocol: resolved.binarize, seed }) : data;
}

/** Follows the folders where they name splits; the rest at random. */
function divide(
  files: readonly ImageFile[],
  readable: readonly number[],
  fractions: { readonly validation: number; readonly test: number },
  random: Random,
): Readonly<Record<SplitName, readonly number[]>> {
  const of = (split: SplitName) => readable.filter((index) => files[index]?.split === split);
  const fixed = { validation: of("validation"), test: of("test") };
  const open = readable.filter((index) => (files[index]?.split ?? "train") === "train");
  const drawn = randomSplit(
    open.length,
    {
      validation: fixed.validation.length > 0 ? 0 : fractions.validation,
      test: fixed.test.length > 0 ? 0 : fractions.test,
    },
    random,
  );
  const pick = (places: Uint32Array) => Array.from(places, (place) => open[place] ?? 0);
  return {
    train: pick(drawn.train),
    validation: fixed.validation.length > 0 ? fixed.validation : pick(drawn.validation),
    test: fixed.test.length > 0 ? fixed.test : pick(drawn.test),
  };
}
