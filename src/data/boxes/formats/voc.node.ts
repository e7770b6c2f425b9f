import { z } from "zod";
import { append } from "../../../append.ts";
import { DataError } from "../../../errors.ts";
import { FILE_KINDS } from "../../files/files.node.ts";
import { type SplitName, splitNamed } from "../../sources/data-set.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, linesOf, readClassList, readText } from "./files.node.ts";
import { fileNameOf, folderOf, splitOfFolders, stemOf } from "./paths.node.ts";
import { elements, parseRoot, texts } from "./xml.node.ts";

// Pascal VOC: an XML file for each image, and lists of images for each split (Everingham et al. 2010, "The Pascal visual object
// classes challenge"). Coordinates are taken as edges in pixels, as most tools write them today.

const number = z.string().trim().min(1).transform(Number);

const objectSchema = z.object({
  name: z.string().trim().min(1),
  difficult: z.string().optional(),
  bndbox: z.object({ xmin: number, ymin: number, xmax: number, ymax: number }),
});

const sizeSchema = z.object({ width: number.pipe(z.int().min(1)), height: number.pipe(z.int().min(1)) });

/** What a VOC file holds of its image. */
interface VocAnnotation {
  readonly filename: string | undefined;
  readonly declared: { readonly width: number; readonly height: number } | undefined;
  readonly objects: readonly RawObject[];
}

/** Reads the text of a VOC annotation. @throws DataError where it is no such XML */
export function parseVoc(text: string, file: string): VocAnnotation {
  const root = parseRoot(text, file);
  if (root?.name !== "annotation") {
    throw new DataError(`${file}: its root is <${root?.name}>, where VOC has <annotation>`);
  }
  const declared = sizeSchema.safeParse(texts(elements(root, "size")[0]));
  const objects = elements(root, "object").map((element, i): RawObject => {
    const location = `object ${i + 1}`;
    const own = texts(element);
    const parsed = objectSchema.safeParse({ ...own, bndbox: texts(elements(element, "bndbox")[0]) });
    if (!parsed.success) {
      return { class: own.name ?? "", box: NO_BOX, unit: "pixels", location };
    }
    const { name, difficult, bndbox } = parsed.data;
    const box = [bndbox.xmin, bndbox.ymin, bndbox.xmax, bndbox.ymax] as const;
    return { class: name, box, unit: "pixels", difficult: difficult?.trim() === "1", location };
  });
  return {
    filename: texts(root).filename?.trim(),
    declared: declared.success ? declared.data : undefined,
    objects,
  };
}

/** The folder above `Annotations/` in a path, ending in `/` or empty; undefined where there is none. */
function baseOf(path: string): string | undefined {
  return /^(.*?\/)?(?=Annotations\/)/i.exec(path)?.[0];
}

/**
 * The XML files of VOC's layout: those in `Annotations`, at the top or in folders such as `VOC2007`, and those that have an image of their name
 * beside them or in another folder.
 */
export function findVoc({ all, images }: DetectionFiles): readonly string[] {
  const xml = all.filter((path) => /\.xml$/i.test(path));
  // Where there are pairs, a file without an image has lost it; a single file of another kind has none.
  const paired = new Set(xml.filter((path) => images.partnerOf(path) !== undefined));
  return xml.filter((path) => paired.has(path) || baseOf(path) !== undefined);
}

/** The images that each split lists in `ImageSets/Main`; undefined where there are no lists. */
async function readSplitLists(
  files: DetectionFiles,
  base: string,
  ids: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<SplitName, readonly string[]> | undefined> {
  const lists = new Map<SplitName, readonly string[]>();
  const read = async (path: string) =>
    // A list of one class has a second column, for whether the class is in the image.
    linesOf(await readText(files, path, FILE_KINDS.list)).map((line) =>
      ids.has(line) ? line : (/^(.*\S)\s+-?[01]$/.exec(line)?.[1] ?? line),
    );
  const folder = `${base}ImageSets/Main/`.toLowerCase();
  const main = files.all.filter(
    (path) => path.toLowerCase().startsWith(folder) && /^[^/]+\.txt$/i.test(path.slice(folder.length)),
  );
  for (const path of main) {
    const split = splitNamed(stemOf(fileNameOf(path)));
    if (split !== undefined) lists.set(split, await read(path));
  }
  const both = main.find((path) => /\/trainval\.txt$/i.test(path));
  if (both !== undefined && !lists.has("train")) {
    const held = new Set([...lists.values()].flat());
    lists.set(
      "train",
      (await read(both)).filter((id) => !held.has(id)),
    );
  }
  return lists.size === 0 ? undefined : lists;
}

/**
 * Reads annotations in VOC's layout. A file that cannot be read is a fault.
 * @param sources those that `findVoc` found
 */
export async function readVoc(files: DetectionFiles, sources: readonly string[]): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  /** What files say, read once however often they are listed. */
  const known = new Map<string, Omit<RawImage, "split"> | undefined>();
  const read = async (source: string): Promise<Omit<RawImage, "split"> | undefined> => {
    if (!known.has(source)) known.set(source, await readSource(source));
    return known.get(source);
  };
  const readSource = async (source: string): Promise<Omit<RawImage, "split"> | undefined> => {
    try {
      const { filename, declared, objects } = parseVoc(await readText(files, source), source);
      return { file: imageOf(files, source, filename), source, declared, objects };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const detail = withoutFile(error.message, source);
      faults.push({ kind: "unreadable-annotations", file: source, detail });
      return undefined;
    }
  };
  const byBase = new Map<string, string[]>();
  for (const source of sources) {
    const base = baseOf(source) ?? folderOf(source);
    append(byBase, base, source);
  }
  for (const [base, own] of byBase) {
    const byId = new Map(
      own.map((source) => [stemOf(source.slice(base.length).replace(/^[^/]*\//, "")), source]),
    );
    const lists = await readSplitLists(files, base, byId);
    if (lists === undefined) {
      for (const source of own) {
        const image = await read(source);
        if (image === undefined) continue;
        images.push({ ...image, split: splitOfFolders(source) ?? splitOfFolders(image.file) });
      }
      continue;
    }
    const unread = new Set(own);
    for (const [split, ids] of lists) {
      for (const id of ids) {
        const source = byId.get(id);
        if (source === undefined) {
          const stem = `${base}JPEGImages/${id}`;
          const file = files.images.withStem(stem) ?? `${stem}.jpg`;
          const detail = `there is no ${base}Annotations/${id}.xml`;
          faults.push({ kind: "missing-annotations", file, detail });
          continue;
        }
        unread.delete(source);
        const image = await read(source);
        if (image !== undefined) images.push({ ...image, split });
      }
    }
    for (const file of unread) {
      faults.push({ kind: "not-in-a-split", file, detail: `no list in ${base}ImageSets/Main has it` });
    }
  }
  return { format: "voc", classes: await readClassList(files), images, faults };
}

/** The image of a file of annotations: in `JPEGImages` of VOC's layout, then by its own name anywhere, then by the name that the file has. */
function imageOf(files: DetectionFiles, source: string, filename: string | undefined): string {
  const base = baseOf(source);
  const folder = base === undefined ? folderOf(source) : `${base}JPEGImages/`;
  const own = base === undefined ? source : folder + source.slice(base.length).replace(/^[^/]*\//, "");
  return (
    files.images.withStem(stemOf(own)) ??
    files.images.partnerOf(source) ??
    files.images.find(filename ?? own, [folder])
  );
}

function withoutFile(message: string, file: string): string {
  return message.startsWith(`${file}: `) ? message.slice(file.length + 2) : message;
}
