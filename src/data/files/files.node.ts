import type { Dirent } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DataError, FileError } from "../../errors.ts";

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
  ERR_INVALID_ARG_VALUE: "it is no path, as one with a NUL character in it; correct it",
  EIO: "the disk reports an input/output error; check the disk",
};

function errorCode(error: unknown): string | undefined {
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
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    // Node reports that of a read-only file system, too; making the first missing folder alone shows the reason.
    let missing = resolve(path);
    while (await isAbsent(dirname(missing))) missing = dirname(missing);
    await mkdir(missing);
    throw error;
  }
}

async function isAbsent(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) === undefined;
}

let temporaries = 0;

/** True for the names that `replaceFile` gives to files it has not finished. */
export function isTemporary(name: string): boolean {
  return /\.\d+-\d+\.tmp(\.csv)?$/.test(name);
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
  const temporary = `${target}.${process.pid}-${temporaries++}.tmp`;
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

/**
 * The bytes of a file.
 * @throws DataError where there is no such file, FileError where it cannot be read.
 */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) throw new DataError(`${path}: there is no such file; check the path`);
    throw fileError(error, "read", path);
  }
}

/**
 * What a folder holds, hidden entries left out, in order of names.
 * @throws DataError where there is no such folder, FileError where it cannot be read.
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
