import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { counted } from "../../../memory.ts";
import { isRecord } from "../../../options.ts";
import type { RawDetections, RawImage, RawObject } from "../check.ts";
import { type DetectionFault, FACE_SUBSETS, type FaceSubset, subsetBits } from "../set.ts";
import type { JsonFile } from "./files.node.ts";
import { type DetectionFiles, fileNameOf, folderOf, splitOfPath, stemOf } from "./files.node.ts";

// COCO's JSON (Lin et al. 2014, "Microsoft COCO: common objects in context"): images, annotations and categories in one file for
// each split; a box is [x, y, width, height] with its top left corner.

const id = z.union([z.int(), z.string()]);

const documentSchema = z.object({
  images: z.array(z.unknown()),
  annotations: z.array(z.unknown()),
  categories: z.array(z.object({ id, name: z.string().min(1) })),
});

const imageSchema = z.object({
  id,
  file_name: z.string().min(1),
  width: z.int().min(1).optional().catch(undefined),
  height: z.int().min(1).optional().catch(undefined),
});

const flag = z.union([z.int(), z.boolean()]).optional().catch(undefined);

const annotationSchema = z.object({
  image_id: id,
  category_id: id,
  bbox: z.array(z.unknown()).optional().catch(undefined),
  area: z.number().optional().catch(undefined),
  keypoints: z.array(z.unknown()).optional().catch(undefined),
  iscrowd: flag,
  ignore: flag,
  difficulty: z.unknown().optional(),
});

type CocoDocument = z.output<typeof documentSchema>;

export interface CocoFile {
  readonly file: string;
  readonly document: CocoDocument;
}

const looksLikeCoco = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  "images" in value &&
  "categories" in value &&
  "annotations" in value;

/** The files of COCO's format among JSON files; those that hold captions, results or other things are left out. */
export function findCoco(json: readonly JsonFile[]): readonly CocoFile[] {
  const found = json.flatMap(({ file, value }): CocoFile[] => {
    if (!looksLikeCoco(value)) return [];
    const parsed = documentSchema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new DataError(`${file}: not as COCO defines it; ${issue?.path.join(".")}: ${issue?.message}`);
    }
    return [{ file, document: parsed.data }];
  });
  // COCO's own folder has key points of people besides, which are boxes of a part of the images.
  const instances = found.filter(({ file }) => /instances/i.test(fileNameOf(file)));
  return instances.length > 0 ? instances : found;
}

const isSet = (value: number | boolean | undefined): boolean =>
  value === true || (typeof value === "number" && value !== 0);

/** Numbers of a key point: x, y and whether it is marked: 0, or 1 where it is hidden, or 2. */
const KEY_POINT = 3;

/** Key points as landmarks, NaN for those that are not marked; undefined where there are none. */
function landmarksOf(keypoints: readonly unknown[]): readonly number[] | undefined {
  const points = keypoints.length / KEY_POINT;
  if (points === 0 || !Number.isInteger(points)) return undefined;
  const landmarks = Array.from({ length: points }, (_, point) => {
    const [x, y, mark] = keypoints.slice(KEY_POINT * point, KEY_POINT * (point + 1));
    const isMarked = typeof x === "number" && typeof y === "number" && typeof mark === "number" && mark > 0;
    return isMarked ? [x, y] : [Number.NaN, Number.NaN];
  }).flat();
  return landmarks.some(Number.isFinite) ? landmarks : undefined;
}

function rawObject(
  { bbox = [], area, iscrowd, ignore, keypoints = [] }: z.output<typeof annotationSchema>,
  name: string | number,
  location: string,
): RawObject {
  const at = (position: number) => {
    const value = bbox[position];
    return typeof value === "number" ? value : Number.NaN;
  };
  const [x, y] = [at(0), at(1)];
  const landmarks = landmarksOf(keypoints);
  return {
    class: name,
    box: [x, y, x + at(2), y + at(3)],
    unit: "pixels",
    location,
    crowd: isSet(iscrowd),
    difficult: isSet(ignore),
    ...(area !== undefined && { area }),
    ...(landmarks && { landmarks }),
  };
}

const isSubset = (value: unknown): value is FaceSubset => FACE_SUBSETS.some((name) => name === value);

