import { constants } from "node:buffer";
import { createHash } from "node:crypto";
import { basename, extname, join, relative } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { checkMemory, showCount } from "../../memory.ts";
import { Random } from "../../random.ts";
import { elementCount } from "../../tensor/array.ts";
import { listFolder } from "../files/files.node.ts";
import { optional } from "../files/optional.node.ts";
import { binarized } from "../sources/binarize.ts";
import type { DataSet, SplitName } from "../sources/data-set.ts";
import { describeSplits, randomSplit, splitNamed, storedSplit } from "../sources/data-set.ts";
import type { PlainImages } from "../sources/memory.ts";
import type { DataOptions, ResolvedDataOptions } from "../sources/options.ts";
import { resolveDataOptions } from "../sources/options.ts";

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif"]);

/** How many images are decoded at once; sharp has threads of its own. */
const CONCURRENCY = 4;

/** An image file and where it belongs, as far as its folders show. */
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
export const isImage = (entry: { readonly name: string; isDirectory(): boolean }): boolean =>
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
 * Decodes one image to `[channels, size, size]` bytes: turned upright by its EXIF data, the central square cut out,
 * resized, transparency laid on white.
 * @param image the path of a file, or its bytes
 * @param name what messages call it (default: the path)
 * @throws DataError naming the file where it is no readable image, MissingPackageError where sharp is not installed.
 */
