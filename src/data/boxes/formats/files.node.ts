import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { append } from "../../../append.ts";
import { DataError } from "../../../errors.ts";
import { DataFolder, type FolderOptions, listBelow } from "../../files/data-folder.node.ts";
import { FILE_KINDS, type FileKind } from "../../files/files.node.ts";
import { type SplitName, splitOfFolder } from "../../sources/data-set.ts";
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
  const { files, leftOut } = await listBelow(folder, DEEPEST);
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
  return folders.map(splitOfFolder).find((split) => split !== undefined);
}

/** The split that a file of annotations is for: that of its folders, or else one that its name contains. */
export function splitOfPath(path: string): SplitName | undefined {
  return splitOfFolders(path) ?? splitOfName(stemOf(fileNameOf(path)));
}

/** A path so that spellings of one name are the same: in any case, with letters and their marks joined, `%20` a space, and `/`. */
function looseKey(path: string): string {
  let plain = path;
  try {
    plain = decodeURIComponent(path);
  } catch {
    // A % that is no code stands for itself.
  }
  return plain.normalize("NFC").replaceAll("\\", "/").toLowerCase();
}

/** The folders of two paths that are the same, in their order from the root on and from the file upwards. */
function sharedFolders(a: readonly string[], b: readonly string[]): number {
  let shared = 0;
  let from = 0;
  for (const folder of a) {
    const at = b.indexOf(folder, from);
    if (at < 0) continue;
    shared++;
    from = at + 1;
  }
  return shared;
}

const foldersOf = (path: string): readonly string[] => path.split("/").slice(0, -1);

/** Paths by each of the folders that they are in. */
function byFolderOf(paths: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const lists = new Map<string, string[]>();
  for (const path of paths) for (const folder of new Set(foldersOf(path))) append(lists, folder, path);
  return lists;
}

/** Images of one name that are all looked at. */
const FEW = 32;

/** The highest score among some paths, and the path that has it where it is the only one. */
function best(
  paths: readonly string[],
  scoreOf: (path: string) => number,
): { readonly score: number; readonly only: string | undefined } {
  let [score, only]: [number, string | undefined] = [Number.NEGATIVE_INFINITY, undefined];
  for (const path of paths) {
    const own = scoreOf(path);
    if (own > score) [score, only] = [own, path];
    else if (own === score) only = undefined;
  }
  return { score, only };
}

/** The images below a root: finds one by what annotations call it. */
class ImageIndex {
  readonly paths: ReadonlySet<string>;
  /** Images that were found by another spelling of their name, and what they were called. */
  readonly respelled = new Map<string, string>();
  private readonly root: string;
  /** Parts of the path of the deepest image. */
  private readonly deepest: number;
  private readonly byName = new Map<string, string[]>();
  private readonly byStem = new Map<string, string>();
  private readonly byNameStem = new Map<string, string[]>();
  /** Of images of one name, those in each folder. */
  private readonly byFolder = new Map<readonly string[], ReadonlyMap<string, readonly string[]>>();
  private loose: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(root: string, paths: readonly string[]) {
    this.root = root;
    this.paths = new Set(paths);
    this.deepest = paths.reduce((most, path) => Math.max(most, path.split("/").length), 0);
    for (const path of paths) {
      append(this.byName, fileNameOf(path), path);
      append(this.byNameStem, stemOf(fileNameOf(path)), path);
      if (!this.byStem.has(stemOf(path))) this.byStem.set(stemOf(path), path);
    }
  }

  /**
   * The path below the root of an image that annotations call `name`: in one of the folders, in order; or else the path that ends as it does,
   * or the only image of that file name; as a last resort the only one by another spelling of the name, which is noted in `respelled`. Where
   * there is none it is the path in the first folder, of a file that is not there.
   * @param folders each ending in `/`, or empty for the root
   */
  find(name: string, folders: readonly string[]): string {
    if (isAbsolute(name)) {
      const below = withSlashes(relative(this.root, name));
      if (this.paths.has(below)) return below;
    }
    const plain = name.replaceAll("\\", "/").replace(/^(\.\/)+/, "");
    const file = fileNameOf(plain);
    const own = isAbsolute(name) ? file : plain;
    for (const folder of folders) {
      const path = withSlashes(join(folder, own));
      if (this.paths.has(path)) return path;
    }
    const parts = plain.split("/");
    // No image is below more folders than the deepest; a name may have any number.
    for (let first = Math.max(1, parts.length - this.deepest); first < parts.length - 1; first++) {
      const path = parts.slice(first).join("/");
      if (this.paths.has(path)) return path;
    }
    const same = this.byName.get(file) ?? [];
    if (same.length === 1 && same[0] !== undefined) return same[0];
    const missing = withSlashes(join(folders[0] ?? "", own));
    // One of several of that name is not guessed.
    if (same.length > 1) return missing;
    const found = this.spelledOtherwise(own, folders);
    if (found === undefined) return missing;
    this.respelled.set(found, name);
    return found;
  }

