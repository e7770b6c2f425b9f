import { realpath, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseDocument } from "yaml";
import { append } from "../../../append.ts";
import { DataError } from "../../../errors.ts";
import { isWithin } from "../../files/data-folder.node.ts";
import {
  FILE_KINDS,
  type FileKind,
  makeFolder,
  UnreadFileError,
  writeFileAtomic,
} from "../../files/files.node.ts";
import type { PixelSize, RawImage, ReadFormat } from "../check.ts";
import { CocoText, NEW_COCO } from "./edit-coco.node.ts";
import { vocPhoto, withVocMarks } from "./edit-voc.node.ts";
import { withYoloMarks, type YoloReading, yoloPhoto } from "./edit-yolo.node.ts";
import { type DetectionFiles, findClassList, linesOf } from "./files.node.ts";
import { type Mark, markOf, type PhotoMarks, UNMARKED } from "./marks.node.ts";
import { fileNameOf, folderOf, splitOfPath, stemOf } from "./paths.node.ts";
import { findYolo, labelsOf, type PoseShape } from "./yolo.node.ts";

// The files of a folder in which photos are marked: which of them has the marks of a photo, and how it is written.

/** Formats in which photos are marked. */
export const MARK_FORMATS = ["coco", "voc", "yolo"] as const;

export type MarkFormat = (typeof MARK_FORMATS)[number];

/** Larger files of annotations are read, and not edited: every save writes the file anew. */
const EDITED: FileKind = { what: "a file of annotations that is edited", limit: 64e6 };

/** The file that is made in a folder without annotations. */
const NEW_FILE = "annotations.json";

const NEW_CLASSES = "classes.txt";

/** What opens a text in UTF-8, and is no part of it. */
const MARK_OF_ORDER = "\ufeff";

/** A text and whether it opens with a mark of byte order, which is written again. */
interface HeldText {
  readonly text: string;
  readonly isMarked: boolean;
}

/** What names the classes of a folder in YOLO's format. */
interface YoloNames {
  readonly file: string;
  readonly isYaml: boolean;
  /** Whether names stand behind their numbers. */
  readonly isMap: boolean;
  readonly names: readonly string[];
  readonly pose?: PoseShape | null | undefined;
}

/** The annotations of a folder, as its files have them now, and as they are written. */
export class MarkFiles {
  private readonly root: string;
  private readonly files: DetectionFiles;
  private readonly existing: Set<string>;
  /** Files that hold annotations of several photos. */
  private sources: readonly string[];
  private known: readonly string[];
  private readonly raw = new Map<string, RawImage[]>();
  private hasYaml: boolean | undefined;
  private readonly texts = new Map<
    string,
    { readonly stat: string; readonly coco: CocoText; readonly isMarked: boolean }
  >();

  /** @param root of the folder, without links in its path */
  constructor(
    root: string,
    files: DetectionFiles,
    {
      classes,
      images,
      sources,
    }: {
      readonly classes: readonly string[];
      readonly images: readonly RawImage[];
      readonly sources: readonly string[];
    },
  ) {
    this.root = root;
    this.files = files;
    this.existing = new Set(files.all);
    this.known = classes;
    this.sources = sources;
    for (const image of images) append(this.raw, image.file, image);
  }

  /** The classes, as they were read or written last. */
  get classes(): readonly string[] {
    return this.known;
  }

  /** The entries of a photo when the folder was opened. */
  entries(path: string): readonly RawImage[] {
    return this.raw.get(path) ?? [];
  }

  /**
   * What the files have of a photo.
   * @param size of the photo, in whose pixels its boxes are
   * @throws DataError where they cannot be read
   */
  async read(format: ReadFormat | undefined, path: string, size: PixelSize): Promise<PhotoMarks> {
    if (format === "coco") return (await this.cocoOf(path)).coco.photo(path, size);
    if (format === "voc") {
      const file = this.vocFile(path);
      return vocPhoto((await this.textOf(file, FILE_KINDS.text))?.text, file, size);
    }
    if (format === "yolo") {
      const text = await this.textOf(this.labelFile(path), FILE_KINDS.text);
      return yoloPhoto(text?.text, await this.yoloReading(size));
    }
    const objects = (this.raw.get(path) ?? []).flatMap((image) => image.objects);
    const marks = objects.flatMap(
      (object) => markOf(object, className(object.class, this.known), size) ?? [],
    );
    const isMarked = this.raw.has(path);
    return { isMarked, marks, hidden: objects.length - marks.length, version: UNMARKED };
  }

