import { constants } from "node:buffer";
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import { checkMemory, counted, showCount } from "../../memory.ts";
import { Random } from "../../random.ts";
import { elementCount } from "../../tensor/array.ts";
import { binarized } from "../sources/binarize.ts";
import type { DataSet, SplitName } from "../sources/data-set.ts";
import { describeSplits, randomSplit, storedSplit } from "../sources/data-set.ts";
import type { PlainImages } from "../sources/memory.ts";
import type { DataOptions, ResolvedDataOptions } from "../sources/options.ts";
import { resolveDataOptions } from "../sources/options.ts";
import { familiesOf, findTwins, keepTogether, type Twin } from "../sources/twins.ts";
import type { ImageChanges } from "./changes.node.ts";
import { decodeOriginal, lookAtImage } from "./decode.node.ts";
import {
  type DecodedPixels,
  type DecodingProgress,
  decodeAll,
  forEachLimited,
  unreadLines,
} from "./decode-all.node.ts";
import { DepthWatch } from "./depth.node.ts";
import { type AskedFormat, type ImageFormat, Originals } from "./format.ts";
import {
  digestOfFiles,
  type FolderImages,
  IMAGE_EXTENSIONS,
  type ImageFile,
  imagesToRead,
} from "./listing.node.ts";
import { importSharp } from "./sharp.node.ts";

/** An image of a data set, read when it is asked for. Its name is the path within the folder, or where it is in a list: `images[3]`. */
type Item = ImageFile;

/** What images are called, for a data set of them. */
interface Naming {
  readonly name: string;
  /** What messages call where they are. */
  readonly label: string;
  /** What was left out before anything was read. */
  readonly leftOut: FolderImages["leftOut"];
  /** What was decided about folders. */
  readonly notes: FolderImages["notes"];
  /** Puts the names of classes in order. */
  order(classes: readonly string[]): string[];
}

/** How images are read, as far as options say. @throws OptionError for colored images that are to be binarized */
function askedFormat({ size, color, binary = false, bits, valueRange }: ResolvedDataOptions): AskedFormat {
  if (binary && color === "rgb") {
    throw new OptionError("option color: binary images are grey before they are binarized; leave rgb out");
  }
  return { size, channels: color ?? (binary ? "grey" : undefined), reading: { bits, valueRange } };
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
  { name, label, leftOut, notes, order }: Naming,
  items: readonly Omit<Item, "read">[],
  {
    pixels,
    shape,
    broken,
    depths,
    format,
    notes: ofDecoding = [],
    isFolder = false,
  }: {
    pixels: Uint8Array;
    shape: readonly number[];
    broken: ReadonlyMap<number, DataError>;
    depths?: DepthWatch;
    /** How files were decoded. */
    format?: ImageFormat;
    notes?: readonly string[];
    /** Whether they are the files of a folder. */
    isFolder?: boolean;
  },
  options: ResolvedDataOptions,
): DataSet {
  const { splitSeed: seed, validation, test, binary = false, binarize: protocol } = options;
  const readable = [...items.keys()].filter((index) => !broken.has(index));
  const brokenNames = items.flatMap((item, index) => (broken.has(index) ? [item.name] : []));
  const unread = unreadLines(items, broken);
  if (readable.length === 0) {
    const none = items.length === 1 ? "its only image cannot" : `none of its ${items.length} images can`;
    throw new DataError(`${label}: ${none} be read: ${unread.join("; ")}`);
  }
  const named = readable.flatMap((index) => items[index]?.className ?? []);
  const classes = named.length === readable.length ? order([...new Set(named)]) : undefined;
  const numbers = new Map(classes?.map((className, number) => [className, number]));
  const labels = classes && Uint32Array.from(items, ({ className = "" }) => numbers.get(className) ?? 0);
  const twins = twinsOf(pixels, elementCount(shape), readable);
  const parts = divide(items, readable, twins, { validation, test }, new Random(seed).split("images"));
  const told = [...notes, ...twinLines(items, readable, twins, parts)];
  told.push(...(depths?.lines() ?? []));
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
    ...(isFolder && {
      origin: { kind: "folder", rows: Uint32Array.from(parts.train), names: digestOfFiles(items) },
    }),
    ...(classes !== undefined && { classes }),
    ...(format !== undefined && { format: { size: format.size, color: format.channels } }),
    fingerprint: hash.update(pixels).digest("hex").slice(0, 16),
    describe: () => [
      `${label}: ${counted(readable.length, "image")}, ${height} × ${width}, ${channels === 1 ? "grey" : "rgb"}${classes === undefined ? "" : `, ${counted(classes.length, "class", "classes")}`}`,
      `${describeSplits(splits)}${items[0]?.split === undefined ? `, split with seed ${seed}` : ", split by folders"}`,
      ...told,
      ...unread.map((line) => `left out ${line}`),
      ...leftOutLines(leftOut),
      ...ofDecoding,
    ],
  };
  return binary ? binarized(data, { protocol, seed }) : data;
}