  private spelledOtherwise(name: string, folders: readonly string[]): string | undefined {
    const keys = this.looseKeys();
    const only = (key: string) => {
      const same = keys.get(key) ?? [];
      return same.length === 1 ? same[0] : undefined;
    };
    for (const ending of ["", "*"]) {
      const key = ending === "" ? looseKey(name) : `${looseKey(stemOf(name))}.*`;
      for (const folder of folders) {
        const found = only(withSlashes(join(looseKey(folder), key)));
        if (found !== undefined) return found;
      }
      const found = only(`*/${fileNameOf(key)}`);
      if (found !== undefined) return found;
    }
    // A name without an extension, as some tools write it.
    const whole = `${looseKey(name)}.*`;
    for (const folder of folders) {
      const found = only(withSlashes(join(looseKey(folder), whole)));
      if (found !== undefined) return found;
    }
    return only(`*/${fileNameOf(whole)}`);
  }

  /** Images by their spellings: the whole path or the file name alone (`*` + `/name`), with their extension or with any (`.*`). */
  private looseKeys(): ReadonlyMap<string, readonly string[]> {
    if (this.loose !== undefined) return this.loose;
    const keys = new Map<string, string[]>();
    for (const path of this.paths) {
      const key = looseKey(path);
      const name = fileNameOf(key);
      for (const each of [key, `${stemOf(key)}.*`, `*/${name}`, `*/${stemOf(name)}.*`]) {
        append(keys, each, path);
      }
    }
    this.loose = keys;
    return keys;
  }

  /** The image of that path, whatever its extension. */
  withStem(stem: string): string | undefined {
    return this.byStem.get(stem);
  }

  /**
   * The image that a file of annotations belongs to by its name: one of the same name beside it, or else in another folder, of several the one
   * that shares most folders with it. Undefined where there is none, or nothing tells which.
   */
  partnerOf(annotations: string): string | undefined {
    const beside = this.byStem.get(stemOf(annotations));
    if (beside !== undefined) return beside;
    const same = this.byNameStem.get(stemOf(fileNameOf(annotations))) ?? [];
    if (same.length <= 1) return same[0];
    const own = foldersOf(annotations);
    const splitOwn = splitOfFolders(annotations);
    const scoreOf = (path: string): number =>
      sharedFolders(own, foldersOf(path)) +
      (splitOwn !== undefined && splitOfFolders(path) === splitOwn ? 0.5 : 0);
    // Where every photo has a folder of its own, most images share the outer folders alone, and one the innermost, too.
    const { near, others } = this.withFolder(own, same);
    const nearest = best(near, scoreOf);
    return (nearest.score > others + 0.5 ? nearest : best(same, scoreOf)).only;
  }