/**
 * The subsets of WIDER FACE that a difficulty means: an easy face counts in all three, a hard one in the last alone, as in WIDER FACE; a
 * list has just those that it names. Undefined where it means none.
 */
function subsetsOf(difficulty: unknown): number | undefined {
  if (isSubset(difficulty)) return subsetBits(FACE_SUBSETS.slice(FACE_SUBSETS.indexOf(difficulty)));
  return Array.isArray(difficulty) && difficulty.every(isSubset) ? subsetBits(difficulty) : undefined;
}

/** Folders in which the images of a file of annotations may be, the likeliest first. */
function imageFolders(file: string): readonly string[] {
  const year = stemOf(fileNameOf(file)).match(/[A-Za-z]+\d*$/)?.[0] ?? "";
  const split = splitOfPath(file);
  const names = [
    year,
    ...(split === "validation" ? ["val", "valid", "validation"] : split === undefined ? [] : [split]),
  ];
  const own = folderOf(file);
  return [
    own,
    `${own}images/`,
    ...names.flatMap((name) => [`${name}/`, `images/${name}/`, `${name}/images/`]),
    "",
    "images/",
  ];
}

/**
 * Reads annotations in COCO's format. Classes are the categories in order of their ids, one for each name.
 * @param sources those that `findCoco` found
 */
export function readCoco(files: DetectionFiles, sources: readonly CocoFile[]): RawDetections {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  const classes = new Set<string>();
  for (const { file, document } of sources) {
    const unreadable = (detail: string) => faults.push({ kind: "unreadable-annotations", file, detail });
    const categories = document.categories.toSorted((a, b) =>
      typeof a.id === "number" && typeof b.id === "number"
        ? a.id - b.id
        : String(a.id) < String(b.id)
          ? -1
          : 1,
    );
    const names = new Map(categories.map(({ id, name }) => [id, name]));
    for (const { name } of categories) classes.add(name);

    const unknown: { readonly location: string; readonly difficulty: unknown }[] = [];
    const objects = new Map<string | number, RawObject[]>();
    for (const [i, value] of document.annotations.entries()) {
      if (!isRecord(value)) {
        unreadable(`annotation ${i + 1}: not an object`);
        continue;
      }
      const parsed = annotationSchema.safeParse(value);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        unreadable(`annotation ${i + 1}: ${issue?.path.join(".")}: ${issue?.message}`);
        continue;
      }
      const { image_id, category_id, difficulty } = parsed.data;
      const subsets = subsetsOf(difficulty);
      if (difficulty !== undefined && subsets === undefined) {
        unknown.push({ location: `annotation ${i + 1}`, difficulty });
      }
      const name = names.get(category_id) ?? `category ${category_id}`;
      const list = objects.get(image_id) ?? [];
      const object = rawObject(parsed.data, name, `annotation ${i + 1}`);
      list.push(subsets === undefined ? object : { ...object, subsets });
      objects.set(image_id, list);
    }

    const [first] = unknown;
    if (first !== undefined) {
      const detail = `of ${counted(unknown.length, "object")}, the first is ${first.location}: ${JSON.stringify(first.difficulty)?.slice(0, 40)}`;
      faults.push({ kind: "unknown-difficulty", file, detail });
    }
    const folders = imageFolders(file);
    const split = splitOfPath(file);
    for (const [i, value] of document.images.entries()) {
      if (!isRecord(value)) {
        unreadable(`image ${i + 1}: not an object`);
        continue;
      }
      const parsed = imageSchema.safeParse(value);
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        unreadable(`image ${i + 1}: ${issue?.path.join(".")}: ${issue?.message}`);
        continue;
      }
      const { id, file_name, width, height } = parsed.data;
      images.push({
        file: files.images.find(file_name, folders),
        source: file,
        split,
        objects: objects.get(id) ?? [],
        ...(width !== undefined && height !== undefined && { declared: { width, height } }),
      });
      objects.delete(id);
    }
    for (const [id, orphans] of objects) {
      const detail = `image ${id} is not among the images of ${file}; ${orphans.length} annotations are of it, the first is ${orphans[0]?.location}`;
      faults.push({ kind: "missing-image", file, detail });
    }
  }
  return { format: "coco", classes: [...classes], images, faults };
}
