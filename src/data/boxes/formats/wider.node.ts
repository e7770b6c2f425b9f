import { counted } from "../../../memory.ts";
import { FILE_KINDS } from "../../files/files.node.ts";
import { NO_BOX, type RawDetections, type RawImage, type RawObject } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, linesOf, readText } from "./files.node.ts";
import { fileNameOf, folderOf, isImagePath, splitOfPath, stemOf } from "./paths.node.ts";
import { type ListedImage, readSubsets } from "./wider-subsets.node.ts";

// WIDER FACE (Yang et al. 2016, "WIDER FACE: A face detection benchmark"): one text for each split, in which an image is a line with its
// name, a line with the number of its faces, and a line for each of them: left, top, width and height in pixels, then blur, expression,
// illumination, invalid, occlusion and pose. An image without faces has a line of zeros.

const NAME = /_bbx_gt\.txt$/i;

/** The texts of WIDER FACE's format. */
export function findWider({ all }: DetectionFiles): readonly string[] {
  return all.filter((path) => NAME.test(path));
}

/** What a text says of an image, with the line of its name. */
interface WiderEntry {
  readonly name: string;
  readonly line: number;
  /** Faces by its own count; undefined where there is no such line. */
  readonly stated: number | undefined;
  readonly objects: readonly RawObject[];
}

/** Position of `invalid` in the line of a face. */
const INVALID = 7;

function face(line: string, number: number): RawObject {
  const values = line.split(/\s+/).map(Number);
  const [x = Number.NaN, y = Number.NaN, width = Number.NaN, height = Number.NaN] = values;
  return {
    class: "face",
    box: values.length < 4 ? NO_BOX : [x, y, x + width, y + height],
    unit: "pixels",
    difficult: values[INVALID] === 1,
    location: `line ${number}`,
  };
}

/** The images of a text, and the lines before the first one. */
export function parseWider(text: string): {
  readonly entries: readonly WiderEntry[];
  readonly stray: number;
} {
  const lines = linesOf(text);
  const starts = lines.flatMap((line, i) => (isImagePath(line) ? [i] : []));
  const entries = starts.map((start, i): WiderEntry => {
    const end = starts[i + 1] ?? lines.length;
    const count = lines[start + 1] ?? "";
    const counted = start + 1 < end && /^\d+$/.test(count);
    const rows = lines.slice(start + (counted ? 2 : 1), end);
    const stated = counted ? Number(count) : undefined;
    // The line of zeros of an image without faces.
    const isDummy = stated === 0 && rows.length === 1 && /^[0\s]+$/.test(rows[0] ?? "");
    return {
      name: lines[start] ?? "",
      line: start + 1,
      stated,
      objects: isDummy ? [] : rows.map((row, k) => face(row, start + (counted ? 3 : 2) + k)),
    };
  });
  return { entries, stray: starts[0] ?? lines.length };
}

/** Folders in which the images of a text may be, the likeliest first. */
function imageFolders(source: string): readonly string[] {
  const own = folderOf(source);
  const above = folderOf(own.slice(0, -1));
  const [, part] = /wider_face_([a-z]+)_/i.exec(fileNameOf(source)) ?? [];
  const parts = part === undefined ? ["train", "val", "test"] : [part];
  return [above, own].flatMap((folder) => [
    ...parts.map((name) => `${folder}WIDER_${name}/images/`),
    `${folder}images/`,
    folder,
  ]);
}

/** Whether the lists of subsets have the faces of a text, in their order. */
function isSame({ boxes }: ListedImage, objects: readonly RawObject[]): boolean {
  return (
    boxes.length === objects.length &&
    boxes.every(([x, y, width, height], i) => {
      const edges = [x, y, x + width, y + height];
      return objects[i]?.box.every((edge, side) => edge === edges[side]) === true;
    })
  );
}

/** Faces with the subsets that they count in, where the lists have the same ones. */
function withSubsets(objects: readonly RawObject[], listed: ListedImage): readonly RawObject[] {
  if (!isSame(listed, objects)) return objects;
  return objects.map((object, i) => ({ ...object, subsets: listed.subsets[i] ?? 0 }));
}

/**
 * Reads annotations in WIDER FACE's format. Faces that it calls invalid need not be found. Which are easy, medium and hard is read where the
 * lists of the evaluation tools are below the folder, too.
 * @param sources those that `findWider` found
 * @throws DataError where a text or a list is damaged as a whole
 */
export async function readWider(files: DetectionFiles, sources: readonly string[]): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  const listed = await readSubsets(files);
  for (const source of sources) {
    const { entries, stray } = parseWider(await readText(files, source, FILE_KINDS.annotations));
    if (stray > 0) {
      const detail = `${counted(stray, "line")} before the first name of an image`;
      faults.push({ kind: "unreadable-annotations", file: source, detail });
    }
    const folders = imageFolders(source);
    const split = splitOfPath(source);
    for (const { name, line, stated, objects } of entries) {
      const file = files.images.find(name, folders);
      if (stated !== objects.length) {
        const counted = stated === undefined ? "not counted" : `${stated} by the count`;
        const detail = `line ${line} of ${source}: ${counted}, ${objects.length} in the lines that follow`;
        faults.push({ kind: "other-count", file, detail });
      }
      for (const { location, box, difficult } of objects) {
        if (difficult !== true) continue;
        faults.push({ kind: "invalid-face", file, detail: `${location} of ${source}: [${box.join(", ")}]` });
      }
      const own = listed.get(stemOf(name));
      if (own !== undefined && !isSame(own, objects) && own.subsets.some((bits) => bits > 0)) {
        const detail = `line ${line} of ${source}: ${counted(objects.length, "face")}; the lists have ${own.boxes.length}, or others`;
        faults.push({ kind: "other-faces", file, detail });
      }
      images.push({ file, source, split, objects: own === undefined ? objects : withSubsets(objects, own) });
    }
  }
  return { format: "wider", classes: ["face"], images, faults };
}
