import { randomBytes } from "node:crypto";
import type { Dirent, Stats } from "node:fs";
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { access, lstat, mkdir, mkdtemp, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DataError, FileError } from "../../errors.ts";
import { printable } from "../../printable.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "there is no space left on the disk; free some, or choose another folder",
  EDQUOT: "the disk quota is used up; free some space, or choose another folder",
  EROFS: "the file system is read-only; choose another folder",
  EACCES: "permission is denied; choose another folder, or change its permissions",
  EPERM: "the operation is not permitted; choose another folder, or change its permissions",
  ENOENT: "there is no such file or folder; check the path",
  ENOTDIR: "a part of the path is a file, not a folder; check the path",
  EISDIR: "it is a folder, not a file; give the name of a file",
  EEXIST: "a file of that name is in the way; move it, or choose another path",
  ENOTEMPTY: "a folder that is not empty is in the way; move it, or choose another path",
  EMFILE: "too many files are open; close other programs, or raise the limit (ulimit -n)",
  EFBIG:
    "the file would be larger than is allowed here; raise the limit (ulimit -f), or choose another folder",
  EIO: "the disk reports an input/output error; check the disk",
  ELOOP: "its links lead in a circle; mend them",
  ENAMETOOLONG: "the name is longer than the system allows; shorten it",
  ERR_INVALID_ARG_VALUE: "the path holds a NUL character, which no name of a file may; check the path",
};

/** The name of an error of the file system, such as `ENOENT`; undefined for other errors. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * Turns an error of the file system into one that states what could not be done, where, why and what to do. Errors that
 * are none of the file system's come back as they are.
 * @param action a verb and its object, as in "write the weights"
 */
export function fileError(error: unknown, action: string, path: string): Error {
  const code = errorCode(error);
  if (error instanceof FileError || code === undefined) {
    return error instanceof Error ? error : new FileError(`cannot ${action} ${path}: ${String(error)}`);
  }
  return new FileError(`cannot ${action} ${path}: ${REASONS[code] ?? code}`, { cause: error });
}

/** True where the error is the file system's "no such file or folder". */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR";
}

/**
 * Makes a folder and those above it.
 * @throws the file system's own error
 */
export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(path); await isAbsent(at); at = dirname(at)) missing.unshift(at);
  if (missing.length === 0 && !(await stat(path)).isDirectory()) missing.push(path);
  // One by one: Node's own way tries for ever in /proc, and hides the reason of a read-only file system.
  for (const folder of missing) {
    await mkdir(folder).catch(async (error: unknown) => {
      const isThere = errorCode(error) === "EEXIST" && (await stat(folder)).isDirectory();
      if (!isThere) throw error;
    });
  }
}

/**
 * Finds out before any work that a file or folder cannot be made: what stands above it is no folder, or may not be written to.
 * @param action for the message: `make the folder`, `write`
 * @throws FileError
 */
export async function checkCanMake(path: string, action: string): Promise<void> {
  let above = dirname(resolve(path));
  while ((await isAbsent(above)) && dirname(above) !== above) above = dirname(above);
  try {
    await access(above, constants.W_OK);
    // What is no folder, and some file systems, say so only when they are asked to take something.
    await rm(await mkdtemp(join(above, ".eidos-")), { recursive: true });
  } catch (error) {
    throw fileError(error, action, path);
  }
}

async function isAbsent(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) === undefined;
}

let temporaries = 0;

/** A name beside a file for what is to become it. In a container every process may have the same number, and so may one that left a file behind. */
export function temporaryBeside(path: string): string {
  return `${path}.${process.pid}-${temporaries++}-${randomBytes(4).toString("hex")}.tmp`;
}

/** True for the names of files that are not finished: those of `temporaryBeside`. */
export function isTemporary(name: string): boolean {
  return /\.\d+-\d+(-[0-9a-f]+)?\.tmp(\.csv)?$/.test(name);
}

/**
 * Lets `write` make a file under a temporary name in the same folder and then replaces `path` by it at once: a
 * reader sees the old file or the new one, never half of either, and an interrupted write leaves the old one alone.
 * Missing folders are made.
 * @throws FileError where the file cannot be written; the temporary file is then gone.
 */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  // Where the path is a link, it is what it leads to that is replaced.
  const target = await realpath(path).catch(() => resolve(path));
  const temporary = temporaryBeside(target);
  try {
    const held = await stat(target).catch(() => undefined);
    if (held !== undefined && !held.isFile() && !held.isDirectory()) {
      throw new FileError(`cannot write ${path}: it is a device or a pipe; give the name of a file`);
    }
    await makeFolder(dirname(target));
    await write(temporary);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, "write", path);
  }
}

/**
 * Writes a file in one step, as `replaceFile`, and has it on the disk when it returns. Contents that come in pieces are
 * never in memory as a whole.
 */
