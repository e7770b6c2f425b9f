import { realpath } from "node:fs/promises";
import { DataError, OptionError } from "../../errors.ts";
import { FILE_KINDS } from "../files/files.node.ts";
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
import { faultOfClass } from "./formats/encode.ts";
import { type DetectionFiles, listTree } from "./formats/files.node.ts";
import { MARK_FORMATS, MarkFiles, type MarkFormat } from "./formats/mark-files.node.ts";
import { isSameMark, type Mark, type PhotoMarks } from "./formats/marks.node.ts";
import { readAnnotations } from "./formats/read.node.ts";
import { examineImage } from "./image.node.ts";

export { MARK_FORMATS, type MarkFormat } from "./formats/mark-files.node.ts";
export type { Mark, PhotoMarks } from "./formats/marks.node.ts";

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
  private readonly annotations: MarkFiles;
  private readonly counts = new Map<string, number>();

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
    this.annotations = new MarkFiles(root, files, read);
    this.format = read.format;
    const existing = new Set(files.all);
    const isEdited = read.format === undefined || MARK_FORMATS.some((format) => format === read.format);
    this.fault =
      read.fault ??
      (isEdited
        ? undefined
        : `its annotations are of the format ${read.format}, which is read and not written here; eidos convert writes a copy in coco, voc or yolo`);
    for (const image of read.images) {
      if (read.format === "yolo" && !existing.has(image.source)) continue;
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
    return this.annotations.classes;
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
    const { marks, ...held } = await this.annotations.read(this.format, path, this.sizeOf(path, header));
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
          const fault = this.classes.includes(name) ? undefined : faultOfClass(format, name);
          if (fault !== undefined)
            throw new OptionError(`class ${JSON.stringify(name.slice(0, 60))}: ${fault}`);
        }
        this.format = format;
        const size = this.sizeOf(path, header);
        await this.annotations.write(format, path, size, isMarked ? own : undefined, names);
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
    const [raw] = this.annotations.entries(path);
    return raw !== undefined && frameShown(raw, header) === "stored";
  }

  /** The size of a photo in whose pixels its boxes are. */
  private sizeOf(path: string, header: ImageHeader): PixelSize {
    return this.isStored(path, header) ? header.stored : uprightSize(header);
  }

  /** Why a photo cannot be changed. */
  private faultOf(path: string): string | undefined {
    const sources = new Set(this.annotations.entries(path).map(({ source }) => source));
    return sources.size > 1
      ? `its annotations stand in ${sources.size} files (${[...sources].slice(0, 3).join(", ")}); leave those of one`
      : undefined;
  }
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
