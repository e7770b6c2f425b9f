import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { readdir, realpath, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { FileError } from "../../errors.ts";
import { cacheFolder } from "../files/cache.node.ts";
import { type FileKind, makeFolder, readRegularFile, writeFileAtomic } from "../files/files.node.ts";

// Decoded images of a folder, kept in the user's own folder for caches: one file a folder and format, with the size and times of every file
// that an image came from. What has changed since is decoded again.

/** Fewer images are decoded faster than a cache of them is looked after. */
export const LEAST_CACHED = 256;

/** Bytes of one file of the cache, and of all together, at most. */
const MOST = { file: 2 ** 30, all: 2 ** 31 } as const;

/** The beginning of such a file, with the version of its format. */
const MAGIC = "EIDOSIM2";

const CACHED: FileKind = { what: "decoded images", limit: MOST.file };

/** The state of a file: whatever changes its contents changes one of these. */
export interface FileState {
  readonly bytes: number;
  /** Of the contents, and of the entry itself, in milliseconds. */
  readonly modified: number;
  readonly changed: number;
}

/** What tells the entries of one folder and format from all others. */
export interface CacheKey {
  readonly folder: string;
  readonly size: number;
  readonly channels: number;
  /** Bits that are used of images of 16 bits; undefined: all. */
  readonly bits?: number | undefined;
}

/** Decoded images by the names of their files; of those that cannot be read nothing is kept. */
export interface DecodedImages {
  /** The bytes of an image whose file is in this state, and whether that has 16 bits; undefined where they are not known. */
  get(name: string, state: FileState): { readonly pixels: Uint8Array; readonly deep: boolean } | undefined;
}

/** One image to be kept. */
export interface DecodedImage {
  readonly name: string;
  readonly state: FileState;
  readonly pixels: Uint8Array;
  /** Whether the file has 16 bits. */
  readonly deep: boolean;
}

const headerSchema = z.strictObject({
  folder: z.string(),
  size: z.int().positive(),
  channels: z.int().positive(),
  bits: z.int().positive().optional(),
  digest: z.string().length(64),
  names: z.array(z.string()),
  states: z.array(z.tuple([z.number(), z.number(), z.number()])),
  /** Positions of images of 16 bits. */
  deep: z.array(z.int().nonnegative()),
});

const imagesFolder = (): string => join(cacheFolder(), "images");

/** Where the images of a folder in a format are kept. */
async function placeOf({ folder, size, channels, bits }: CacheKey): Promise<string> {
  const real = await realpath(folder);
  const name = createHash("sha256")
    .update(JSON.stringify([real, size, channels, bits ?? null]))
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
    const { names, states, digest, size, channels, bits, deep } = headerSchema.parse(JSON.parse(text));
    const pixels = file.subarray(begin);
    const length = size * size * channels;
    const isSameFormat = size === key.size && channels === key.channels && bits === key.bits;
    const isSound = isSameFormat && names.length === states.length;
    if (!isSound || pixels.length !== names.length * length || sha256(pixels) !== digest) return NONE;
    // The oldest go first when there are too many.
    await utimes(path, new Date(), new Date());
    const ofDeep = new Set(deep);
    const positions = new Map(names.map((name, i) => [name, i]));
    return {
      get(name, { bytes, modified, changed }) {
        const position = positions.get(name);
        const known = position === undefined ? undefined : states[position];
        if (position === undefined || known === undefined) return undefined;
        const isSame = known[0] === bytes && known[1] === modified && known[2] === changed;
        if (!isSame) return undefined;
        const own = pixels.subarray(position * length, (position + 1) * length);
        return { pixels: own, deep: ofDeep.has(position) };
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
  const header = JSON.stringify({
    folder: key.folder,
    size: key.size,
    channels: key.channels,
    ...(key.bits !== undefined && { bits: key.bits }),
    digest: sha256(pixels),
    names: images.map(({ name }) => name),
    deep: images.flatMap(({ deep }, i) => (deep ? [i] : [])),
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
