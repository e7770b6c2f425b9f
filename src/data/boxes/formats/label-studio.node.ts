import { z } from "zod";
import { isRecord } from "../../../options.ts";
import type { PixelSize, RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, type JsonFile, readClassList } from "./files.node.ts";
import { boxAround, turnedBox } from "./outlines.ts";
import { fileNameOf, folderOf, splitOfPath } from "./paths.node.ts";

// The JSON of Label Studio: a list of tasks, whole ("JSON") or with the last annotation of each alone ("JSON-MIN"). Coordinates are percents of
// the image, turned about the top left corner.

const percent = z.number();
const names = z.array(z.string().trim().min(1)).min(1);

const valueSchema = z.object({
  x: percent.optional(),
  y: percent.optional(),
  width: percent.optional(),
  height: percent.optional(),
  rotation: z.number().optional().catch(0),
  radiusX: percent.optional(),
  radiusY: percent.optional(),
  points: z.array(z.tuple([percent, percent])).optional(),
  rectanglelabels: names.optional(),
  polygonlabels: names.optional(),
  ellipselabels: names.optional(),
});

const side = z.int().min(1).optional().catch(undefined);
const sizeSchema = z.object({ original_width: side, original_height: side });

/** What is marked in an image: a list of regions, and the regions' own values in them or in `value`. */
interface Task {
  readonly image: string;
  readonly results: readonly unknown[];
}

const IMAGE = /\.(png|jpe?g|webp|gif|tiff?|avif)(\?|$)/i;

/** An address without what follows a question mark. */
const withoutQuery = (address: string): string => address.split("?", 1)[0] ?? "";

/** Where the regions of a task are. */
function taskOf(value: unknown): Task | undefined {
  if (!isRecord(value)) return undefined;
  const data = isRecord(value.data) ? value.data : value;
  const image = [data.image, data.img, data.picture, ...Object.values(data)].find(
    (each): each is string => typeof each === "string" && IMAGE.test(each),
  );
  if (image === undefined) return undefined;
  if (Array.isArray(value.annotations) && isRecord(value.data)) {
    const done = value.annotations.filter((each) => isRecord(each) && each.was_cancelled !== true);
    const last = done.at(-1);
    return { image, results: isRecord(last) && Array.isArray(last.result) ? last.result : [] };
  }
  const minimal = Object.values(value).find(
    (each) => Array.isArray(each) && isRecord(each[0]) && "original_width" in each[0],
  );
  if (Array.isArray(minimal)) return { image, results: minimal };
  // A task without regions has no list of them.
  return "lead_time" in value || "annotation_id" in value ? { image, results: [] } : undefined;
}

/** The files of Label Studio's format among JSON files. */
export function findLabelStudio(json: readonly JsonFile[]): readonly JsonFile[] {
  return json.filter(
    ({ value }) => Array.isArray(value) && value.length > 0 && taskOf(value[0]) !== undefined,
  );
}

/** The image of a task by what it is called: uploads have a mark in front, files of the server a folder behind `?d=`. */
function imageOf(files: DetectionFiles, called: string, folders: readonly string[]): string {
  const named =
    /[?&]d=([^&]+)/.exec(called)?.[1] ?? withoutQuery(called.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*\//i, ""));
  const found = files.images.find(named.replace(/^\/+/, ""), folders);
  if (files.images.paths.has(found)) return found;
  const bare = fileNameOf(named).replace(/^[0-9a-f]{8}-/, "");
  const stripped = files.images.find(bare, folders);
  return files.images.paths.has(stripped) ? stripped : found;
}

/** The box of a region in percents of the image, which a turn takes into account the size of; undefined for what is no region. */
function boxOf(
  { x, y, width, height, rotation = 0, radiusX, radiusY, points }: z.output<typeof valueSchema>,
  { width: w, height: h }: PixelSize,
): RawBox | undefined {
  if (points !== undefined) return boxAround(points.map(([px, py]) => [(px * w) / 100, (py * h) / 100]));
  if (x === undefined || y === undefined) return undefined;
  const [left, top] = [(x * w) / 100, (y * h) / 100];
  if (radiusX !== undefined && radiusY !== undefined) {
    const [rx, ry] = [(radiusX * w) / 100, (radiusY * h) / 100];
    return turnedBox([left - rx, top - ry, left + rx, top + ry], rotation, [left, top]);
  }
  if (width === undefined || height === undefined) return undefined;
  return turnedBox([left, top, left + (width * w) / 100, top + (height * h) / 100], rotation, [left, top]);
}

/**
 * Reads annotations of Label Studio: rectangles, and the boxes around polygons and ellipses. Other regions are counted and left out.
 * @param sources those that `findLabelStudio` found
 * @throws DataError where a list of classes beside them cannot be read
 */
export async function readLabelStudio(
  files: DetectionFiles,
  sources: readonly JsonFile[],
): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  for (const { file: source, value } of sources) {
    const folders = [folderOf(source), `${folderOf(source)}images/`, "", "images/"];
    for (const [i, each] of (Array.isArray(value) ? value : []).entries()) {
      const task = taskOf(each);
      if (task === undefined) {
        faults.push({
          kind: "unreadable-annotations",
          file: source,
          detail: `task ${i + 1}: no image and regions`,
        });
        continue;
      }
      let declared: PixelSize | undefined;
      const objects: RawObject[] = [];
      for (const [k, result] of task.results.entries()) {
        const location = `task ${i + 1}, region ${k + 1}`;
        const own = isRecord(result) ? result : {};
        const parsed = valueSchema.safeParse(isRecord(own.value) ? own.value : own);
        const { original_width: width, original_height: height } = sizeSchema.parse(own);
        const { rectanglelabels, polygonlabels, ellipselabels } = parsed.data ?? {};
        const [name] = rectanglelabels ?? polygonlabels ?? ellipselabels ?? [];
        if (!parsed.success || name === undefined) {
          const what = typeof own.type === "string" ? own.type : "not a region with a label";
          faults.push({ kind: "not-read", file: source, detail: `${location}: ${what}` });
          continue;
        }
        const whole = width !== undefined && height !== undefined ? { width, height } : undefined;
        declared ??= whole;
        const box = boxOf(parsed.data, whole ?? { width: 1, height: 1 });
        if (box === undefined) {
          faults.push({ kind: "not-read", file: source, detail: `${location}: no coordinates (${name})` });
          continue;
        }
        objects.push({ class: name, box, unit: whole === undefined ? "shares" : "pixels", location });
      }
      images.push({
        file: imageOf(files, task.image, folders),
        source,
        split: splitOfPath(source),
        objects,
        ...(declared !== undefined && { declared }),
      });
    }
  }
  return { format: "label-studio", classes: await readClassList(files, true), images, faults };
}
