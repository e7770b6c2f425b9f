import { dirname } from "node:path";
import { DataError } from "../../../errors.ts";
import { DataFolder, type FolderOptions, listBelow } from "../../files/data-folder.node.ts";
import { FILE_KINDS, type FileKind } from "../../files/files.node.ts";
import { reasonOf } from "../image.node.ts";
import type { DetectionFault } from "../set.ts";
import { ImageIndex } from "./image-index.node.ts";
import { fileNameOf, isImagePath } from "./paths.node.ts";

/** Deeper folders are not looked into. */
const DEEPEST = 8;

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
