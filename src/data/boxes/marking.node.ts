import { mkdir, realpath, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseDocument } from "yaml";
import { DataError, OptionError } from "../../errors.ts";
import { isWithin } from "../files/data-folder.node.ts";
import { FILE_KINDS, type FileKind, UnreadFileError, writeFileAtomic } from "../files/files.node.ts";
import { MOST_PIXELS } from "../image/sharp.node.ts";
import {
  frameShown,
  type ImageHeader,
  type Orientation,
  type PixelSize,
  type RawImage,
  type ReadFormat,
  uprightBox,
  uprightSize,
} from "./check.ts";
import { CocoText, NEW_COCO } from "./formats/edit-coco.node.ts";
import { vocPhoto, withVocMarks } from "./formats/edit-voc.node.ts";
import { withYoloMarks, type YoloReading, yoloPhoto } from "./formats/edit-yolo.node.ts";
import { faultOfClass } from "./formats/encode.ts";
import {
  type DetectionFiles,
  fileNameOf,
  findClassList,
  folderOf,
  linesOf,
  listTree,
  splitOfPath,
  stemOf,
} from "./formats/files.node.ts";
import { isSameMark, type Mark, markOf, type PhotoMarks, UNMARKED } from "./formats/marks.node.ts";
import { readAnnotations } from "./formats/read.node.ts";
import { findYolo, labelsOf, type PoseShape } from "./formats/yolo.node.ts";
import { examineImage } from "./image.node.ts";

export type { Mark, PhotoMarks } from "./formats/marks.node.ts";

/** Formats in which photos are marked. */
export const MARK_FORMATS = ["coco", "voc", "yolo"] as const;

export type MarkFormat = (typeof MARK_FORMATS)[number];

/** A photo of the folder. */
export interface MarkedPhoto {
  /** Path below the folder. */
  readonly path: string;
  /** Objects that annotations have of it; undefined where they do not have the photo. */
  readonly objects: number | undefined;
}

/** A photo with its marks, in pixels of the upright photo. */
export interface PhotoToMark extends PhotoMarks, PixelSize {
  /** Why it cannot be changed here, where it cannot. */
  readonly fault?: string;
}

/** What is to be saved of a photo. */
export interface MarksToSave {
  /** The version that was read. */
  readonly version: string;
  readonly marks: readonly Mark[];
  /** Whether it is marked: without marks there is nothing to be found in it; otherwise nobody has looked. */
  readonly isMarked: boolean;
  /** All classes, those without an object among them; new ones are added to those of the folder. */
  readonly classes: readonly string[];
  /** The format of a folder that has no annotations yet. */
  readonly format: MarkFormat;
}

/** What became of what was to be saved. */
export type Saving =
  /** For each mark what the file now has for it. */
  | { readonly kind: "saved"; readonly version: string; readonly kept: readonly (string | undefined)[] }
  /** The photo was changed by somebody else since it was read, and stays as it is now. */
  | { readonly kind: "changed"; readonly now: PhotoToMark };

/** Larger files of annotations are read, and not edited: every save writes the file anew. */
const EDITED: FileKind = { what: "a file of annotations that is edited", limit: 64e6 };

/** The file that is made in a folder without annotations. */
const NEW_FILE = "annotations.json";

const NEW_CLASSES = "classes.txt";

/** What opens a text in UTF-8, and is no part of it. */
const MARK_OF_ORDER = "\ufeff";

const INVERSE: Readonly<Record<Orientation, Orientation>> = {
  1: 1,
  2: 2,
  3: 3,
  4: 4,
  5: 5,
  6: 8,
  7: 7,
  8: 6,
};

/** Changes of the files of a folder come one after the other, whichever window asks. */
const turns = new Map<string, Promise<unknown>>();

function inTurn<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = turns.get(folder) ?? Promise.resolve();
  const mine = before.then(work, work);
  const settled = mine.catch(() => undefined);
  turns.set(folder, settled);
  void settled.then(() => {
    if (turns.get(folder) === settled) turns.delete(folder);
  });
  return mine;
}

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

/** Marks that are turned with their photo. */
function turned(marks: readonly Mark[], header: ImageHeader): readonly Mark[] {
  if (header.orientation === 1) return marks;
  return marks.map((mark) => ({
    ...mark,
    box: uprightBox(mark.box, header),
    ...(mark.outlines && {
      outlines: mark.outlines.map((outline) =>
        outline.flatMap((x, i) => {
          if (i % 2 === 1) return [];
          const y = outline[i + 1] ?? 0;
          return uprightBox([x, y, x, y], header).slice(0, 2);
        }),
      ),
    }),
  }));
}

