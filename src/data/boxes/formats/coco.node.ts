import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { counted } from "../../../memory.ts";
import { isRecord } from "../../../options.ts";
import { firstNames, shortened } from "../../../printable.ts";
import type { RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import { type Category, type DetectionFault, FACE_SUBSETS, type FaceSubset, subsetBits } from "../set.ts";
import type { DetectionFiles, JsonFile } from "./files.node.ts";
import { boxAround, boxOfMask } from "./outlines.ts";
import { fileNameOf, folderOf, splitOfPath, stemOf } from "./paths.node.ts";

// COCO's JSON (Lin et al. 2014, "Microsoft COCO: common objects in context"): images, annotations and categories in one file for
// each split; a box is [x, y, width, height] with its top left corner.

/** Ids are numbers or texts, and are compared as texts: tools write both for the same thing. */
const id = z.union([z.int(), z.string()]);
type Id = z.output<typeof id>;

/** A file of COCO's format, of which images and annotations are looked at one by one. */
export const documentSchema = z.object({
  images: z.array(z.unknown()),
  annotations: z.array(z.unknown()),
  categories: z.array(
    z.object({ id, name: z.string().min(1), supercategory: z.string().optional().catch(undefined) }),
  ),
});

/** An image of a file of COCO's format. */
export const imageSchema = z.object({
  id,
  file_name: z.string().min(1),
  width: z.int().min(1).optional().catch(undefined),
  height: z.int().min(1).optional().catch(undefined),
});

const flag = z.union([z.int(), z.boolean()]).optional().catch(undefined);

/** An annotation of a file of COCO's format. */
export const annotationSchema = z.object({
  image_id: id,
  category_id: id,
  bbox: z.array(z.unknown()).optional().catch(undefined),
  segmentation: z.unknown().optional(),
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

/**
 * The files of COCO's format among JSON files; those that hold captions, results or other things are left out.
 * @returns `files` to read, and `others` that are of its format and not read
 */
export function findCoco(json: readonly JsonFile[]): {
  readonly files: readonly CocoFile[];
  readonly others: readonly string[];
} {
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
  const files = instances.length > 0 ? instances : found;
  return { files, others: found.filter((file) => !files.includes(file)).map(({ file }) => file) };
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

/** The box around a segmentation: outlines of numbers, or a mask in run lengths; undefined where it is neither. */
function outlineBox(segmentation: unknown): RawBox | undefined {
  if (!Array.isArray(segmentation)) return boxOfMask(segmentation);
  return boxAround(segmentation.flatMap((part) => (Array.isArray(part) ? [part] : [])));
}

/** An annotation as an object, and whether its box is that around its outline. */
export function rawObject(
  { bbox = [], segmentation, area, iscrowd, ignore, keypoints = [] }: z.output<typeof annotationSchema>,
  name: string | number,
  location: string,
): RawObject & { readonly isOutline: boolean } {
  const at = (position: number) => {
    const value = bbox[position];
    return typeof value === "number" ? value : Number.NaN;
  };
  const [x, y] = [at(0), at(1)];
  const landmarks = landmarksOf(keypoints);
  const outline = bbox.length === 0 ? outlineBox(segmentation) : undefined;
  return {
    class: name,
    box: outline ?? [x, y, x + at(2), y + at(3)],
    isOutline: outline !== undefined,
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
export function imageFolders(file: string): readonly string[] {
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

/** A fault for each thing of a file of annotations that does not parse. */
function* parsedEach<T>(
  values: readonly unknown[],
  schema: z.ZodType<T>,
  what: string,
  unreadable: (detail: string) => void,
): Generator<readonly [number: number, value: T]> {
  for (const [i, value] of values.entries()) {
    // A list of a million numbers is refused at once; a schema takes its time over each.
    const parsed = isRecord(value) ? schema.safeParse(value) : undefined;
    if (parsed?.success === true) yield [i + 1, parsed.data];
    else if (parsed === undefined) unreadable(`${what} ${i + 1}: not an object`);
    else {
      const [issue] = parsed.error.issues;
      unreadable(`${what} ${i + 1}: ${issue?.path.join(".")}: ${issue?.message}`);
    }
  }
}

const byId = (a: { readonly id: Id }, b: { readonly id: Id }): number => {
  if (typeof a.id === "number" && typeof b.id === "number") return a.id - b.id;
  return String(a.id) < String(b.id) ? -1 : 1;
};

/** The categories of all files, one for each name, with the ids that they have; none where files differ about ids. */
function commonCategories(all: readonly Category[]): readonly Category[] | undefined {
  const ids = new Map<string, Category>();
  const names = new Map<string, Category>();
  for (const category of all) {
    const key = String(category.id);
    const [sameId, sameName] = [ids.get(key), names.get(category.name)];
    if (sameId !== undefined && sameId.name !== category.name) return undefined;
    if (sameName === undefined) names.set(category.name, category);
    ids.set(key, category);
  }
  return [...names.values()];
}

/**
 * Reads annotations in COCO's format. Classes are the categories in order of their ids, one for each name. Images under one id that are
 * several files are left out: nothing tells whose the boxes are.
 * @param sources those that `findCoco` found
 */
export function readCoco(files: DetectionFiles, sources: readonly CocoFile[]): RawDetections {
  const faults: DetectionFault[] = [];
  const images: RawImage[] = [];
  const all: Category[] = [];
  for (const { file, document } of sources) {
    const unreadable = (detail: string) => faults.push({ kind: "unreadable-annotations", file, detail });
    const categories = document.categories.toSorted(byId);
    const names = new Map(categories.map(({ id, name }) => [String(id), name]));
    for (const category of categories) all.push(category);

    const unknown: { readonly location: string; readonly difficulty: unknown }[] = [];
    const objects = new Map<string, RawObject[]>();
    for (const [number, parsed] of parsedEach(
      document.annotations,
      annotationSchema,
      "annotation",
      unreadable,
    )) {
      const location = `annotation ${number}`;
      const { image_id, category_id, difficulty } = parsed;
      const subsets = subsetsOf(difficulty);
      if (difficulty !== undefined && subsets === undefined) unknown.push({ location, difficulty });
      const name = names.get(String(category_id)) ?? `category ${category_id}`;
      const list = objects.get(String(image_id)) ?? [];
      const { isOutline, ...object } = rawObject(parsed, name, location);
      if (isOutline) faults.push({ kind: "outline-box", file, detail: `${location} (${name})` });
      list.push(subsets === undefined ? object : { ...object, subsets });
      objects.set(String(image_id), list);
    }

    const [first] = unknown;
    if (first !== undefined) {
      const detail = `of ${counted(unknown.length, "object")}, the first is ${first.location}: ${JSON.stringify(first.difficulty)?.slice(0, 40)}`;
      faults.push({ kind: "unknown-difficulty", file, detail });
    }
    const folders = imageFolders(file);
    const split = splitOfPath(file);
    const listed = new Map<string, RawImage[]>();
    for (const [, parsed] of parsedEach(document.images, imageSchema, "image", unreadable)) {
      const { id, file_name, width, height } = parsed;
      const same = listed.get(String(id)) ?? [];
      listed.set(String(id), same);
      same.push({
        file: files.images.find(file_name, folders),
        id,
        source: file,
        split,
        objects: objects.get(String(id)) ?? [],
        ...(width !== undefined && height !== undefined && { declared: { width, height } }),
      });
    }
    for (const [id, same] of listed) {
      objects.delete(id);
      const others = [...new Set(same.map((image) => image.file))];
      if (others.length === 1) for (const image of same) images.push(image);
      else {
        const shown = firstNames(others.slice(0, 4).map(shortened), 3);
        const detail = `${others.length} files have the id ${id} in ${file}: ${shown}; give each image an id of its own`;
        for (const { file: image } of same) {
          faults.push({ kind: "ambiguous-image", file: image, detail });
        }
      }
    }
    for (const [id, orphans] of objects) {
      const detail = `image ${id} is not among the images of ${file}; ${orphans.length} annotations are of it, the first is ${orphans[0]?.location}`;
      faults.push({ kind: "missing-image", file, detail });
    }
  }
  const classes = [...new Set(all.map(({ name }) => name))];
  return { format: "coco", classes, categories: commonCategories(all), images, faults };
}

/** The ids that a file of COCO's format has: of images by their file names, and of categories by their names. */
export interface CocoIds {
  readonly images: ReadonlyMap<string, Id>;
  readonly categories: readonly Category[];
}

/**
 * The ids of a file of COCO's format, as of a ground truth that results are compared with.
 * @throws DataError where it is none, or two of its images have one id or one name
 */
export function cocoIds({ file, value }: JsonFile): CocoIds {
  const [found] = findCoco([{ file, value }]).files;
  if (found === undefined) {
    throw new DataError(`${file}: not as COCO defines it; images, annotations and categories are needed`);
  }
  const images = new Map<string, Id>();
  const ids = new Set<string>();
  const unreadable = (detail: string) => {
    throw new DataError(`${file}: ${detail}`);
  };
  for (const [number, { id, file_name }] of parsedEach(
    found.document.images,
    imageSchema,
    "image",
    unreadable,
  )) {
    if (images.has(file_name) || ids.has(String(id))) {
      throw new DataError(
        `${file}: image ${number}: another one has its name or its id (${file_name}, ${id})`,
      );
    }
    images.set(file_name, id);
    ids.add(String(id));
  }
  return { images, categories: found.document.categories };
}
