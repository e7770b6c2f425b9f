import { open, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { DataError } from "../../../errors.ts";
import { fileError, listFolder, readBytes } from "../../files/files.node.ts";
import { type SplitName, splitNamed } from "../../sources/data-set.ts";
import { splitOfName } from "../check.ts";
import { reasonOf } from "../image.node.ts";

/** Deeper folders are not looked into; links may lead in circles. */
const DEEPEST = 8;

const IMAGE = /\.(png|jpe?g|webp|gif|tiff?|avif|bmp)$/i;

/** The files of a data set, by their paths below its root, with `/` between folders. */
export interface DetectionFiles {
  readonly root: string;
  /** All of them, in order of names. */
  readonly all: readonly string[];
  /** Finds an image by the name that annotations give it. */
  readonly images: ImageIndex;
}

/** Lists what is below a folder; links are followed, hidden files left out. @throws DataError, FileError */
export async function listTree(root: string): Promise<DetectionFiles> {
  const all: string[] = [];
  const walk = async (folder: string, depth: number): Promise<void> => {
    for (const entry of await listFolder(folder)) {
      const path = join(folder, entry.name);
      const isFolder =
        entry.isDirectory() ||
        (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isDirectory() === true);
      if (!isFolder) all.push(withSlashes(relative(root, path)));
      else if (depth < DEEPEST) await walk(path, depth + 1);
    }
  };
  await walk(root, 0);
  return { root, all, images: new ImageIndex(root, all.filter(isImagePath)) };
}

export const isImagePath = (path: string): boolean => IMAGE.test(path);

function withSlashes(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

/** A path without its extension. */
export function stemOf(path: string): string {
  return path.replace(/\.[^./]*$/, "");
}

/** The last part of a path of any system. */
export function fileNameOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
}

/** The folder of a path below a root, ending in `/`; empty for the root itself. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** The split that a folder above a file is named after. */
export function splitOfFolders(path: string): SplitName | undefined {
  const folders = path.split("/").slice(0, -1);
  return folders.map((folder) => splitNamed(folder.replace(/\d+$/, ""))).find((split) => split !== undefined);
}

/** The split that a file of annotations is for: that of its folders, or else one that its name contains. */
export function splitOfPath(path: string): SplitName | undefined {
  return splitOfFolders(path) ?? splitOfName(stemOf(fileNameOf(path)));
}

/** The images below a root: finds one by what annotations call it. */
class ImageIndex {
  readonly paths: ReadonlySet<string>;
  private readonly root: string;
  private readonly byName = new Map<string, string[]>();
  private readonly byStem = new Map<string, string>();

  constructor(root: string, paths: readonly string[]) {
    this.root = root;
    this.paths = new Set(paths);
    for (const path of paths) {
      const name = fileNameOf(path);
      const same = this.byName.get(name);
      if (same === undefined) this.byName.set(name, [path]);
      else same.push(path);
      if (!this.byStem.has(stemOf(path))) this.byStem.set(stemOf(path), path);
    }
  }

  /**
   * The path below the root of an image that annotations call `name`: in one of the folders, in order, or else the only image
   * of that file name. Where there is none it is the path in the first folder, of a file that is not there.
   * @param folders each ending in `/`, or empty for the root
   */
  find(name: string, folders: readonly string[]): string {
    if (isAbsolute(name)) return this.findAbsolute(name, folders);
    const plain = name.replaceAll("\\", "/").replace(/^(\.\/)+/, "");
    for (const folder of folders) {
      const path = withSlashes(join(folder, plain));
      if (this.paths.has(path)) return path;
    }
    const same = this.byName.get(fileNameOf(plain)) ?? [];
    return same.length === 1 ? (same[0] ?? plain) : withSlashes(join(folders[0] ?? "", plain));
  }

  /** A path of this machine, or of the one where the images were marked: then the file name counts. */
  private findAbsolute(name: string, folders: readonly string[]): string {
    const below = withSlashes(relative(this.root, name));
    if (this.paths.has(below)) return below;
    return this.find(fileNameOf(name), folders);
  }

  /** The image of that path, whatever its extension. */
  withStem(stem: string): string | undefined {
    return this.byStem.get(stem);
  }
}

/** The text of a file in UTF-8. @throws DataError where it is no such text, or there is no such file; FileError */
export async function readText(path: string, name = path): Promise<string> {
  const bytes = await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new DataError(`${name}: not a text in UTF-8; write it again in that encoding`);
  }
}

/** What a file begins with, for a look at what it may be. @throws FileError where it cannot be read */
export async function readHead(path: string): Promise<{ readonly text: string; readonly size: number }> {
  try {
    const file = await open(path);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
      return { text: buffer.toString("utf8", 0, bytesRead), size: (await file.stat()).size };
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, "read", path);
  }
}

/** The lines of a text that are not empty. */
export function linesOf(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The names in a file `classes.txt` at the root, a line each; undefined where there is none. @throws DataError */
export async function readClassList({ root, all }: DetectionFiles): Promise<readonly string[] | undefined> {
  const file = all.find((path) => /^_?classes\.txt$/.test(path));
  return file === undefined ? undefined : linesOf(await readText(join(root, file), file));
}

/** The root of the data set that a file of annotations belongs to: its folder, or that above a folder `annotations`. */
export function rootOfFile(path: string): string {
  const folder = dirname(path);
  return /^annotations$/i.test(fileNameOf(folder)) ? dirname(folder) : folder;
}

/** A file that holds JSON, and what it holds. */
export interface JsonFile {
  /** Path below the root of the data set. */
  readonly file: string;
  readonly value: unknown;
}

/** Reads a file of JSON. @throws DataError where it is none */
async function readJson(root: string, file: string): Promise<JsonFile> {
  const text = await readText(join(root, file), file);
  try {
    return { file, value: JSON.parse(text) };
  } catch (error) {
    throw new DataError(`${file}: not valid JSON (${reasonOf(error)})`, { cause: error });
  }
}

/** A larger file is read only where its beginning is that of annotations, in bytes. */
const SMALL = 16e6;

async function mayBeAnnotations(path: string): Promise<boolean> {
  const { text, size } = await readHead(path);
  return (
    size < SMALL ||
    /^\s*(\{\s*"(info|licenses|images|annotations|categories|type)"|\[\s*\{\s*"(image|annotations)")/.test(
      text,
    )
  );
}

/**
 * The JSON files in which annotations may be: at the root, in `annotations`, or in a folder beside images; one that does not
 * parse is left out unless it is named as annotations are.
 * @throws DataError
 */
export async function findJson({ root, all }: DetectionFiles): Promise<readonly JsonFile[]> {
  const found: JsonFile[] = [];
  for (const file of all) {
    if (!/^([^/]+\/){0,2}[^/]+\.json$/i.test(file) || !(await mayBeAnnotations(join(root, file)))) continue;
    try {
      found.push(await readJson(root, file));
    } catch (error) {
      if (/annotations|instances/i.test(file)) throw error;
    }
  }
  return found;
}