export async function writeFileAtomic(
  path: string,
  contents: string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const pieces = typeof contents === "string" || contents instanceof Uint8Array ? [contents] : contents;
  await replaceFile(path, async (temporary) => {
    const file = await open(temporary, "wx");
    try {
      for await (const piece of pieces) {
        await writeAll(file, typeof piece === "string" ? Buffer.from(piece, "utf8") : piece);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten;
  }
}

/** Why a file is not read. */
export type UnreadReason = "missing" | "outside" | "no-path" | "no-file" | "too-large";

/** A file that is not read, and why. */
export class UnreadFileError extends DataError {
  readonly reason: UnreadReason;
  /** The message without the name of the file. */
  readonly detail: string;

  constructor(name: string, reason: UnreadReason, detail: string) {
    super(`${printable(name)}: ${detail}`);
    this.reason = reason;
    this.detail = detail;
  }
}

/** @throws UnreadFileError for a path with a NUL character, which the file system does not take */
export function refuseNul(path: string, name = path): void {
  if (!path.includes("\0")) return;
  throw new UnreadFileError(name, "no-path", "the path has a NUL character, which no path may have");
}

/** An error of the file system while a file was found and read, as one that names it. @param name what messages call it */
export function readingError(error: unknown, path: string, name = path): Error {
  if (error instanceof DataError) return error;
  if (isMissing(error)) {
    return new UnreadFileError(name, "missing", "there is no such file; check the path");
  }
  const code = errorCode(error);
  if (code === "ENAMETOOLONG" || code === "ELOOP") {
    return new UnreadFileError(name, "no-path", REASONS[code] ?? code);
  }
  return fileError(error, "read", path);
}

/** What a kind of file is called, and the most bytes of it that are read. */
export interface FileKind {
  readonly what: string;
  readonly limit: number;
}

/**
 * The kinds of files that are read whole, and how large one may be: its size is checked before any of it is read. Texts stay below the
 * longest string of the engine, 536 MB.
 */
export const FILE_KINDS = {
  image: { what: "an image", limit: 256e6 },
  annotations: { what: "a file of annotations", limit: 512e6 },
  list: { what: "a list of images", limit: 128e6 },
  text: { what: "a small text, as labels of one image and settings are", limit: 16e6 },
  array: { what: "an array", limit: 2 ** 31 - 1 },
} as const satisfies Record<string, FileKind>;

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;

/** What an entry of the file system is that is no regular file; undefined for a regular file. */
function oddity(held: Stats): string | undefined {
  if (held.isFile()) return undefined;
  if (held.isDirectory()) return "a folder";
  if (held.isFIFO()) return "a pipe";
  return held.isSocket() ? "a socket" : "a device";
}

/** @throws UnreadFileError for all but regular files @internal */
export function refuseOddity(held: Stats, name: string): void {
  const odd = oddity(held);
  if (odd !== undefined) throw new UnreadFileError(name, "no-file", `it is ${odd}, not a regular file`);
}

/**
 * Refuses a link to a folder that is called as a file is: a stranger's may lead anywhere, and what is there would be walked through.
 * @param what the name says that it is: "a table"
 * @throws DataError
 */
export async function refuseLinkedFolder(path: string, what: string): Promise<void> {
  if (!(await lstat(path)).isSymbolicLink()) return;
  throw new DataError(`${path}: a link to a folder with the name of ${what}; give the folder itself`);
}

// A pipe that takes the place of a file between the look at it and its opening would block the opening. Windows has no such flags.
const READ_ONLY = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** How a file is read. */
export interface ReadOptions extends FileKind {
  /** What messages call the file (default: its path). */
  readonly name?: string;
  /** Reads so many bytes of its beginning, whatever its size. */
  readonly head?: number;
}

/**
 * The bytes of a regular file, of which the size is checked first. Pipes, sockets and devices, on which a read may last for ever, are
 * never opened.
 * @throws UnreadFileError where there is no such file, it is not a regular one or larger than the limit; FileError where it cannot be read
 */
export async function readRegularFile(
  path: string,
  { what, limit, name = path, head }: ReadOptions,
): Promise<Uint8Array> {
  refuseNul(path, name);
  try {
    refuseOddity(await stat(path), name);
    const file = await open(path, READ_ONLY);
    try {
      const held = await file.stat();
      refuseOddity(held, name);
      if (head === undefined && held.size > limit) {
        const detail = `${megabytes(held.size)}, where ${what} has ${megabytes(limit)} at most`;
        throw new UnreadFileError(name, "too-large", detail);
      }
      return await readUpTo(file, Math.min(held.size, head ?? limit));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw readingError(error, path, name);
  }
}

/** The most that one call reads, in bytes. */
const PIECE = 2 ** 30;

async function readUpTo(file: FileHandle, length: number): Promise<Uint8Array> {
  // The memory is no part of Node's pool, so that it can be sent to another thread.
  const bytes = Buffer.allocUnsafeSlow(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(bytes, read, Math.min(PIECE, length - read), read);
    // The file was cut while it was read.
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return bytes.subarray(0, read);
}

/**
 * The bytes of a regular file: an array, or another kind that is given.
 * @throws DataError where there is no such file, it is no regular one or too large; FileError where it cannot be read.
 */
export function readBytes(path: string, kind: FileKind = FILE_KINDS.array): Promise<Uint8Array> {
  return readRegularFile(path, kind);
}

/**
 * What a folder holds, hidden entries left out, in order of names.
 * @throws DataError where there is no such folder, FileError where it cannot be read.
 * @internal
 */
export async function listFolder(folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const visible = entries.filter((entry) => !entry.name.startsWith("."));
    return visible.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (isMissing(error)) throw new DataError(`${folder}: there is no such folder; check the path`);
    throw fileError(error, "read the folder", folder);
  }
}