export async function decodeImage(
  image: string | Uint8Array,
  { size, channels }: ImageFormat,
  name = typeof image === "string" ? image : "image in memory",
): Promise<Uint8Array> {
  const sharp = await importSharp();
  const planes = channels === "grey" ? 1 : 3;
  try {
    const upright = sharp(image).autoOrient().flatten({ background: "white" });
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
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new DataError(`${name}: not a readable image (${reason})`, { cause: error });
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

/** An image of a data set, decoded when it is asked for. */
interface Item extends Pick<ImageFile, "className" | "split"> {
  /** Its path within the folder, or where it is in a list: `images[3]`. */
  readonly name: string;
  decode(format: ImageFormat): Promise<Uint8Array>;
}

/** What images are called, for a data set of them. */
interface Naming {
  readonly name: string;
  /** What messages call where they are. */
  readonly label: string;
  /** Puts the names of classes in order. */
  order(classes: readonly string[]): string[];
}

/** How images are read. @throws OptionError for colored images that are to be binarized */
function formatOf({ size, color, binary = false }: ResolvedDataOptions): ImageFormat {
  if (binary && color === "rgb") {
    throw new OptionError("option color: binary images are grey before they are binarized; leave rgb out");
  }
  return { size, channels: color ?? (binary ? "grey" : "rgb") };
}

/** Images of bytes, with classes where all have one. Those that are `broken` are left out. */
function imageSet(
  { name, label, order }: Naming,
  items: readonly Omit<Item, "decode">[],
  { pixels, shape, broken }: { pixels: Uint8Array; shape: readonly number[]; broken: ReadonlySet<number> },
  options: ResolvedDataOptions,
): DataSet {
  const { splitSeed: seed, validation, test, binary = false, binarize: protocol } = options;
  const readable = [...items.keys()].filter((index) => !broken.has(index));
  const brokenNames = items.flatMap((item, index) => (broken.has(index) ? [item.name] : []));
  if (readable.length === 0) {
    throw new DataError(
      `${label}: none of its ${items.length} images can be read (${brokenNames.slice(0, 3).join(", ")}${items.length > 3 ? ", …" : ""})`,
    );
  }
  const named = readable.flatMap((index) => items[index]?.className ?? []);
  const classes = named.length === readable.length ? order([...new Set(named)]) : undefined;
  const numbers = new Map(classes?.map((className, number) => [className, number]));
  const labels = classes && Uint32Array.from(items, ({ className = "" }) => numbers.get(className) ?? 0);
  const parts = divide(items, readable, { validation, test }, new Random(seed).split("images"));
  const split = (name: SplitName) => storedSplit(pixels, shape, parts[name], labels);
  const splits = { train: split("train"), validation: split("validation"), test: split("test") };
  const hash = createHash("sha256").update(
    JSON.stringify({ sampleShape: shape, classes, parts, brokenNames }),
  );
  const [channels, height, width] = shape;
  const data: DataSet = {
    name,
    kind: "image",
    sampleShape: shape,
    splits,
    ...(classes !== undefined && { classes }),
    fingerprint: hash.update(pixels).digest("hex").slice(0, 16),
    describe: () => [
      `${label}: ${readable.length} images, ${height} × ${width}, ${channels === 1 ? "grey" : "rgb"}${classes === undefined ? "" : `, ${classes.length} classes`}`,
      `${describeSplits(splits)}${items[0]?.split === undefined ? `, split with seed ${seed}` : ", split by folders"}`,
      ...(brokenNames.length === 0
        ? []
        : [
            `left out ${brokenNames.length} unreadable: ${brokenNames.slice(0, 10).join(", ")}${brokenNames.length > 10 ? ", …" : ""}`,
          ]),
    ],
  };
  return binary ? binarized(data, { protocol, seed }) : data;
}

/** @throws MemoryError where decoded images would not fit into memory, or into one array */
function checkDecoded(label: string, count: number, shape: readonly number[]): void {
  const limit = memoryLimit();
  const largest = { bytes: constants.MAX_LENGTH, source: "one array holds" };
  checkMemory(
    {
      what: `${label}: ${showCount(count)} images of ${shape.join(" × ")} bytes`,
      bytes: count * elementCount(shape),
      instead: "take a smaller size or fewer images",
    },
    largest.bytes < limit.bytes ? largest : limit,
  );
}

/** Images that are decoded once and kept in memory as bytes. */
async function decodedSet(
  naming: Naming,
  items: readonly Item[],
  options: ResolvedDataOptions,
): Promise<DataSet> {
  const format = formatOf(options);
  const shape = [format.channels === "grey" ? 1 : 3, format.size, format.size];
  const length = elementCount(shape);
  checkDecoded(naming.label, items.length, shape);
  const pixels = new Uint8Array(items.length * length);
  const broken = new Set<number>();
  await forEachLimited(items, async (item, index) => {
    try {
      pixels.set(await item.decode(format), index * length);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      broken.add(index);
    }
  });
  return imageSet(naming, items, { pixels, shape, broken }, options);
}

/**
 * A folder of images, decoded once and kept in memory as bytes (sharp).
 *
 * Subfolders `train`, `validation` (`val`, `valid`) and `test` fix the split; without a `train` it is random by seed,
 * and a missing validation or test part is taken from the training images. Where every image is in a further
 * subfolder, the subfolders are classes. Files that cannot be read are left out: `describe` names them. With `binary`,
 * images are grey and become zeros and ones.
 * @throws DataError where the folder is missing, holds no images, or none can be read; MissingPackageError where sharp
 * is not installed; OptionError for bad options.
 */
export async function openImageFolder(folder: string, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  formatOf(resolved);
  await importSharp();
  const files = await findAllImages(folder);
  if (files.length === 0) {
    throw new DataError(
      `${folder}: no images in this folder; looked for ${[...IMAGE_EXTENSIONS].join(", ")}`,
    );
  }
  const items = files.map(
    ({ path, className, split }): Item => ({
      name: relative(folder, path),
      className,
      split,
      decode: (format) => decodeImage(path, format),
    }),
  );
  const order = (classes: readonly string[]) => classes.toSorted((a, b) => (a < b ? -1 : 1));
  return decodedSet({ name: basename(folder), label: folder, order }, items, resolved);
}

/**
 * Images in memory as a data set, as a folder of them is: split at random by seed; labels are the classes, in order of their numbers,
 * or of letters. Pixels are used as they are; the bytes of files are decoded, those that cannot be read left out.
 * @throws DataError where none can be read; MissingPackageError where files are decoded and sharp is not installed; OptionError
 */
export async function openImages(source: PlainImages, options: DataOptions = {}): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const { labels } = source;
  const naming: Naming = {
    name: "images",
    label: "images in memory",
    order: (classes) =>
      classes.toSorted((a, b) => (typeof labels?.[0] === "number" ? Number(a) - Number(b) : a < b ? -1 : 1)),
  };
  const itemOf = (index: number): Omit<Item, "decode"> => {
    const label = labels?.[index];
    const className = label === undefined ? undefined : String(label);
    return { name: imageName(index), className, split: undefined };
  };
  if (source.form === "encoded") {
    await importSharp();
    const items = source.images.map(
      (bytes, i): Item => ({ ...itemOf(i), decode: (format) => decodeImage(bytes, format, imageName(i)) }),
    );
    return decodedSet(naming, items, resolved);
  }
  const [count, ...shape] = source.shape;
  const items = Array.from({ length: count }, (_, i) => itemOf(i));
  return imageSet(naming, items, { pixels: source.images, shape, broken: new Set() }, resolved);
}

/** What messages and results call an image in memory. */
export function imageName(index: number): string {
  return `images[${index}]`;
}

/** Follows the folders where they name splits; the rest at random. */
function divide(
  files: readonly Pick<ImageFile, "split">[],
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
  const pick = (positions: Uint32Array) =>
    Array.from(positions, (position) => open[position]).filter((index) => index !== undefined);
  return {
    train: pick(drawn.train),
    validation: fixed.validation.length > 0 ? fixed.validation : pick(drawn.validation),
    test: fixed.test.length > 0 ? fixed.test : pick(drawn.test),
  };
}
