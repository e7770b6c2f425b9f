import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { DataError } from "../../../errors.ts";
import { printable } from "../../../printable.ts";
import type { FolderOptions } from "../../files/data-folder.node.ts";
import { refuseLinkedFolder, refuseOddity } from "../../files/files.node.ts";
import { isGuessedTest } from "../../sources/data-set.ts";
import { type RawDetections, READ_FORMATS, type ReadFormat } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { findCoco, readCoco } from "./coco.node.ts";
import { findCreateMl, readCreateMl } from "./createml.node.ts";
import { findCsv, readCsv } from "./csv.node.ts";
import { findCvat, readCvat } from "./cvat.node.ts";
import { type DetectionFiles, findJson, listTree, rootOfFile } from "./files.node.ts";
import { findKitti, readKitti } from "./kitti.node.ts";
import { findLabelStudio, readLabelStudio } from "./label-studio.node.ts";
import { findLabelMe, readLabelMe } from "./labelme.node.ts";
import { findVoc, readVoc } from "./voc.node.ts";
import { findWider, readWider } from "./wider.node.ts";
import { findYolo, readYolo } from "./yolo.node.ts";

/** Annotations of one format that were found. */
interface Found {
  /** The files that hold them. */
  readonly sources: readonly string[];
  /** Files of the format that are not read. */
  readonly others?: readonly string[];
  read(): Promise<RawDetections> | RawDetections;
}

/** Looks for annotations of one format. */
type Finder = (files: DetectionFiles, options: AnnotationOptions) => Promise<Found | undefined>;

/** What was found, where that is not nothing. */
function found<T>(
  sources: readonly T[],
  fileOf: (source: T) => string,
  read: Found["read"],
  others: readonly string[] = [],
): Found | undefined {
  return sources.length === 0 ? undefined : { sources: sources.map(fileOf), others, read };
}

const itself = (file: string): string => file;
const fileOf = ({ file }: { readonly file: string }): string => file;

const FINDERS: Readonly<Record<ReadFormat, Finder>> = {
  async voc(files) {
    const sources = findVoc(files);
    return found(sources, itself, () => readVoc(files, sources));
  },
  async coco(files) {
    const { files: sources, others } = findCoco(await findJson(files));
    return found(sources, fileOf, () => readCoco(files, sources), others);
  },
  async yolo(files) {
    const source = await findYolo(files);
    if (source === undefined) return undefined;
    const sources = source.yaml === undefined ? source.labels : [source.yaml];
    return { sources, read: () => readYolo(files, source) };
  },
  async createml(files) {
    const sources = findCreateMl(await findJson(files));
    return found(sources, fileOf, () => readCreateMl(files, sources));
  },
  async csv(files, { boxUnit }) {
    const sources = await findCsv(files);
    return found(sources, fileOf, () => readCsv(files, sources, boxUnit));
  },
  async wider(files) {
    const sources = findWider(files);
    return found(sources, itself, () => readWider(files, sources));
  },
  async labelme(files) {
    const sources = await findLabelMe(files);
    return found(sources, itself, () => readLabelMe(files, sources));
  },
  async cvat(files) {
    const sources = await findCvat(files);
    return found(sources, itself, () => readCvat(files, sources));
  },
  async "label-studio"(files) {
    const sources = findLabelStudio(await findJson(files));
    return found(sources, fileOf, () => readLabelStudio(files, sources));
  },
  async kitti(files) {
    const sources = await findKitti(files);
    return found(sources, itself, () => readKitti(files, sources));
  },
};

/** The formats that are looked for, for errors. */
export const FORMATS_READ =
  "Pascal VOC (.xml of the same names as images, in any folder), COCO (.json), YOLO (data.yaml, or .txt of the same names as images), Create ML (.json), CSV (a row for each object: filename, class, xmin, ymin, xmax, ymax), WIDER FACE (wider_face_*_bbx_gt.txt), labelme (.json of the same names as images), CVAT (annotations.xml), Label Studio (.json) and KITTI (.txt of the same names as images)";

/** How annotations are read. */
interface AnnotationOptions extends FolderOptions {
  /** Whether edges in a table are pixels or shares (default: as they look). */
  readonly boxUnit?: "pixels" | "shares" | undefined;
  /** Their format (default: the first that is found). */
  readonly format?: ReadFormat | undefined;
}