  /**
   * Of many images of one name, those that have a folder of `own` which few have; and how many folders the others can share with it at
   * the most. All of them where they are few.
   */
  private withFolder(
    own: readonly string[],
    same: readonly string[],
  ): { readonly near: readonly string[]; readonly others: number } {
    if (same.length <= FEW) return { near: same, others: 0 };
    const lists = this.byFolder.get(same) ?? byFolderOf(same);
    this.byFolder.set(same, lists);
    const near = new Set<string>();
    let others = 0;
    for (const folder of own) {
      const list = lists.get(folder) ?? [];
      if (list.length > FEW) others++;
      else for (const path of list) near.add(path);
    }
    return { near: [...near], others };
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

/** Lists of classes, as tools call them, the likeliest first. */
const CLASS_LISTS = [
  /^_?classes\.txt$/i,
  /(^|\/)classes\.txt$/i,
  /(^|\/)(obj|classes|coco|voc)\.names$/i,
  /\.names$/i,
  /(^|\/)_darknet\.labels$/i,
  /(^|\/)(labels|labelmap|class_names|predefined_classes)\.txt$/i,
];

/** True for a file that lists names of classes, a line each. */
export const isClassList = (path: string): boolean => CLASS_LISTS.some((pattern) => pattern.test(path));

/**
 * The list of classes: `classes.txt` at the root (`_classes.txt`); undefined where there is none.
 * @param anywhere takes the lists of labeling tools, too, wherever they are: `labels/classes.txt`, `obj.names`, `_darknet.labels`
 */
export function findClassList({ all }: Pick<DetectionFiles, "all">, anywhere = false): string | undefined {
  for (const pattern of anywhere ? CLASS_LISTS : CLASS_LISTS.slice(0, 1)) {
    const file = all.find((path) => pattern.test(path));
    if (file !== undefined) return file;
  }
  return undefined;
}

/** The names in the list of classes that `findClassList` finds, a line each. @throws DataError */
export async function readClassList(
  files: DetectionFiles,
  anywhere = false,
): Promise<readonly string[] | undefined> {
  const file = findClassList(files, anywhere);
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

/** Where JSON has a number that is none, as Python writes it: line and column from 1 on, and the word; undefined where there is none. */
function nonNumber(text: string): { readonly word: string; readonly at: string } | undefined {
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (inString && character === "\\") i++;
    else if (character === '"') inString = !inString;
    else if (!inString && (character === "N" || character === "I")) {
      const word = ["NaN", "Infinity"].find((each) => text.startsWith(each, i));
      if (word === undefined) return undefined;
      const before = text.slice(0, i);
      return { word, at: `line ${before.split("\n").length}, column ${i - before.lastIndexOf("\n")}` };
    }
  }
  return undefined;
}

/** Reads a file of JSON. @throws DataError where it is none */
export async function readJson(files: Pick<DetectionFiles, "folder">, file: string): Promise<JsonFile> {
  const text = await readText(files, file, FILE_KINDS.annotations);
  try {
    return { file, value: JSON.parse(text) };
  } catch (error) {
    const odd = nonNumber(text);
    if (odd !== undefined) {
      throw new DataError(
        `${file}: ${odd.at}: ${odd.word}, which JSON does not have; write a number or null in its place (in Python, json.dump(…, allow_nan=False) finds where it comes from)`,
        { cause: error },
      );
    }
    throw new DataError(`${file}: not valid JSON (${reasonOf(error)})`, { cause: error });
  }
}

/** A larger file is read only where its beginning is that of annotations, in bytes. */
const SMALL = 16e6;

/** True for the beginning of a file of labelme, of which there is one for each image, often with the image inside. */
export const isLabelMe = (head: string): boolean =>
  /"(shapes|imageData|imagePath)"\s*:/.test(head) && !/"(annotations|images|categories)"\s*:/.test(head);

/** True for the beginning of a file that must be one of annotations. */
const isAnnotations = (head: string): boolean =>
  /^\s*(\{\s*"(images|annotations|categories)"\s*:|\[\s*\{\s*"(image|annotations)"\s*:)/.test(head);

async function mayBeAnnotations(files: DetectionFiles, file: string, head: string): Promise<boolean> {
  if (isLabelMe(head)) return false;
  const size = (await files.folder.look(file))?.size ?? 0;
  return (
    size < SMALL ||
    /^\s*(\{\s*"(info|licenses|images|annotations|categories|type)"|\[\s*\{\s*"(image|annotations|id|data|predictions)")/.test(
      head,
    )
  );
}

const foundJson = new WeakMap<DetectionFiles, Promise<readonly JsonFile[]>>();

/**
 * The JSON files in which annotations may be: at the root, in `annotations`, or in a folder beside images; one that cannot be read or
 * does not parse is left out unless it is named as annotations are, begins as they do, or is the one that was asked for.
 * @throws DataError
 */
export function findJson(files: DetectionFiles): Promise<readonly JsonFile[]> {
  const held = foundJson.get(files) ?? readAllJson(files);
  foundJson.set(files, held);
  return held;
}

async function readAllJson(files: DetectionFiles): Promise<readonly JsonFile[]> {
  const found: JsonFile[] = [];
  for (const file of files.all) {
    if (!/^([^/]+\/){0,2}[^/]+\.json$/i.test(file)) continue;
    let head = "";
    try {
      head = await readHead(files, file);
      if (await mayBeAnnotations(files, file, head)) found.push(await readJson(files, file));
    } catch (error) {
      if (file === files.given || /annotations|instances/i.test(file) || isAnnotations(head)) throw error;
    }
  }
  return found;
}
