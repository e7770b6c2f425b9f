import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { forEachLimited } from "../../image/decode-all.node.ts";
import type { RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import type { DetectionFault } from "../set.ts";
import { type DetectionFiles, isLabelMe, readClassList, readHead, readJson } from "./files.node.ts";
import { boxAround } from "./outlines.ts";
import { folderOf, splitOfFolders } from "./paths.node.ts";

// The JSON of labelme: one file for each image, with shapes of two or more points in pixels.

const point = z.tuple([z.number(), z.number()]);

const shapeSchema = z.object({
  label: z.string().trim().min(1),
  points: z.array(point).min(1),
  shape_type: z.string().optional().catch(undefined),
});

const documentSchema = z.object({
  shapes: z.array(z.unknown()),
  imagePath: z.string().optional().catch(undefined),
  imageWidth: z.int().min(1).optional().catch(undefined),
  imageHeight: z.int().min(1).optional().catch(undefined),
});

/** The files of labelme's JSON: each has an image of its name, or is the one that was asked for. */
export async function findLabelMe(files: DetectionFiles): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of files.all) {
    if (!/\.json$/i.test(file)) continue;
    if (file !== files.given && files.images.partnerOf(file) === undefined) continue;
    if (isLabelMe(await readHead(files, file).catch(() => ""))) found.push(file);
  }
  return found;
}

/** The box around a shape; undefined for what has no extent, as points and lines. */
function boxOfShape({ points, shape_type }: z.output<typeof shapeSchema>): RawBox | undefined {
  const [first, second] = points;
  switch (shape_type) {
    case "circle": {
      if (first === undefined || second === undefined) return undefined;
      const radius = Math.hypot(second[0] - first[0], second[1] - first[1]);
      return [first[0] - radius, first[1] - radius, first[0] + radius, first[1] + radius];
    }
    case "point":
    case "points":
    case "line":
    case "linestrip":
      return undefined;
    default:
      return boxAround(points);
  }
}

/**
 * Reads annotations of labelme: the box around each shape. Points and lines are counted and left out.
 * @param sources those that `findLabelMe` found
 * @throws DataError where a list of classes beside them cannot be read
 */
export async function readLabelMe(files: DetectionFiles, sources: readonly string[]): Promise<RawDetections> {
  const faults: DetectionFault[] = [];
  const images = new Array<RawImage | undefined>(sources.length);
  await forEachLimited(sources, async (source, position) => {
    const unreadable = (detail: string) =>
      faults.push({ kind: "unreadable-annotations", file: source, detail });
    let value: unknown;
    try {
      ({ value } = await readJson(files, source));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      unreadable(error.message);
      return;
    }
    const parsed = documentSchema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      unreadable(`${issue?.path.join(".")}: ${issue?.message}`);
      return;
    }
    const { shapes, imagePath, imageWidth, imageHeight } = parsed.data;
    const objects: RawObject[] = [];
    for (const [i, each] of shapes.entries()) {
      const shape = shapeSchema.safeParse(each);
      const location = `shape ${i + 1}`;
      if (!shape.success) {
        unreadable(
          `${location}: ${shape.error.issues[0]?.path.join(".")}: ${shape.error.issues[0]?.message}`,
        );
        continue;
      }
      const box = boxOfShape(shape.data);
      const { label, shape_type } = shape.data;
      if (box === undefined) {
        faults.push({ kind: "not-read", file: source, detail: `${location}: ${shape_type} (${label})` });
      } else objects.push({ class: label, box, unit: "pixels", location });
    }
    const file =
      files.images.partnerOf(source) ?? files.images.find(imagePath ?? source, [folderOf(source), ""]);
    images[position] = {
      file,
      source,
      split: splitOfFolders(source) ?? splitOfFolders(file),
      objects,
      ...(imageWidth !== undefined &&
        imageHeight !== undefined && { declared: { width: imageWidth, height: imageHeight } }),
    };
  });
  return {
    format: "labelme",
    classes: await readClassList(files),
    images: images.filter((image) => image !== undefined),
    faults,
  };
}