/** @throws MemoryError where decoded images would not fit into memory, or into one array */
export function checkDecoded(label: string, count: number, shape: readonly number[]): void {
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
interface Decoding extends FolderHooks {
  /** That the names of images are below. */
  readonly folder?: string;
}

/** Who follows how a folder is opened. */
export interface FolderHooks {
  readonly onProgress?: ((progress: DecodingProgress) => void) | undefined;
  /** Takes what is done to each image, where size and color are given: those of a run's images. */
  readonly changes?: ImageChanges | undefined;
}

/** Images that are looked at before any is decoded, evenly spread over all, and at once. */
const LOOKED = { most: 64, together: 8 } as const;

/** What some of the images are, as many as are needed to choose a format. */
async function lookAtSome(items: readonly Item[], asked: AskedFormat): Promise<Originals> {
  const originals = new Originals();
  const count = Math.min(LOOKED.most, items.length);
  const some = Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]);
  for (let first = 0; first < count && !originals.settles(asked); first += LOOKED.together) {
    await forEachLimited(some.slice(first, first + LOOKED.together), async (item) => {
      if (item === undefined) return;
      try {
        const looking = { colors: asked.channels === undefined, reading: asked.reading };
        originals.see(item.name, await lookAtImage(await item.read(), item.name, looking));
      } catch (error) {
        // Decoding leaves it out and counts it.
        if (!(error instanceof DataError)) throw error;
      }
    });
  }
  return originals;
}

/** What all images that can be read are. */
function originalsOf(items: readonly Item[], originals: DecodedPixels["originals"]): Originals {
  const all = new Originals();
  for (const [index, item] of items.entries()) {
    const original = originals[index];
    if (original !== undefined) all.see(item.name, original);
  }
  return all;
}

/**
 * Images that are decoded once and kept in memory as bytes. Where their size or color is not given, some are looked at first; where others turn
 * out to be unlike them, all are decoded again as what they are together.
 */
async function decodedSet(
  naming: Naming,
  items: readonly Item[],
  options: ResolvedDataOptions,
  { folder, onProgress, changes }: Decoding = {},
): Promise<DataSet> {
  const asked = askedFormat(options);
  const isOpen = asked.size === undefined || asked.channels === undefined;
  const some = isOpen ? await lookAtSome(items, asked) : new Originals();
  const decoded = async (format: ImageFormat) => {
    const shape = [format.channels === "grey" ? 1 : 3, format.size, format.size] as const;
    checkDecoded(naming.label, items.length, shape);
    const depths = new DepthWatch();
    const colors = format.channels === "grey" && (asked.channels === undefined || changes !== undefined);
    const pixels = await decodeAll({
      items,
      shape,
      reading: format,
      colors,
      decode: async (item) => decodeOriginal(await item.read(), format, item.name, colors),
      depths,
      ...(options.cache && { folder }),
      onProgress,
    });
    return { ...pixels, shape, depths, format };
  };
  const first = await decoded(some.choose(asked).format);
  if (!isOpen) {
    const length = elementCount(first.shape);
    for (const [index, original] of first.originals.entries()) {
      if (original === undefined) continue;
      const pixels = first.pixels.subarray(index * length, (index + 1) * length);
      changes?.see(items[index]?.name ?? "", original, first.format, pixels);
    }
    return imageSet(naming, items, { ...first, isFolder: folder !== undefined }, options);
  }
  const all = originalsOf(items, first.originals).withColorsOf(some);
  const { format, note } = all.choose(asked);
  const isSame = format.size === first.format.size && format.channels === first.format.channels;
  const last = isSame ? first : await decoded(format);
  const notes = [...naming.notes, ...(note === undefined ? [] : [note])];
  return imageSet({ ...naming, notes }, items, { ...last, isFolder: folder !== undefined }, options);
}

