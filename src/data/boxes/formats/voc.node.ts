import { parseXml, type XmlElement } from "@rgrove/parse-xml";
import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { FILE_KINDS } from "../../files/files.node.ts";
import { type SplitName, splitNamed } from "../../sources/data-set.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import { reasonOf } from "../image.node.ts";
import type { DetectionFault } from "../set.ts";
import {
  type DetectionFiles,
  fileNameOf,
  folderOf,
  linesOf,
  readClassList,
  readText,
  splitOfFolders,
  stemOf,
} from "./files.node.ts";

// Pascal VOC: an XML file for each image, and lists of images for each split (Everingham et al. 2010, "The Pascal visual object
// classes challenge"). Coordinates are taken as edges in pixels, as most tools write them today.

const number = z.string().trim().min(1).transform(Number);

const objectSchema = z.object({
  name: z.string().trim().min(1),
  difficult: z.string().optional(),
  bndbox: z.object({ xmin: number, ymin: number, xmax: number, ymax: number }),
});

const sizeSchema = z.object({ width: number.pipe(z.int().min(1)), height: number.pipe(z.int().min(1)) });

/** Elements directly below another. */
function elements(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(
    (child): child is XmlElement =>
      child.type === "element" && (name === undefined || (child as XmlElement).name === name),
  );
}

/** Elements that hold text alone, by their names. */
function texts(parent: XmlElement | undefined): Record<string, string> {
  const leaves = parent === undefined ? [] : elements(parent).filter((child) => elements(child).length === 0);
  return Object.fromEntries(leaves.map((child) => [child.name, child.text]));
}

/** What a VOC file holds of its image. */
interface VocAnnotation {
  readonly filename: string | undefined;
  readonly declared: { readonly width: number; readonly height: number } | undefined;
  readonly objects: readonly RawObject[];
}

/** Reads the text of a VOC annotation. @throws DataError where it is no such XML */
export function parseVoc(text: string, file: string): VocAnnotation {
  let root: XmlElement | null;
  try {
    root = parseXml(text, { ignoreUndefinedEntities: true }).root;
  } catch (error) {
    throw new DataError(`${file}: not well-formed XML (${reasonOf(error)})`, { cause: error });
  }
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

/** The XML files of VOC's layout, `Annotations/*.xml`, or those beside images of their name. */
export function findVoc({ all, images }: DetectionFiles): readonly string[] {
  const xml = all.filter((path) => /\.xml$/i.test(path));
  const classic = xml.filter((path) => /^Annotations\//i.test(path));
  return classic.length > 0 ? classic : xml.filter((path) => images.withStem(stemOf(path)) !== undefined);
}

/** The images that each split lists in `ImageSets/Main`; undefined where there are no lists. */
async function readSplitLists(
  files: DetectionFiles,
  ids: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<SplitName, readonly string[]> | undefined> {
  const lists = new Map<SplitName, readonly string[]>();
  const read = async (path: string) =>
    // A list of one class has a second column, for whether the class is in the image.
    linesOf(await readText(files, path, FILE_KINDS.list)).map((line) =>
      ids.has(line) ? line : (/^(.*\S)\s+-?[01]$/.exec(line)?.[1] ?? line),
    );
  const main = files.all.filter((path) => /^ImageSets\/Main\/[^/]+\.txt$/i.test(path));
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
  const classic = sources.some((path) => /^Annotations\//i.test(path));
  const read = async (source: string): Promise<Omit<RawImage, "split"> | undefined> => {
    try {
      const { filename, declared, objects } = parseVoc(await readText(files, source), source);
      const folder = classic ? "JPEGImages/" : folderOf(source);
      const own = folder + (classic ? source.slice("Annotations/".length) : fileNameOf(source));
      const file = files.images.withStem(stemOf(own)) ?? files.images.find(filename ?? own, [folder]);
      return { file, source, declared, objects };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      faults.push({
        kind: "unreadable-annotations",
        file: source,
        detail: withoutFile(error.message, source),
      });
      return undefined;
    }
  };

  const images: RawImage[] = [];
  const byId = new Map(sources.map((source) => [stemOf(source.slice(source.indexOf("/") + 1)), source]));
  const lists = classic ? await readSplitLists(files, byId) : undefined;
  if (lists === undefined) {
    for (const source of sources) {
      const image = await read(source);
      if (image !== undefined) images.push({ ...image, split: classic ? undefined : splitOfFolders(source) });
    }
  } else {
    const unread = new Set(sources);
    for (const [split, ids] of lists) {
      for (const id of ids) {
        const source = byId.get(id);
        if (source === undefined) {
          const file = files.images.withStem(`JPEGImages/${id}`) ?? `JPEGImages/${id}.jpg`;
          faults.push({ kind: "missing-annotations", file, detail: `there is no Annotations/${id}.xml` });
          continue;
        }
        unread.delete(source);
        const image = await read(source);
        if (image !== undefined) images.push({ ...image, split });
      }
    }
    for (const file of unread) {
      faults.push({ kind: "not-in-a-split", file, detail: "no list in ImageSets/Main has it" });
    }
  }
  return { format: "voc", classes: await readClassList(files), images, faults };
}

function withoutFile(message: string, file: string): string {
  return message.startsWith(`${file}: `) ? message.slice(file.length + 2) : message;
}
