import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { DataError } from "../../../errors.ts";
import { printable } from "../../../printable.ts";
import type { FolderOptions } from "../../files/data-folder.node.ts";
import { refuseLinkedFolder, refuseOddity } from "../../files/files.node.ts";
import { type RawDetections, READ_FORMATS, type ReadFormat } from "../check.ts";
import { findCoco, readCoco } from "./coco.node.ts";
import { findCreateMl, readCreateMl } from "./createml.node.ts";
import { findCsv, readCsv } from "./csv.node.ts";
import { type DetectionFiles, findJson, listTree, rootOfFile } from "./files.node.ts";
import { findVoc, readVoc } from "./voc.node.ts";
import { findWider, readWider } from "./wider.node.ts";
import { findYolo, readYolo } from "./yolo.node.ts";

/** Reads annotations of one format, or returns undefined where there are none. */
type Reader = (files: DetectionFiles) => Promise<RawDetections | undefined>;

const READERS: Readonly<Record<ReadFormat, Reader>> = {
  async voc(files) {
    const sources = findVoc(files);
    return sources.length === 0 ? undefined : readVoc(files, sources);
  },
  async coco(files) {
    const sources = findCoco(await findJson(files));
    return sources.length === 0 ? undefined : readCoco(files, sources);
  },
  async yolo(files) {
    const source = await findYolo(files);
    return source === undefined ? undefined : readYolo(files, source);
  },
  async createml(files) {
    const sources = findCreateMl(await findJson(files));
    return sources.length === 0 ? undefined : readCreateMl(files, sources);
  },
  async csv(files) {
    const sources = await findCsv(files);
    return sources.length === 0 ? undefined : readCsv(files, sources);
  },
  async wider(files) {
    const sources = findWider(files);
    return sources.length === 0 ? undefined : readWider(files, sources);
  },
};

/** The formats that are looked for, for errors. */
export const FORMATS_READ =
  "Pascal VOC (Annotations/*.xml, or .xml beside images), COCO (.json), YOLO (data.yaml, or folders images and labels), Create ML (.json), CSV (a row for each object: filename, class, xmin, ymin, xmax, ymax) and WIDER FACE (wider_face_*_bbx_gt.txt)";

/** How annotations are read. */
interface AnnotationOptions extends FolderOptions {
  /** Their format (default: the first that is found). */
  readonly format?: ReadFormat | undefined;
}

/** The files below a root, and what annotations of them were found. */
interface FoundAnnotations {
  readonly files: DetectionFiles;
  /** Undefined where there are none. */
  readonly raw: RawDetections | undefined;
}

/**
 * Reads the annotations of a folder, or of one file of annotations, in the first format that is found, or the one asked for.
 * @throws DataError where there is no such folder or regular file, or annotations are damaged as a whole; FileError
 */
export async function readAnnotations(
  path: string,
  { format, followLinks }: AnnotationOptions = {},
): Promise<FoundAnnotations> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new DataError(`${printable(path)}: there is no such file or folder; check the path`);
  }
  const isFolder = found.isDirectory();
  if (!isFolder) refuseOddity(found, path);
  else if (/\.(json|csv|ya?ml|xml|txt)$/i.test(path)) await refuseLinkedFolder(path, "a file of annotations");
  const tree = isFolder
    ? await listTree(path, { followLinks })
    : await listTree(rootOfFile(path), { followLinks, named: path });
  const files = isFolder ? tree : onlyFile(tree, path);
  for (const name of format === undefined ? READ_FORMATS : [format]) {
    const raw = await READERS[name](files);
    if (raw !== undefined) return { files, raw };
  }
  return { files, raw: undefined };
}

/** A tree in which the one file of annotations is the one given; images and lists of classes stay. */
function onlyFile(tree: DetectionFiles, path: string): DetectionFiles {
  const own = dirname(path) === tree.root ? basename(path) : `${basename(dirname(path))}/${basename(path)}`;
  const other = /(\.(xml|json|ya?ml|csv)|_bbx_gt\.txt)$/i;
  return { ...tree, given: own, all: tree.all.filter((file) => file === own || !other.test(file)) };
}