/** A folder of photos that are marked: in its own format, or in one that is chosen where it has no annotations. */
export class MarkedFolder {
  /** Path as it was given. */
  readonly path: string;
  /** The format of its annotations; undefined where there are none. */
  format: ReadFormat | undefined;
  /** Why nothing in it can be changed, where it cannot. */
  readonly fault: string | undefined;
  private readonly root: string;
  private readonly files: DetectionFiles;
  private readonly existing: Set<string>;
  /** Files that hold annotations of several photos. */
  private sources: readonly string[];
  private known: readonly string[];
  private readonly raw = new Map<string, readonly RawImage[]>();
  private readonly counts = new Map<string, number>();
  private hasYaml: boolean | undefined;
  private readonly texts = new Map<
    string,
    { readonly stat: string; readonly coco: CocoText; readonly isMarked: boolean }
  >();

  private constructor(
    path: string,
    root: string,
    files: DetectionFiles,
    read: {
      readonly format: ReadFormat | undefined;
      readonly classes: readonly string[];
      readonly images: readonly RawImage[];
      readonly sources: readonly string[];
      readonly fault: string | undefined;
    },
  ) {
    this.path = path;
    this.root = root;
    this.files = files;
    this.existing = new Set(files.all);
    this.format = read.format;
    this.known = read.classes;
    this.sources = read.sources;
    const isEdited = read.format === undefined || MARK_FORMATS.some((format) => format === read.format);
    this.fault =
      read.fault ??
      (isEdited
        ? undefined
        : `its annotations are of the format ${read.format}, which is read and not written here; eidos convert writes a copy in coco, voc or yolo`);
    for (const image of read.images) {
      this.raw.set(image.file, [...(this.raw.get(image.file) ?? []), image]);
      if (read.format === "yolo" && !this.existing.has(image.source)) continue;
      this.counts.set(image.file, (this.counts.get(image.file) ?? 0) + image.objects.length);
    }
  }

  /** Lists the photos of a folder and reads its annotations. @throws DataError where there is no such folder; FileError */
  static async open(path: string): Promise<MarkedFolder> {
    const root = await realpath(path).catch((cause: unknown) => {
      throw new DataError(`${path}: there is no such folder; check the path`, { cause });
    });
    // Not while a file of it is begun.
    return inTurn(root, () => MarkedFolder.read(path, root));
  }

  private static async read(path: string, root: string): Promise<MarkedFolder> {
    const none = { format: undefined, classes: [], images: [], sources: [], fault: undefined };
    try {
      const { files, raw, sources } = await readAnnotations(path);
      if (raw === undefined) return new MarkedFolder(path, root, files, none);
      const { format, classes, images } = raw;
      const occurring = new Set(
        images.flatMap(({ objects }) => objects.map((object) => String(object.class))),
      );
      const names = classes ?? [...occurring].filter((name) => name !== "").sort((a, b) => (a < b ? -1 : 1));
      return new MarkedFolder(path, root, files, {
        format,
        classes: names,
        images,
        sources,
        fault: undefined,
      });
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return new MarkedFolder(path, root, await listTree(path), { ...none, fault: error.message });
    }
  }

  get classes(): readonly string[] {
    return this.known;
  }

  /** All photos, in order of names. */
  photos(): readonly MarkedPhoto[] {
    return [...this.files.images.paths].map((path) => ({ path, objects: this.counts.get(path) }));
  }

  /** Whether a path is that of a photo of the folder. */
  has(path: string): boolean {
    return this.files.images.paths.has(path);
  }

  private checkPhoto(path: string): void {
    if (!this.has(path)) throw new DataError(`${path}: there is no such photo in ${this.path}`);
  }

  /** The bytes of a photo. @throws DataError where there is none, or its link leads out of the folder */
  async bytes(path: string): Promise<Uint8Array> {
    this.checkPhoto(path);
    return this.files.folder.read(path, FILE_KINDS.image);
  }

  /** When a photo was written, and how large it is: another text where it was changed. */
  async stamp(path: string): Promise<string> {
    this.checkPhoto(path);
    const held = await this.files.folder.look(path);
    return held === undefined ? "none" : `${held.mtimeMs} ${held.size} ${held.ino}`;
  }

  /** A photo and its marks, as its files have them now. @throws DataError where it or its annotations cannot be read */
  async read(path: string): Promise<PhotoToMark> {
    const header = await this.headerOf(path);
    const { marks, ...held } = await this.marksOf(path, header);
    const fault = this.fault ?? this.faultOf(path);
    return {
      ...uprightSize(header),
      ...held,
      marks: this.isStored(path, header) ? turned(marks, header) : marks,
      ...(fault !== undefined && { fault }),
    };
  }

