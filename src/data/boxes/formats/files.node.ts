import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { DataError } from "../../../errors.ts";
import { DataFolder, type FolderOptions } from "../../files/data-folder.node.ts";
import { FILE_KINDS, type FileKind } from "../../files/files.node.ts";
import { type SplitName, splitNamed } from "../../sources/data-set.ts";
import { splitOfName } from "../check.ts";
import { reasonOf } from "../image.node.ts";
import type { DetectionFault } from "../set.ts";

/** Deeper folders are not looked into. */
const DEEPEST = 8;

const IMAGE = /\.(png|jpe?g|webp|gif|tiff?|avif|bmp)$/i;

/** Files that a data set may be made of, besides images. */
const ANNOTATIONS = /\.(xml|json|ya?ml|csv|txt)$/i;

/** The files of a data set, by their paths below its root, with `/` between folders. */
export interface DetectionFiles {
  readonly root: string;
  /** The root, where alone files are read. */
  readonly folder: DataFolder;
  /** All of them, in order of names. */
  readonly all: readonly string[];
  /** Finds an image by the name that annotations give it. */
  readonly images: ImageIndex;
  /** The file of annotations that was asked for, where it was one file. */
  readonly given?: string | undefined;
  /** Links that lead out of the root, and folders that were not looked into. */
  readonly leftOut: readonly DetectionFault[];
}

/** Lists what is below a folder; links within it are followed, hidden files left out. @throws DataError, FileError */
export async function listTree(root: string, options: FolderOptions = {}): Promise<DetectionFiles> {
  const folder = await DataFolder.open(root, options);
  const { files, leftOut } = await folder.list(DEEPEST);
  const faults = leftOut
    .filter(({ path, isFolder }) => isFolder || isImagePath(path) || ANNOTATIONS.test(path))
    .map(({ path: file, kind, detail }): DetectionFault => {
      return { kind: kind === "outside" ? "outside" : "not-looked-into", file, detail };
    });
  const images = new ImageIndex(root, files.filter(isImagePath));
  return { root, folder, all: files, images, leftOut: faults };
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

/**
 * The text of a file below the root, in UTF-8.
 * @throws DataError where it is no such text, has a NUL character, is larger than its kind, or there is no such regular file; FileError
 */
export async function readText(
  { folder }: Pick<DetectionFiles, "folder">,
  file: string,
  kind: FileKind = FILE_KINDS.text,
): Promise<string> {
  const bytes = await folder.read(file, kind);
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    throw new DataError(
      `${file}: a NUL character at byte ${zero}; the file is damaged, or is no text in UTF-8`,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new DataError(`${file}: not a text in UTF-8; write it again in that encoding`);
  }
}

/** Bytes of a look at what a file may be. */
const HEAD = 4096;

/** What a file begins with, for a look at what it may be. @throws DataError, FileError where it cannot be read */
export async function readHead({ folder }: Pick<DetectionFiles, "folder">, file: string): Promise<string> {
  return new TextDecoder().decode(await folder.read(file, { ...FILE_KINDS.annotations, head: HEAD }));
}

/** The lines of a text that are not empty. */
export function linesOf(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The names in a file `classes.txt` at the root, a line each; undefined where there is none. @throws DataError */
export async function readClassList(files: DetectionFiles): Promise<readonly string[] | undefined> {
  const file = files.all.find((path) => /^_?classes\.txt$/.test(path));
  return file === undefined ? undefined : linesOf(await readText(files, file));
}

/** The root of the data set that a file of annotations belongs to: its folder, or that above `annotations` or `wider_face_split`. */
export function rootOfFile(path: string): string {
  const folder = dirname(path);
  return /^(annotations|wider_face_split)$/i.test(fileNameOf(folder)) ? dirname(folder) : folder;
}

/** A file that holds JSON, and what it holds. */
export interface JsonFile {
  /** Path below the root of the data set. */
  readonly file: string;
  readonly value: unknown;
}

/** Reads a file of JSON. @throws DataError where it is none */
async function readJson(files: DetectionFiles, file: string): Promise<JsonFile> {
  const text = await readText(files, file, FILE_KINDS.annotations);
  try {
    return { file, value: JSON.parse(text) };
  } catch (error) {
    throw new DataError(`${file}: not valid JSON (${reasonOf(error)})`, { cause: error });
  }
}

/** A larger file is read only where its beginning is that of annotations, in bytes. */
const SMALL = 16e6;

async function mayBeAnnotations(files: DetectionFiles, file: string): Promise<boolean> {
  const size = (await files.folder.look(file))?.size ?? 0;
  return (
    size < SMALL ||
    /^\s*(\{\s*"(info|licenses|images|annotations|categories|type)"|\[\s*\{\s*"(image|annotations)")/.test(
      await readHead(files, file),
    )
  );
}

/**
 * The JSON files in which annotations may be: at the root, in `annotations`, or in a folder beside images; one that cannot be read or
 * does not parse is left out unless it is named as annotations are, or is the one that was asked for.
 * @throws DataError
 */
export async function findJson(files: DetectionFiles): Promise<readonly JsonFile[]> {
  const found: JsonFile[] = [];
  for (const file of files.all) {
    if (!/^([^/]+\/){0,2}[^/]+\.json$/i.test(file)) continue;
    try {
      if (await mayBeAnnotations(files, file)) found.push(await readJson(files, file));
    } catch (error) {
      if (file === files.given || /annotations|instances/i.test(file)) throw error;
    }
  }
  return found;
}
