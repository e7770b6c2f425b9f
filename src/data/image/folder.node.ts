import { constants } from "node:buffer";
import { createHash } from "node:crypto";
import { basename, extname, join } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { checkMemory, showCount } from "../../memory.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { Random } from "../../random.ts";
import { elementCount } from "../../tensor/array.ts";
import { DataFolder, type FolderOptions } from "../files/data-folder.node.ts";
import { FILE_KINDS, readRegularFile } from "../files/files.node.ts";
import { binarized } from "../sources/binarize.ts";
import type { DataSet, SplitName } from "../sources/data-set.ts";
import { describeSplits, randomSplit, splitNamed, storedSplit } from "../sources/data-set.ts";
import type { PlainImages } from "../sources/memory.ts";
import type { DataOptions, ResolvedDataOptions } from "../sources/options.ts";
import { resolveDataOptions } from "../sources/options.ts";
import { type DecodingProgress, decodeAll } from "./decode-all.node.ts";
import { decodePlainPng } from "./plain-png.node.ts";
import { importSharp, MOST_PIXELS, refuseDrawing } from "./sharp.node.ts";

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".avif"]);

/** An image file of a folder and where it belongs, as far as its folders show. */
export interface ImageFile {
  /** Path below the folder. */
  readonly name: string;
  readonly className: string | undefined;
  readonly split: SplitName | undefined;
  /** The bytes of the file. @throws DataError where it cannot be read */
  read(): Promise<Uint8Array>;
}

/** The images of a folder. */
export interface FolderImages {
  /** In order of names. */
  readonly images: readonly ImageFile[];
  /** Links to images that lead out of the folder, and folders that are not looked into; with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly detail: string }[];
}

/** How decoded images come out: square, `size` × `size`. */
export interface ImageFormat {
  readonly size: number;
  readonly channels: "grey" | "rgb";
}

/** True for the entry of a folder that has the extension of an image. */
export const isImage = (entry: { readonly name: string; isDirectory(): boolean }): boolean =>
  !entry.isDirectory() && IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase());

const hasImageName = (path: string): boolean => IMAGE_EXTENSIONS.has(extname(path).toLowerCase());

/**
 * Every image below a folder: directly in it, or one class a subfolder (images deeper down belong to that class too), within folders
 * of splits where there is one `train`. Links are followed; one to an image that leads out of the folder is left out unless
 * `followLinks`.
 * @throws DataError where there is no such folder, or a link to a folder leads out: classes and splits are folders
 */
export async function findAllImages(path: string, options: FolderOptions = {}): Promise<FolderImages> {
  const folder = await DataFolder.open(path, options);
  const { files, folders, leftOut } = await folder.list();
  const away = leftOut.find(({ kind, isFolder }) => kind === "outside" && isFolder);
  if (away !== undefined) throw new DataError(`${join(path, away.path)}: ${away.detail}`);
  const parts = new Map(
    folders.flatMap((name) => {
      const split = name.includes("/") ? undefined : splitNamed(name);
      return split === undefined ? [] : [[name, split] as const];
    }),
  );
  const inParts = [...parts.values()].includes("train");
  const images = files.filter(hasImageName).flatMap((name): ImageFile[] => {
    const [first = "", ...rest] = name.split("/").slice(0, -1);
    const split = inParts ? parts.get(first) : undefined;
    if (inParts && split === undefined) return [];
    const className = inParts ? rest[0] : first === "" ? undefined : first;
    return [{ name, className, split, read: () => folder.read(name, FILE_KINDS.image) }];
  });
  return {
    images,
    leftOut: leftOut
      .filter(({ path, isFolder }) => isFolder || hasImageName(path))
      .map(({ path: name, detail }) => ({ name, detail })),
  };
}

/**
 * Decodes one image to `[channels, size, size]` bytes: turned upright by its EXIF data, the central square cut out,
 * resized, transparency laid on white.
 * @param image the path of a file, or its bytes
 * @param name what messages call it (default: the path)
 * @throws DataError naming the file where it is no readable image or larger than the limits, MissingPackageError where sharp is not
 * installed.
 */