  /**
   * Saves the marks of a photo, where it is as it was read: a file is written beside and takes the place of the one before. What is not edited
   * stays as it is.
   * @throws DataError where the photo cannot be changed here; OptionError where the format cannot hold the name of a class; FileError
   */
  save(path: string, saved: MarksToSave): Promise<Saving> {
    return inTurn(this.root, async () => {
      const now = await this.read(path);
      if (now.fault !== undefined) throw new DataError(`${path}: ${now.fault}`);
      if (now.version !== saved.version) return { kind: "changed", now };
      const header = await this.headerOf(path);
      const { marks } = saved;
      const backwards = { stored: uprightSize(header), orientation: INVERSE[header.orientation] };
      const own = this.isStored(path, header) ? turned(marks, backwards) : marks;
      const isMarked = saved.isMarked || marks.length > 0 || now.hidden > 0;
      if (isMarked || now.isMarked) {
        const names = [...new Set([...saved.classes, ...marks.map((mark) => mark.class)])];
        const format = MARK_FORMATS.find((name) => name === this.format) ?? saved.format;
        for (const name of names) {
          const fault = this.known.includes(name) ? undefined : faultOfClass(format, name);
          if (fault !== undefined)
            throw new OptionError(`class ${JSON.stringify(name.slice(0, 60))}: ${fault}`);
        }
        this.format = format;
        await this.write(format, path, header, isMarked ? own : undefined, names);
      }
      const after = await this.read(path);
      if (after.isMarked) this.counts.set(path, after.marks.length + after.hidden);
      else this.counts.delete(path);
      return { kind: "saved", version: after.version, kept: keptOf(marks, after.marks) };
    });
  }

  private async headerOf(path: string): Promise<ImageHeader> {
    this.checkPhoto(path);
    const read = () => this.files.folder.read(path, FILE_KINDS.image);
    const finding = await examineImage({ read }, { pixelLimit: MOST_PIXELS, verify: false });
    if (!finding.ok) throw new DataError(`${path}: ${finding.detail}`);
    return finding.header;
  }

  /** Whether boxes are of the pixels as stored, where EXIF data turn the photo. */
  private isStored(path: string, header: ImageHeader): boolean {
    if (header.orientation === 1) return false;
    const [raw] = this.raw.get(path) ?? [];
    return raw !== undefined && frameShown(raw, header) === "stored";
  }

  /** Why a photo cannot be changed. */
  private faultOf(path: string): string | undefined {
    const sources = new Set((this.raw.get(path) ?? []).map(({ source }) => source));
    return sources.size > 1
      ? `its annotations stand in ${sources.size} files (${[...sources].slice(0, 3).join(", ")}); leave those of one`
      : undefined;
  }

  private async marksOf(path: string, header: ImageHeader): Promise<PhotoMarks> {
    const size = this.isStored(path, header) ? header.stored : uprightSize(header);
    const { format } = this;
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
    await mkdir(dirname(target), { recursive: true });
    const above = await realpath(dirname(target));
    const real = await realpath(target).catch(() => join(above, basename(target)));
    if (!isWithin(this.root, above) || !isWithin(this.root, real)) {
      throw new DataError(`${file}: a link leads out of ${this.path}, where nothing is written`);
    }
  }

  private async write(
    format: MarkFormat,
    path: string,
    header: ImageHeader,
    marks: readonly Mark[] | undefined,
    names: readonly string[],
  ): Promise<void> {
    const size = this.isStored(path, header) ? header.stored : uprightSize(header);
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
    this.known = [...this.known, ...names.filter((name) => !this.known.includes(name))];
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
    if (list === undefined && this.counts.size > 0) return this.learn(names);
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
    const missing = wanted.filter((name) => !names.includes(name));
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
    const missing = names.filter((name) => !listed.includes(name));
    if (missing.length > 0) {
      await this.put(file, missing.reduce(withLine, held?.text ?? ""), held?.isMarked);
    }
    this.known = [...listed, ...missing];
  }
}

function className(name: string | number, classes: readonly string[]): string | undefined {
  return typeof name === "number" ? classes[name] : name;
}

/** A text with a further line. */
function withLine(text: string, line: string): string {
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  return `${text}${text === "" || text.endsWith("\n") ? "" : end}${line}${end}`;
}

/** What a file now has for each mark: an entry that is still the same, or else one with its values. */
function keptOf(marks: readonly Mark[], now: readonly Mark[]): readonly (string | undefined)[] {
  const free = new Set(now);
  const kept = new Array<string | undefined>(marks.length);
  const take = (i: number, fits: (other: Mark) => boolean): void => {
    for (const other of free) {
      if (!fits(other)) continue;
      free.delete(other);
      kept[i] = other.kept;
      return;
    }
  };
  for (const [i, mark] of marks.entries()) {
    take(i, (other) => other.kept === mark.kept && isSameMark(mark, other));
  }
  for (const [i, mark] of marks.entries()) {
    if (kept[i] === undefined) take(i, (other) => isSameMark(mark, other));
  }
  return kept;
}
