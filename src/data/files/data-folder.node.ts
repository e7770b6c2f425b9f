import type { Stats } from "node:fs";
import { readdir, readlink, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, parse, relative, resolve, sep } from "node:path";
import { DataError, FileError } from "../../errors.ts";
import {
  type FileKind,
  isMissing,
  listFolder,
  type ReadOptions,
  readingError,
  readRegularFile,
  refuseNul,
  UnreadFileError,
} from "./files.node.ts";

/** What is not looked into below a folder, and why. */
export interface LeftOut {
  /** Path below the folder, with `/` between folders. */
  readonly path: string;
  readonly isFolder: boolean;
  /** A link that leads out of the folder; a link to a folder above it; a folder that is too deep. */
  readonly kind: "outside" | "circle" | "deep";
  readonly detail: string;
}

/** What is below a folder, by paths below it with `/` between folders, in order of names; hidden entries are left out. */
export interface FolderListing {
  readonly files: readonly string[];
  readonly folders: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

/** How the folder of a data set is read. */
export interface FolderOptions {
  /** Follows links that lead out of the folder, too (default: false). */
  readonly followLinks?: boolean | undefined;
  /** A file in the folder that the caller named: it is read wherever its link leads. */
  readonly named?: string | undefined;
}

/** What is said of a link that leads out. */
const LINKS_ADVICE =
  "copy what it leads to, or follow links out of the folder (option followLinks, --follow-links)";

/** The most entries below a folder, and the most links to folders that are followed. */
const MOST_ENTRIES = 10_000_000;
const MOST_LINKED_FOLDERS = 50_000;

/** Folders this deep are not looked into. */
const DEEPEST = 32;

function withSlashes(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

/** True where a path is a folder, or below it, by its name alone. */
export function isWithin(folder: string, path: string): boolean {
  const below = relative(folder, path);
  return below !== ".." && !below.startsWith(`..${sep}`) && !isAbsolute(below);
}

/**
 * A folder that eidos has made is read and written within itself: a stranger's may hold links that lead to one's own files.
 * @param folders in it in which files are read or written, with all that is below them
 * @param what it is, for the message: `run`
 * @throws FileError naming a link that leads out
 */
export async function refuseLinksOut(path: string, folders: readonly string[], what: string): Promise<void> {
  const root = await realpath(path).catch(() => undefined);
  if (root === undefined) return;
  const look = async (below: string, deepest: number): Promise<void> => {
    const entries = await readdir(join(path, below), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const here = join(below, entry.name);
      if (entry.isDirectory() && (deepest > 0 || folders.includes(here)))
        await look(here, deepest > 0 ? deepest - 1 : DEEPEST);
      if (!entry.isSymbolicLink()) continue;
      const link = join(path, here);
      const real = await realpath(link).catch(async () => resolve(root, below, await readlink(link)));
      if (isWithin(root, real)) continue;
      throw new FileError(
        `${link} is a link that leads out of the ${what}, to ${real}; a ${what} is read and written within its folder alone: copy the file here, or remove the link`,
      );
    }
  };
  await look("", 0);
}

/**
 * A path below a folder for a name that comes from elsewhere: its parts without those that lead upwards, nor a drive or a root, nor
 * control characters.
 */
export function pathBelow(name: string): string {
  const parts = name
    .replaceAll("\\", "/")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
    .replaceAll(/[\0-\x1f\x7f]/g, "_")
    .replace(/^[A-Za-z]:(?=\/|$)/, "")
    .split("/")
    .filter((part) => part !== "" && part !== "." && part !== "..");
  return parts.length === 0 ? "unnamed" : parts.join("/");
}

/**
 * The folder of a data set. What its files name is read where it is a regular file below this folder, and nowhere else: names that
 * lead out of it are refused, and links that do so unless they are to be followed.
 */
export class DataFolder {
  /** The path as it was given. */
  readonly path: string;
  /** Where it is. */
  readonly real: string;
  /** Whether links that lead out are followed. */
  readonly followLinks: boolean;
  /** Where the file is that the caller named. */
  private readonly named: string | undefined;

  private constructor(path: string, real: string, followLinks: boolean, named: string | undefined) {
    this.path = path;
    this.real = real;
    this.followLinks = followLinks;
    this.named = named;
  }

  /** @throws DataError where there is no such folder, or it is all of the file system; FileError */
  static async open(path: string, { followLinks = false, named }: FolderOptions = {}): Promise<DataFolder> {
    refuseNul(path);
    const real = await realpath(path).catch((error: unknown) => {
      if (isMissing(error)) throw new DataError(`${path}: there is no such folder; check the path`);
      throw readingError(error, path);
    });
    if (real === parse(real).root) {
      throw new DataError(`${path}: is all of the file system; name the folder in which the data is`);
    }
    return new DataFolder(path, real, followLinks, named && (await realpath(named).catch(() => undefined)));
  }

  /** True for where links may lead. */
  isOpen(real: string): boolean {
    return isWithin(this.real, real) || real === this.named;
  }

  /** A path below the folder, with `/` between folders, of one that is relative to it or absolute; undefined for one outside. */
  below(path: string): string | undefined {
    for (const root of [resolve(this.path), this.real]) {
      const full = resolve(root, path);
      if (isWithin(root, full)) return withSlashes(relative(root, full));
    }
    return undefined;
  }

  /**
   * Where a file or folder is, by its path below this one.
   * @throws UnreadFileError where it is outside of the folder, by its name or by links, or does not exist
   */
  private async locate(path: string): Promise<string> {
    refuseNul(path);
    const below = isAbsolute(path) ? undefined : this.below(path);
    if (below === undefined) {
      throw new UnreadFileError(path, "outside", `outside of ${this.path}, where nothing is read`);
    }
    const full = join(this.path, below);
    if (this.followLinks) return full;
    const real = await realpath(full).catch((error: unknown) => {
      throw readingError(error, full, path);
    });
    if (this.isOpen(real)) return real;
    throw new UnreadFileError(path, "outside", `a link to ${real}; ${LINKS_ADVICE}`);
  }

  /** The bytes of a file below the folder. @throws UnreadFileError, FileError as `readRegularFile` does */
  async read(path: string, options: FileKind & Pick<ReadOptions, "head">): Promise<Uint8Array> {
    return readRegularFile(await this.locate(path), { ...options, name: path });
  }

  /** What is at a path below the folder; undefined where there is nothing. @throws UnreadFileError for a path outside @internal */
  async look(path: string): Promise<Stats | undefined> {
    try {
      return await stat(await this.locate(path));
    } catch (error) {
      if (isMissing(error) || (error instanceof UnreadFileError && error.reason !== "outside"))
        return undefined;
      throw error;
    }
  }
}

/** Where a link leads, and what is there; undefined for nowhere. */
async function follow(link: string): Promise<{ readonly real: string; readonly held: Stats } | undefined> {
  try {
    const real = await realpath(link);
    return { real, held: await stat(real) };
  } catch {
    return undefined;
  }
}

/**
 * Lists what is below a folder. Who reads what files name, such as `eidos/use`, does without. Links are followed; those that lead out, those that lead in circles and what is deeper than
 * `deepest` folders is left out.
 * @throws DataError where there are too many entries; FileError
 */
export async function listBelow(root: DataFolder, deepest = DEEPEST): Promise<FolderListing> {
  const files: string[] = [];
  const folders: string[] = [];
  const leftOut: LeftOut[] = [];
  let [entries, linked] = [0, 0];
  const tooMany = (most: number, what: string) =>
    new DataError(
      `${root.path}: more than ${most.toLocaleString("en")} ${what}; give a folder with less in it`,
    );
  const walk = async (folder: string, below: string, above: readonly string[]): Promise<void> => {
    const found = await listFolder(folder);
    entries += found.length;
    if (entries > MOST_ENTRIES) throw tooMany(MOST_ENTRIES, "files and folders");
    for (const entry of found) {
      const path = below + entry.name;
      const here = join(folder, entry.name);
      const target = entry.isSymbolicLink() ? await follow(here) : { real: here, held: entry };
      // A link that leads nowhere is listed: it is missing when it is read.
      const isFolder = target?.held.isDirectory() === true;
      if (target !== undefined && !root.followLinks && !root.isOpen(target.real)) {
        const detail = `a link to ${target.real}; ${LINKS_ADVICE}`;
        leftOut.push({ path, isFolder, kind: "outside", detail });
        continue;
      }
      if (target === undefined || !isFolder) {
        files.push(path);
        continue;
      }
      folders.push(path);
      if (above.includes(target.real)) {
        leftOut.push({ path, isFolder, kind: "circle", detail: "a link to a folder that it is in" });
      } else if (above.length > deepest) {
        leftOut.push({ path, isFolder, kind: "deep", detail: `more than ${deepest} folders deep` });
      } else {
        if (entry.isSymbolicLink() && ++linked > MOST_LINKED_FOLDERS) {
          throw tooMany(MOST_LINKED_FOLDERS, "links to folders");
        }
        await walk(target.real, `${path}/`, [...above, target.real]);
      }
    }
  };
  await walk(root.real, "", [root.real]);
  return { files, folders, leftOut };
}