export async function decodeImage(
  image: string | Uint8Array,
  { size, channels }: ImageFormat,
  name = typeof image === "string" ? image : "image in memory",
): Promise<Uint8Array> {
  const sharp = await importSharp();
  const planes = channels === "grey" ? 1 : 3;
  // Bytes are decoded and never a path: for a path, the decoder may keep what the file held before.
  const bytesOfFile =
    typeof image === "string" ? await readRegularFile(image, { ...FILE_KINDS.image, name }) : image;
  const plain = plainPixels(bytesOfFile, { size, channels });
  if (plain !== undefined) return plain;
  try {
    const opened = sharp(bytesOfFile, { limitInputPixels: MOST_PIXELS });
    refuseDrawing((await nativeCall(() => opened.metadata())).format);
    const upright = opened.autoOrient().flatten({ background: "white" });
    const square = upright.resize(size, size, { fit: "cover", position: "centre" });
    const colored = channels === "grey" ? square.greyscale() : square.toColorspace("srgb");
    const raw = colored.raw({ depth: "uchar" });
    const { data, info } = await nativeCall(() => raw.toBuffer({ resolveWithObject: true }));
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

/** The pixels of a plain PNG that comes out as it is, channels apart; undefined for every other image. */
function plainPixels(file: Uint8Array, { size, channels }: ImageFormat): Uint8Array | undefined {
  const plain = decodePlainPng(file);
  if (plain === undefined || plain.width !== size || plain.height !== size) return undefined;
  if (channels === "grey") return plain.channels === 1 ? plain.data : undefined;
  const planes = new Uint8Array(3 * size * size);
  for (let pixel = 0; pixel < size * size; pixel++) {
    for (let plane = 0; plane < 3; plane++) {
      const from = plain.channels === 1 ? pixel : 3 * pixel + plane;
      planes[plane * size * size + pixel] = plain.data[from] ?? 0;
    }
  }
  return planes;
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
  /** What was left out before anything was read. */
  readonly leftOut: FolderImages["leftOut"];
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

/** A line that counts what was not looked into, and names the first of it. */
function leftOutLines(leftOut: FolderImages["leftOut"]): readonly string[] {
  const [first] = leftOut;
  return first === undefined
    ? []
    : [`left out ${leftOut.length} not looked into: ${first.name} (${first.detail})`];
}

/** Images of bytes, with classes where all have one. Those that are `broken` are left out. */
function imageSet(
  { name, label, leftOut, order }: Naming,
  items: readonly Omit<Item, "decode">[],
  {
    pixels,
    shape,
    broken,
    notes = [],
  }: {
    pixels: Uint8Array;
    shape: readonly number[];
    broken: ReadonlySet<number>;
    notes?: readonly string[];
  },
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
      ...leftOutLines(leftOut),
      ...notes,
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

/** How images are decoded. */
interface Decoding {
  /** That the names of images are below. */
  readonly folder?: string;
  readonly onProgress?: ((progress: DecodingProgress) => void) | undefined;
}

/** Images that are decoded once and kept in memory as bytes. */
async function decodedSet(
  naming: Naming,
  items: readonly Item[],
  options: ResolvedDataOptions,
  { folder, onProgress }: Decoding = {},
): Promise<DataSet> {
  const format = formatOf(options);
  const shape = [format.channels === "grey" ? 1 : 3, format.size, format.size] as const;
  checkDecoded(naming.label, items.length, shape);
  const decoded = await decodeAll({
    items,
    shape,
    decode: (item) => item.decode(format),
    ...(options.cache && { folder }),
    onProgress,
  });
  return imageSet(naming, items, { ...decoded, shape }, options);
}

/**
 * A folder of images, decoded once and kept in memory as bytes (sharp). Regular files below the folder are read, and nothing else. Of a folder of
 * 256 images or more, decoded bytes are kept in the user's folder for caches, unless the option `cache` is false, and those of files that have
 * not changed are taken from there.
 *
 * Subfolders `train`, `validation` (`val`, `valid`) and `test` fix the split; without a `train` it is random by seed,
 * and a missing validation or test part is taken from the training images. Where every image is in a further
 * subfolder, the subfolders are classes. Files that cannot be read are left out: `describe` names them. With `binary`,
 * images are grey and become zeros and ones.
 * @throws DataError where the folder is missing, holds no images, or none can be read; MissingPackageError where sharp
 * is not installed; OptionError for bad options.
 */
export async function openImageFolder(
  folder: string,
  options: DataOptions = {},
  onProgress?: (progress: DecodingProgress) => void,
): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  formatOf(resolved);
  await importSharp();
  const { images, leftOut } = await findAllImages(folder, resolved);
  if (images.length === 0) {
    const looked = [...IMAGE_EXTENSIONS].join(", ");
    throw new DataError(
      [`${folder}: no images in this folder; looked for ${looked}`, ...leftOutLines(leftOut)].join("; "),
    );
  }
  const items = images.map(
    ({ name, className, split, read }): Item => ({
      name,
      className,
      split,
      decode: async (format) => decodeImage(await read(), format, name),
    }),
  );
  const order = (classes: readonly string[]) => classes.toSorted((a, b) => (a < b ? -1 : 1));
  const naming = { name: basename(folder), label: folder, leftOut, order };
  return decodedSet(naming, items, resolved, { folder, onProgress });
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
    leftOut: [],
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
