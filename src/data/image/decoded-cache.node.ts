import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { readdir, realpath, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { FileError } from "../../errors.ts";
import { cacheFolder } from "../files/cache.node.ts";
import { type FileKind, makeFolder, readRegularFile, writeFileAtomic } from "../files/files.node.ts";
import type { Decoded } from "./decode.node.ts";
import type { PixelValues, ValueReading } from "./format.ts";

// Decoded images of a folder, kept in the user's own folder for caches: one file a folder and format, with the size and times of every file
// that an image came from. What has changed since is decoded again.

/** Fewer images are decoded faster than a cache of them is looked after. */
export const LEAST_CACHED = 256;

/** Bytes of one file of the cache, and of all together, at most. */
const MOST = { file: 2 ** 30, all: 2 ** 31 } as const;

/** The beginning of such a file, with the version of its format. */
const MAGIC = "EIDOSIM4";

const CACHED: FileKind = { what: "decoded images", limit: MOST.file };

/** The state of a file: whatever changes its contents changes one of these. */
export interface FileState {
  readonly bytes: number;
  /** Of the contents, and of the entry itself, in milliseconds. */
  readonly modified: number;
  readonly changed: number;
}

/** What tells the entries of one folder and format from all others. */
export interface CacheKey extends ValueReading {
  readonly folder: string;
  readonly size: number;
  readonly channels: number;
}

/** Decoded images by the names of their files; of those that cannot be read nothing is kept. */
export interface DecodedImages {
  /** The bytes of an image whose file is in this state, and what that holds; undefined where they are not known. */
  get(name: string, state: FileState): Decoded | undefined;
}

/** One image to be kept. */
export interface DecodedImage extends Decoded {
  readonly name: string;
  readonly state: FileState;
}

const positions = () => z.array(z.int().nonnegative());

/** Values of pixels that are written down: those that are no bytes. */
const VALUES = ["deep", "unit", "wide", "ranged", "clipped"] as const satisfies readonly PixelValues[];

const headerSchema = z.strictObject({
  folder: z.string(),
  size: z.int().positive(),
  channels: z.int().positive(),
  reading: z.strictObject({
    bits: z.int().positive().optional(),
    valueRange: z.array(z.number()).length(2).optional(),
  }),
  digest: z.string().length(64),
  names: z.array(z.string()),
  states: z.array(z.tuple([z.number(), z.number(), z.number()])),
  /** Widths and heights of the files. */
  sides: z.array(z.tuple([z.int().positive(), z.int().positive()])),
  /** Positions of images by their values; of colored ones; of those whose channels were not compared. */
  values: z.partialRecord(z.enum(VALUES), positions()),
  colored: positions(),
  uncompared: positions(),
});

const readingOf = ({ bits, valueRange }: CacheKey) => ({
  ...(bits !== undefined && { bits }),
  ...(valueRange !== undefined && { valueRange: [...valueRange] }),
});

const imagesFolder = (): string => join(cacheFolder(), "images");

/** Where the images of a folder in a format are kept. */
async function placeOf({ folder, size, channels, bits, valueRange }: CacheKey): Promise<string> {
  const real = await realpath(folder);
  const name = createHash("sha256")
    .update(JSON.stringify([real, size, channels, bits ?? null, valueRange ?? null]))
    .digest("hex");
  return join(imagesFolder(), `${name.slice(0, 32)}.bin`);
}

/** The state of a file; undefined where there is none. Tens of thousands are asked for, which takes seconds where each is a promise. */
export function fileState(path: string): FileState | undefined {
  const held = statSync(path, { throwIfNoEntry: false });
  return held && { bytes: held.size, modified: held.mtimeMs, changed: held.ctimeMs };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const NONE: DecodedImages = { get: () => undefined };

/** What is kept of a folder; nothing where that is missing or damaged. */
export async function readDecoded(key: CacheKey): Promise<DecodedImages> {
  try {
    const path = await placeOf(key);
    const file = await readRegularFile(path, CACHED);
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    if (Buffer.from(file.subarray(0, MAGIC.length)).toString("latin1") !== MAGIC) return NONE;
    const begin = MAGIC.length + 4 + view.getUint32(MAGIC.length, true);
    const text = new TextDecoder().decode(file.subarray(MAGIC.length + 4, begin));
    const { names, states, digest, size, channels, reading, ...of } = headerSchema.parse(JSON.parse(text));
    const pixels = file.subarray(begin);
    const length = size * size * channels;
    const isSameReading = JSON.stringify(reading) === JSON.stringify(readingOf(key));
    const isSameFormat = size === key.size && channels === key.channels && isSameReading;
    const isSound = isSameFormat && names.length === states.length && names.length === of.sides.length;
    if (!isSound || pixels.length !== names.length * length || sha256(pixels) !== digest) return NONE;
    // The oldest go first when there are too many.
    await utimes(path, new Date(), new Date());
    const [colored, uncompared] = [new Set(of.colored), new Set(of.uncompared)];
    const values = new Map<number, PixelValues>(
      VALUES.flatMap((kind) => (of.values[kind] ?? []).map((position) => [position, kind] as const)),
    );
    const positions = new Map(names.map((name, i) => [name, i]));
    return {
      get(name, { bytes, modified, changed }) {
        const position = positions.get(name);
        const known = position === undefined ? undefined : states[position];
        const [width, height] = of.sides[position ?? -1] ?? [];
        if (position === undefined || known === undefined) return undefined;
        if (width === undefined || height === undefined) return undefined;
        const isSame = known[0] === bytes && known[1] === modified && known[2] === changed;
        if (!isSame) return undefined;
        const own = pixels.subarray(position * length, (position + 1) * length);
        const original = {
          width,
          height,
          values: values.get(position) ?? "bytes",
          colored: uncompared.has(position) ? undefined : colored.has(position),
        };
        return { pixels: own, original };
      },
    };
  } catch {
    return NONE;
  }
}

/**
 * Keeps the images of a folder, in place of what was kept of it before, and removes the oldest files of the cache where there are too many.
 * @returns why they are not kept; undefined where they are
 */
export async function writeDecoded(
  key: CacheKey,
  images: readonly DecodedImage[],
): Promise<string | undefined> {
  const pixels = Buffer.concat(images.map((image) => image.pixels));
  const where = (holds: (original: DecodedImage["original"]) => boolean) =>
    images.flatMap(({ original }, i) => (holds(original) ? [i] : []));
  const header = JSON.stringify({
    folder: key.folder,
    size: key.size,
    channels: key.channels,
    reading: readingOf(key),
    digest: sha256(pixels),
    names: images.map(({ name }) => name),
    sides: images.map(({ original: { width, height } }): [number, number] => [width, height]),
    values: Object.fromEntries(VALUES.map((kind) => [kind, where(({ values }) => values === kind)])),
    colored: where(({ colored }) => colored === true),
    uncompared: where(({ colored }) => colored === undefined),
    states: images.map(({ state: { bytes, modified, changed } }) => [bytes, modified, changed]),
  } satisfies z.input<typeof headerSchema>);
  const text = Buffer.from(header);
  const total = MAGIC.length + 4 + text.length + pixels.length;
  if (total > MOST.file) return `they are more than ${MOST.file / 2 ** 30} GB`;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  try {
    await makeFolder(imagesFolder());
    await makeRoom(MOST.all - total);
    const file = Buffer.concat([Buffer.from(MAGIC, "latin1"), length, text, pixels]);
    await writeFileAtomic(await placeOf(key), file);
    return undefined;
  } catch (error) {
    if (error instanceof FileError || (error instanceof Error && "code" in error)) return error.message;
    throw error;
  }
}

/** Removes the files that were not used for the longest time until the others take no more than so many bytes. */
async function makeRoom(most: number): Promise<void> {
  const names = (await readdir(imagesFolder())).filter((name) => /^[0-9a-f]{32}\.bin$/.test(name));
  const files = names.map((name) => {
    const path = join(imagesFolder(), name);
    const { bytes = 0, modified = 0 } = fileState(path) ?? {};
    return { path, bytes, modified };
  });
  let kept = 0;
  for (const { path, bytes } of files.toSorted((a, b) => b.modified - a.modified)) {
    kept += bytes;
    if (kept > most) await rm(path, { force: true });
  }
}