/** The files below a root, and what annotations of them were found. */
interface FoundAnnotations {
  readonly files: DetectionFiles;
  /** Undefined where there are none. */
  readonly raw: RawDetections | undefined;
  /** The files that hold them: those of all images, a file for each, or the one that describes the set. */
  readonly sources: readonly string[];
}

/**
 * Reads the annotations of a folder, or of one file of annotations, in the first format that is found, or the one asked for.
 * @throws DataError where there is no such folder or regular file, or annotations are damaged as a whole; FileError
 */
export async function readAnnotations(
  path: string,
  options: AnnotationOptions = {},
): Promise<FoundAnnotations> {
  const { format, followLinks } = options;
  const held = await stat(path).catch(() => undefined);
  if (held === undefined) {
    throw new DataError(`${printable(path)}: there is no such file or folder; check the path`);
  }
  const isFolder = held.isDirectory();
  if (!isFolder) refuseOddity(held, path);
  else if (/\.(json|csv|ya?ml|xml|txt)$/i.test(path)) await refuseLinkedFolder(path, "a file of annotations");
  const tree = isFolder
    ? await listTree(path, { followLinks })
    : await listTree(rootOfFile(path), { followLinks, named: path });
  const files = isFolder ? tree : onlyFile(tree, path);
  for (const name of formatsOf(files, format)) {
    const annotations = await FINDERS[name](files, options);
    if (annotations === undefined) continue;
    const raw = await annotations.read();
    const faults = [
      ...raw.faults,
      ...guessesOf(files, raw),
      ...(await unusedOf(files, name, annotations, options)),
    ];
    return { files, raw: { ...raw, faults }, sources: annotations.sources };
  }
  return { files, raw: undefined, sources: [] };
}

/** The formats that are looked for: of one file that was named, those that its extension may be of. */
function formatsOf({ given }: DetectionFiles, format: ReadFormat | undefined): readonly ReadFormat[] {
  if (format !== undefined) return [format];
  const extension = /\.[^./]*$/.exec(given?.toLowerCase() ?? "")?.[0];
  if (extension === ".csv") return ["csv"];
  if (extension === ".json") return ["coco", "createml", "labelme", "label-studio"];
  return READ_FORMATS;
}

/** Faults for images that were found by another spelling of their name, and folders that were taken for a split. */
function guessesOf({ images }: DetectionFiles, raw: RawDetections): readonly DetectionFault[] {
  const faults: DetectionFault[] = [];
  const guessed = new Set<string>();
  for (const { file, source, split } of raw.images) {
    const called = images.respelled.get(file);
    if (called !== undefined)
      faults.push({ kind: "other-spelling", file, detail: `${source} has ${called}` });
    if (split !== "test") continue;
    const folder = [...source.split("/").slice(0, -1), ...file.split("/").slice(0, -1)].find(isGuessedTest);
    if (folder !== undefined && !guessed.has(folder)) {
      guessed.add(folder);
      faults.push({ kind: "guessed-split", file: folder, detail: "taken for the test split" });
    }
  }
  return faults;
}

/** Faults for files of annotations that are not those that were read: of the same format, or of another one. */
async function unusedOf(
  files: DetectionFiles,
  read: ReadFormat,
  { sources, others = [] }: Found,
  options: AnnotationOptions,
): Promise<readonly DetectionFault[]> {
  const used = new Set(sources);
  const faults = others.map(
    (file): DetectionFault => ({ kind: "unused-annotations", file, detail: `in the format ${read}, too` }),
  );
  for (const name of READ_FORMATS) {
    if (name === read) continue;
    const other = await FINDERS[name](files, options).catch((error: unknown) => {
      if (error instanceof DataError) return undefined;
      throw error;
    });
    const left = other?.sources.filter((file) => !used.has(file)) ?? [];
    const [file] = left;
    if (file === undefined) continue;
    for (const each of left) used.add(each);
    faults.push({ kind: "unused-annotations", file, detail: `${left.length} in the format ${name}` });
  }
  return faults;
}

/** A tree in which the one file of annotations is the one given; images and lists of classes stay. */
function onlyFile(tree: DetectionFiles, path: string): DetectionFiles {
  const own = dirname(path) === tree.root ? basename(path) : `${basename(dirname(path))}/${basename(path)}`;
  const other = /(\.(xml|json|ya?ml|csv)|_bbx_gt\.txt)$/i;
  return { ...tree, given: own, all: tree.all.filter((file) => file === own || !other.test(file)) };
}
