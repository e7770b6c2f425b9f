import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { isRecord } from "../../../options.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import type { JsonFile } from "./files.node.ts";
import { type DetectionFiles, readClassList } from "./files.node.ts";
import { folderOf, splitOfPath } from "./paths.node.ts";

// The JSON of Apple's Create ML: a list of images, each with boxes whose coordinates are the center, width and height in pixels.

const imageSchema = z.object({ image: z.string().min(1), annotations: z.array(z.unknown()) });

const number = z.number().catch(Number.NaN);

const annotationSchema = z.object({
  label: z.string().min(1),
  coordinates: z.object({ x: number, y: number, width: number, height: number }),
});

const looksLikeCreateMl = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  z.object({ image: z.string(), annotations: z.unknown() }).safeParse(value[0]).success;

/** The files of Create ML's format among JSON files. */
export function findCreateMl(json: readonly JsonFile[]): readonly JsonFile[] {
  return json.filter(({ value }) => looksLikeCreateMl(value));
}

function rawObject(value: unknown, i: number): RawObject {
  const location = `annotation ${i + 1}`;
  // A list of a million numbers is refused at once; a schema takes its time over each.
  const parsed = isRecord(value) ? annotationSchema.safeParse(value) : undefined;
  if (parsed?.success !== true) {
    return { class: "", box: NO_BOX, unit: "pixels", location };
  }
  const { label, coordinates } = parsed.data;
  const { x, y, width, height } = coordinates;
  const box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2] as const;
  return { class: label, box, unit: "pixels", location };
}

/**
 * Reads annotations in Create ML's format.
 * @param sources those that `findCreateMl` found
 * @throws DataError where a list of classes beside them cannot be read
 */
export async function readCreateMl(
  files: DetectionFiles,
  sources: readonly JsonFile[],
): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  for (const { file, value } of sources) {
    if (!Array.isArray(value)) throw new DataError(`${file}: not a list of images, as Create ML has it`);
    const folders = [folderOf(file), `${folderOf(file)}images/`, ""];
    for (const [i, entry] of value.entries()) {
      const parsed = imageSchema.safeParse(entry);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        const detail = `image ${i + 1}: ${issue?.path.join(".")}: ${issue?.message}`;
        faults.push({ kind: "unreadable-annotations", file, detail });
        continue;
      }
      const { image, annotations } = parsed.data;
      images.push({
        file: files.images.find(image, folders),
        source: file,
        split: splitOfPath(file),
        objects: annotations.map(rawObject),
      });
    }
  }
  return { format: "createml", classes: await readClassList(files), images, faults };
}