/**
 * A folder of images, decoded once and kept in memory as bytes (sharp). Where `color` is not given, it is grey where all images are, of one channel
 * or of equal ones; where `size` is not given, it is that of images that are all of one size with sides of 8 to 64 pixels (the shorter side, where
 * they are not square), otherwise 32. `format` of the result is what was chosen, `describe` says why. Regular files below the folder are read, and nothing else. Of a folder of
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
  hooks: FolderHooks = {},
): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  askedFormat(resolved);
  await importSharp();
  const { images, leftOut, notes } = await imagesToRead(folder, resolved);
  if (images.length === 0) {
    const looked = [...IMAGE_EXTENSIONS].join(", ");
    throw new DataError(
      [`${folder}: no images in this folder; looked for ${looked}`, ...leftOutLines(leftOut)].join("; "),
    );
  }
  const order = (classes: readonly string[]) => classes.toSorted((a, b) => (a < b ? -1 : 1));
  const naming = { name: basename(folder), label: folder, leftOut, notes, order };
  return decodedSet(naming, images, resolved, { folder, ...hooks });
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
    notes: [],
    order: (classes) =>
      classes.toSorted((a, b) => (typeof labels?.[0] === "number" ? Number(a) - Number(b) : a < b ? -1 : 1)),
  };
  const itemOf = (index: number): Omit<Item, "read"> => {
    const label = labels?.[index];
    const className = label === undefined ? undefined : String(label);
    return { name: imageName(index), className, split: undefined };
  };
  if (source.form === "encoded") {
    await importSharp();
    const items = source.images.map((bytes, i): Item => ({ ...itemOf(i), read: async () => bytes }));
    return decodedSet(naming, items, resolved);
  }
  const [count, ...shape] = source.shape;
  const items = Array.from({ length: count }, (_, i) => itemOf(i));
  return imageSet(naming, items, { pixels: source.images, shape, broken: new Map() }, resolved);
}

/** What messages and results call an image in memory. */
export function imageName(index: number): string {
  return `images[${index}]`;
}

/** Images of equal pixels, by their positions among those that are readable. */
function twinsOf(pixels: Uint8Array, length: number, readable: readonly number[]): readonly Twin[] {
  return findTwins(
    readable.map((index) => {
      const own = pixels.subarray(index * length, (index + 1) * length);
      return { hash: createHash("sha256").update(own).digest("base64") };
    }),
  );
}

/** Lines for twins, and for those of which one is held out. */
function twinLines(
  items: readonly Pick<Item, "name">[],
  readable: readonly number[],
  twins: readonly Twin[],
  parts: Readonly<Record<SplitName, readonly number[]>>,
): readonly string[] {
  const [first] = twins;
  if (first === undefined) return [];
  const nameAt = (place: number) => items[readable[place] ?? -1]?.name;
  const splitOf = new Map<number, SplitName>();
  for (const name of Object.keys(parts) as SplitName[])
    for (const index of parts[name]) splitOf.set(index, name);
  const splitAt = (place: number) => splitOf.get(readable[place] ?? -1);
  const apart = twins.filter(({ of, twin }) => splitAt(of) !== splitAt(twin));
  const lines = [
    `${twins.length === 1 ? "1 image has" : `${twins.length} images have`} the same pixels as another one: ${nameAt(first.twin)} as ${nameAt(first.of)}${twins.length > 1 ? ", …" : ""}`,
  ];
  const [example] = apart;
  if (example !== undefined) {
    lines.push(
      `${apart.length === 1 ? "1 of them is" : `${apart.length} of them are`} in another split than ${apart.length === 1 ? "its" : "their"} twin, and what is measured there is too good: ${nameAt(example.twin)} in ${splitAt(example.twin)}, ${nameAt(example.of)} in ${splitAt(example.of)}`,
    );
  }
  return lines;
}

/** Follows the folders where they name splits; the rest at random, twins together. */
function divide(
  files: readonly Pick<ImageFile, "split">[],
  readable: readonly number[],
  twins: readonly Twin[],
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
  const places = new Map(open.map((index, place) => [index, place]));
  const placeAt = (position: number) => places.get(readable[position] ?? -1);
  const families = familiesOf(
    open.length,
    twins.flatMap(({ of, twin, equal }) => {
      const [a, b] = [placeAt(of), placeAt(twin)];
      return a === undefined || b === undefined ? [] : [{ of: a, twin: b, equal }];
    }),
  );
  const kept = keepTogether(
    { train: [...drawn.train], validation: [...drawn.validation], test: [...drawn.test] },
    families,
  );
  const pick = (positions: readonly number[]) =>
    positions.map((position) => open[position]).filter((index) => index !== undefined);
  return {
    train: pick(kept.train),
    validation: fixed.validation.length > 0 ? fixed.validation : pick(kept.validation),
    test: fixed.test.length > 0 ? fixed.test : pick(kept.test),
  };
}
