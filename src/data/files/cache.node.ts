import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { z } from "zod";
import {
  FILE_KINDS,
  type FileKind,
  fileError,
  isMissing,
  readRegularFile,
  refuseOddity,
  writeFileAtomic,
} from "./files.node.ts";

// Files that were fetched, each with a small JSON beside it that says where it is from and what it must be. The folder is the user's own.

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The folder of what was fetched: `EIDOS_CACHE`, otherwise `eidos` in the system's folder for caches (`XDG_CACHE_HOME`, `LOCALAPPDATA`, or
 * `~/.cache`).
 */
export function cacheFolder(env: Environment = process.env, platform: string = process.platform): string {
  const { EIDOS_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = env;
  if (own !== undefined && own !== "") return resolve(own);
  if (platform === "win32" && local !== undefined && local !== "") return join(local, "eidos", "cache");
  // A relative one is to be ignored (XDG Base Directory Specification 0.8).
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "eidos");
  return join(homedir(), ".cache", "eidos");
}

/** Most characters of a name that come from an address. */
const READABLE = 60;

/**
 * The name that a file has in the cache: the last part of its address with what every file system takes, between them a checksum of the whole
 * address, so that no two addresses share one.
 */
export function cacheName(url: string): string {
  const last = URL.canParse(url) ? (new URL(url).pathname.split("/").at(-1) ?? "") : "";
  const plain = last.replace(/[^A-Za-z0-9_.-]+/g, "-");
  const [, stem = "", extension = ""] = /^(.*?)((?:\.[A-Za-z0-9]{1,12})?)$/.exec(plain) ?? [];
  const readable = stem.replace(/^[.-]+|[.-]+$/g, "").slice(0, READABLE);
  const digest = createHash("sha256").update(bytesOf(url)).digest("hex").slice(0, 20);
  return `weights-${readable === "" ? "file" : readable}-${digest}${extension}`;
}

/** UTF-8 has no bytes for halves of surrogate pairs: a text with some is told from others by its UTF-16 units. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text);
  return bytes.toString() === text ? bytes : Buffer.from(text, "utf16le");
}

const digest = z.string().regex(/^[0-9a-f]{64}$/);

const record = z.object({
  url: z.string().max(4000),
  sha256: digest,
  bytes: z.int().min(0).max(FILE_KINDS.array.limit),
  /** When it was fetched. */
  fetched: z.string().max(100),
  etag: z.string().max(1000).optional(),
  /** The commit that a branch or tag of the hub stood for then. */
  revision: z.string().max(200).optional(),
});

/** What is known of a file in the cache. */
export type CacheRecord = Readonly<z.output<typeof record>>;

/** The files that belong to an address. */
export interface CachePlace {
  /** The file itself. */
  readonly file: string;
  /** Where it is from and what it must be. */
  readonly record: string;
  /** What has come of it so far. */
  readonly part: string;
  /** What that is a part of. */
  readonly partRecord: string;
  /** Who fetches it now. */
  readonly lock: string;
}

/** Where the file behind an address stands in the cache, and what stands beside it. */
export function cachePlace(folder: string, url: string): CachePlace {
  const file = join(folder, cacheName(url));
  return {
    file,
    record: `${file}.json`,
    part: `${file}.part`,
    partRecord: `${file}.part.json`,
    lock: `${file}.lock`,
  };
}

/** A file of the cache as it was found. */
export type CacheEntry =
  | { readonly kind: "none" }
  | { readonly kind: "sound"; readonly record: CacheRecord }
  /** Its bytes are not those that were fetched, or nothing says what they must be. */
  | { readonly kind: "changed" };

/**
 * Looks at a file of the cache, whose bytes are compared with its checksum.
 * @throws FileError where it cannot be read
 */
export async function cacheEntry({ file, record: path }: CachePlace): Promise<CacheEntry> {
  const found = await sizeOf(file);
  if (found === undefined) return { kind: "none" };
  const parsed = record.safeParse(await readJson(path));
  if (!parsed.success || found !== parsed.data.bytes) return { kind: "changed" };
  return (await sha256Of(file)) === parsed.data.sha256
    ? { kind: "sound", record: parsed.data }
    : { kind: "changed" };
}

/** Writes what is known of a cached file beside it, whole or not at all. @throws FileError */
export async function writeRecord(path: string, contents: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(contents, null, 2)}\n`);
}

/** A small JSON; undefined where there is none, or it is damaged. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(await readRegularFile(path, RECORD)));
  } catch {
    return undefined;
  }
}

const RECORD: FileKind = { what: "a record of the cache", limit: 100_000 };

/** The size of a regular file; undefined where there is none. @throws DataError where it is no regular file; FileError */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const held = await stat(path);
    refuseOddity(held, path);
    return held.size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fileError(error, "read", path);
  }
}

/** The SHA-256 of a file's bytes, in hexadecimal digits. @throws FileError */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(piece);
  } catch (error) {
    throw fileError(error, "read", path);
  }
  return hash.digest("hex");
}