  /** The text of a file; undefined where there is none. @throws DataError where it is no text in UTF-8 */
  private async textOf(file: string, kind: FileKind): Promise<HeldText | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await this.files.folder.read(file, kind);
    } catch (error) {
      if (error instanceof UnreadFileError && error.reason === "missing") return undefined;
      throw error;
    }
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      const isMarked = text.startsWith(MARK_OF_ORDER);
      return { text: isMarked ? text.slice(1) : text, isMarked };
    } catch (cause) {
      throw new DataError(`${file}: not a text in UTF-8; write it again in that encoding`, { cause });
    }
  }

  /** Writes a file below the root. @throws DataError where links lead out of it; FileError */
  private async put(file: string, text: string, isMarked = false): Promise<void> {
    const target = join(this.root, file);
    await this.refuseOut(target, file);
    await writeFileAtomic(target, isMarked ? MARK_OF_ORDER + text : text);
    this.existing.add(file);
  }

  private async refuseOut(target: string, file: string): Promise<void> {
    await makeFolder(dirname(target));
    const above = await realpath(dirname(target));
    const real = await realpath(target).catch(() => join(above, basename(target)));
    if (!isWithin(this.root, above) || !isWithin(this.root, real)) {
      throw new DataError(`${file}: a link leads out of ${this.files.root}, where nothing is written`);
    }
  }

  /**
   * Writes the marks of a photo; undefined takes the photo out of the annotations.
   * @param names all classes, to which further ones are added
   * @throws DataError where links lead out of the folder, or files cannot be read; FileError
   */
  async write(
    format: MarkFormat,
    path: string,
    size: PixelSize,
    marks: readonly Mark[] | undefined,
    names: readonly string[],
  ): Promise<void> {
    if (format === "coco") {
      const { coco, isMarked } = await this.cocoOf(path);
      const more = new CocoText(this.files, coco.file, coco.withClasses(names));
      await this.put(coco.file, more.withPhoto(path, size, marks), isMarked);
      this.sources = [...new Set([...this.sources, coco.file])];
      this.learn(names);
      return;
    }
    const file = format === "voc" ? this.vocFile(path) : this.labelFile(path);
    const held = await this.textOf(file, FILE_KINDS.text);
    if (format === "voc") {
      await this.listClasses(names);
      if (marks === undefined) return this.remove(file);
      await this.put(file, withVocMarks(held?.text, file, path, size, marks), held?.isMarked);
      if (held === undefined) await this.listForTraining(file);
      return;
    }
    await this.numberClasses(names);
    if (marks === undefined) return this.remove(file);
    await this.put(file, withYoloMarks(held?.text, marks, await this.yoloReading(size)), held?.isMarked);
  }

  private async remove(file: string): Promise<void> {
    const target = join(this.root, file);
    await this.refuseOut(target, file);
    await rm(target, { force: true });
    this.existing.delete(file);
  }

  private learn(names: readonly string[]): void {
    this.known = [...this.known, ...othersThan(this.known, names)];
  }

  // COCO

  /** The file that has a photo, or into which it goes: of several the one with most images of its folder, or of its split. */
  private async cocoOf(path: string): Promise<{ readonly coco: CocoText; readonly isMarked: boolean }> {
    const all = await Promise.all(
      (this.sources.length > 0 ? this.sources : [NEW_FILE]).map((file) => this.coco(file)),
    );
    const [first] = all;
    if (first === undefined) throw new RangeError("no file of annotations");
    const split = splitOfPath(path);
    const rank = ({ coco }: { readonly coco: CocoText }): number =>
      coco.has(path)
        ? Number.POSITIVE_INFINITY
        : coco.countIn(folderOf(path)) + (splitOfPath(coco.file) === split ? 0.5 : 0);
    return all.reduce((best, one) => (rank(one) > rank(best) ? one : best), first);
  }

  private async coco(file: string): Promise<{ readonly coco: CocoText; readonly isMarked: boolean }> {
    const held = await this.files.folder.look(file).catch(() => undefined);
    const stat = held === undefined ? "none" : `${held.mtimeMs} ${held.size} ${held.ino}`;
    const known = this.texts.get(file);
    if (known !== undefined && known.stat === stat && stat !== "none") return known;
    const { text, isMarked } = (await this.textOf(file, EDITED)) ?? { text: NEW_COCO, isMarked: false };
    const entry = { stat, coco: new CocoText(this.files, file, text), isMarked };
    this.texts.set(file, entry);
    return entry;
  }

  // VOC

  private vocFile(path: string): string {
    const [raw] = this.raw.get(path) ?? [];
    if (raw !== undefined) return raw.source;
    const usual = path.replace(/(^|\/)JPEGImages\//, "$1Annotations/");
    if (usual !== path) return `${stemOf(usual)}.xml`;
    for (const [other, [image]] of this.raw) {
      if (folderOf(other) === folderOf(path) && image !== undefined) {
        return `${folderOf(image.source)}${stemOf(fileNameOf(path))}.xml`;
      }
    }
    return `${stemOf(path)}.xml`;
  }

  /** Adds a new photo to the list of images for training, where VOC's layout has lists: no other photo is trained on. */
  private async listForTraining(file: string): Promise<void> {
    const base = /^(.*?\/)?(?=Annotations\/)/i.exec(file)?.[0];
    if (base === undefined) return;
    for (const name of ["train", "trainval"]) {
      const list = `${base}ImageSets/Main/${name}.txt`;
      if (!this.existing.has(list)) continue;
      const held = await this.textOf(list, FILE_KINDS.list);
      const id = stemOf(file.slice(base.length).replace(/^[^/]*\//, ""));
      if (held !== undefined && !linesOf(held.text).includes(id))
        await this.put(list, withLine(held.text, id), held.isMarked);
    }
  }

  /** Adds classes to the list that a folder in VOC's format has; a new folder gets one. */
  private async listClasses(names: readonly string[]): Promise<void> {
    const list = findClassList(this.files) ?? (this.existing.has(NEW_CLASSES) ? NEW_CLASSES : undefined);
    if (list === undefined && this.raw.size > 0) return this.learn(names);
    await this.addToList(list ?? NEW_CLASSES, names);
  }

  // YOLO

  private labelFile(path: string): string {
    const [raw] = this.raw.get(path) ?? [];
    return raw?.source ?? labelsOf(path);
  }

  /** The YAML file or the list that names classes, as it is now; undefined where nothing does. */
  private async yoloNames(): Promise<YoloNames> {
    this.hasYaml ??= (await findYolo(this.files))?.yaml !== undefined;
    const source = this.hasYaml ? await findYolo(this.files) : undefined;
    if (source?.yaml !== undefined) {
      const { names, kpt_shape } = source.content;
      const list = Array.isArray(names) ? names : Object.keys(names).map((_, i) => names[i] ?? "");
      return { file: source.yaml, isYaml: true, isMap: !Array.isArray(names), names: list, pose: kpt_shape };
    }
    const file = findClassList(this.files) ?? findClassList(this.files, true) ?? NEW_CLASSES;
    const held = await this.textOf(file, FILE_KINDS.text);
    const listed = held === undefined ? [] : linesOf(held.text);
    // A list that has fewer classes than the labels is not theirs.
    const isTheirs = held !== undefined && listed.length >= this.known.length;
    return isTheirs
      ? { file, isYaml: false, isMap: false, names: listed }
      : { file: NEW_CLASSES, isYaml: false, isMap: false, names: this.known };
  }

  private async yoloReading(size: PixelSize): Promise<YoloReading> {
    const { names, pose } = await this.yoloNames();
    this.known = names;
    return { ...size, classes: names, pose };
  }

  /** Gives numbers to classes: in the file that names them. */
  private async numberClasses(wanted: readonly string[]): Promise<void> {
    const { file, isYaml, isMap, names } = await this.yoloNames();
    const missing = othersThan(names, wanted);
    if (!isYaml) {
      if (missing.length > 0 || !this.existing.has(file)) await this.addToList(file, [...names, ...missing]);
      return;
    }
    if (missing.length === 0) return;
    const held = await this.textOf(file, FILE_KINDS.text);
    const document = parseDocument(held?.text ?? "");
    for (const [i, name] of missing.entries()) {
      if (isMap) document.setIn(["names", names.length + i], name);
      else document.addIn(["names"], name);
    }
    if (document.has("nc")) document.set("nc", names.length + missing.length);
    await this.put(file, String(document), held?.isMarked);
    this.known = [...names, ...missing];
  }

  /** Adds names to a list of classes, a line each. */
  private async addToList(file: string, names: readonly string[]): Promise<void> {
    const held = await this.textOf(file, FILE_KINDS.text);
    const listed = linesOf(held?.text ?? "");
    const missing = othersThan(listed, names);
    if (missing.length > 0) {
      await this.put(file, missing.reduce(withLine, held?.text ?? ""), held?.isMarked);
    }
    this.known = [...listed, ...missing];
  }
}

/** Those of some names that are not among the known ones. */
function othersThan(known: readonly string[], names: readonly string[]): readonly string[] {
  const all = new Set(known);
  return names.filter((name) => !all.has(name));
}

function className(name: string | number, classes: readonly string[]): string | undefined {
  return typeof name === "number" ? classes[name] : name;
}

/** A text with a further line. */
function withLine(text: string, line: string): string {
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  return `${text}${text === "" || text.endsWith("\n") ? "" : end}${line}${end}`;
}
