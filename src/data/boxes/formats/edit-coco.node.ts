import { append } from "../../../append.ts";
import { DataError } from "../../../errors.ts";
import { isRecord } from "../../../options.ts";
import type { PixelSize, RawBox } from "../check.ts";
import { annotationSchema, documentSchema, imageFolders, imageSchema, rawObject } from "./coco.node.ts";
import { digits } from "./encode.ts";
import type { DetectionFiles } from "./files.node.ts";
import { type JsonStyle, type ListSpans, listSpans, styleOf, withLists, written } from "./json-spans.ts";
import {
  isSameBox,
  isSameMark,
  type Mark,
  markOf,
  moved,
  type PhotoMarks,
  paired,
  UNMARKED,
  versionOf,
} from "./marks.node.ts";
import { fileNameOf, folderOf } from "./paths.node.ts";

// Photos of a file in COCO's format, one at a time. What is edited is written anew; every other character of the file stays.

/** A file without images, for a folder that has no annotations yet. */
export const NEW_COCO = '{"images": [], "annotations": [], "categories": []}\n';

/** An annotation that is shown. */
interface Shown {
  readonly index: number;
  readonly text: string;
  readonly mark: Mark;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A photo of the file. */
interface Entry {
  /** Its position in the list of images. */
  readonly index: number;
  readonly id: unknown;
}

/** Ids that are whole numbers, at most. */
function largestId(values: readonly unknown[]): number {
  let most = 0;
  for (const value of values) {
    if (isRecord(value) && typeof value.id === "number" && Number.isSafeInteger(value.id))
      most = Math.max(most, value.id);
  }
  return most;
}

const outlinesOf = (segmentation: unknown): readonly (readonly number[])[] =>
  Array.isArray(segmentation)
    ? segmentation.filter(
        (part): part is number[] =>
          Array.isArray(part) && part.length >= 6 && part.every((value) => typeof value === "number"),
      )
    : [];

const bboxOf = ([x1, y1, x2, y2]: RawBox): number[] => [x1, y1, x2 - x1, y2 - y1].map(digits);

const areaOf = ([x1, y1, x2, y2]: RawBox): number => (x2 - x1) * (y2 - y1);

/** An annotation after its mark was edited: what the mark does not hold is kept, and outlines and key points go with the box. */
function changedAnnotation(
  value: Readonly<Record<string, unknown>>,
  before: Mark,
  after: Mark,
  category: unknown,
): Record<string, unknown> {
  const changed: Record<string, unknown> = { ...value };
  if (before.class !== after.class) changed.category_id = category;
  if (before.crowd !== after.crowd) changed.iscrowd = after.crowd ? 1 : 0;
  if (before.difficult !== after.difficult) changed.ignore = after.difficult ? 1 : 0;
  if (isSameBox(before.box, after.box)) return changed;
  changed.bbox = bboxOf(after.box);
  const along = (numbers: readonly number[]) => moved(numbers, before.box, after.box).map(digits);
  const { segmentation, keypoints, area } = value;
  if (before.outlines !== undefined && Array.isArray(segmentation)) {
    const outlines = new Set<unknown>(before.outlines);
    changed.segmentation = segmentation.map((part) => (outlines.has(part) ? along(part as number[]) : part));
  }
  if (
    Array.isArray(keypoints) &&
    keypoints.length % 3 === 0 &&
    keypoints.every((one) => typeof one === "number")
  ) {
    changed.keypoints = (keypoints as number[]).flatMap((_, i, all) => {
      if (i % 3 !== 0) return [];
      const [x = 0, y = 0, mark = 0] = all.slice(i, i + 3);
      return mark > 0 ? [...along([x, y]), mark] : [x, y, mark];
    });
  }
  const share = typeof area === "number" && area > 0 ? area / areaOf(before.box) : 1;
  changed.area = digits(share * areaOf(after.box));
  return changed;
}

/** A file in COCO's format whose photos are read and edited one at a time. */
export class CocoText {
  readonly file: string;
  readonly text: string;
  private readonly lists: ReadonlyMap<string, ListSpans>;
  private readonly annotations: readonly unknown[];
  private readonly images: readonly unknown[];
  /** Names of categories by their ids, and their ids by names. */
  private readonly names: ReadonlyMap<string, string>;
  private readonly ids: ReadonlyMap<string, unknown>;
  private readonly entries = new Map<string, Entry[]>();
  private readonly byImage = new Map<string, number[]>();
  /** The folder and the name that an image was found by, for the names of further ones. */
  private readonly prefixes = new Map<string, string>();

  /** @param file path below the root  @throws DataError where it is no such file */
  constructor(files: Pick<DetectionFiles, "images">, file: string, text: string) {
    this.file = file;
    this.text = text;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new DataError(`${file}: not valid JSON`, { cause });
    }
    const parsed = documentSchema.safeParse(value);
    if (!isRecord(value) || !parsed.success) throw new DataError(`${file}: not as COCO defines it`);
    const { images, annotations, categories } = parsed.data;
    [this.images, this.annotations] = [images, annotations];
    this.lists = listSpans(text);
    this.names = new Map(categories.map(({ id, name }) => [String(id), name]));
    this.ids = new Map(categories.toReversed().map(({ id, name }) => [name, id]));
    const folders = imageFolders(file);
    for (const [index, image] of images.entries()) {
      const known = imageSchema.safeParse(image);
      if (!known.success) continue;
      const { id, file_name } = known.data;
      const path = files.images.find(file_name, folders);
      append(this.entries, path, { index, id });
      if (fileNameOf(file_name) === fileNameOf(path)) {
        this.prefixes.set(
          folderOf(path),
          file_name.slice(0, file_name.length - fileNameOf(file_name).length),
        );
      }
    }
    for (const [index, annotation] of annotations.entries()) {
      if (!isRecord(annotation)) continue;
      const key = String(annotation.image_id);
      append(this.byImage, key, index);
    }
  }

  /** Images of the file that are directly in a folder. */
  countIn(folder: string): number {
    let count = 0;
    for (const path of this.entries.keys()) if (folderOf(path) === folder) count++;
    return count;
  }

  has(path: string): boolean {
    return this.entries.has(path);
  }

  private spans(key: string): ListSpans {
    const list = this.lists.get(key);
    if (list === undefined) throw new DataError(`${this.file}: has no list of ${key}`);
    return list;
  }

  private slice(key: string, index: number): string {
    const span = this.spans(key).elements[index];
    if (span === undefined) throw new RangeError(`element ${index} of ${key}`);
    return this.text.slice(span.from, span.to);
  }

  /** @throws DataError where nothing tells which entry is that of the photo */
  private entryOf(path: string): Entry | undefined {
    const [entry, other] = this.entries.get(path) ?? [];
    if (other !== undefined) {
      throw new DataError(
        `${path} is listed twice in ${this.file}; leave one of its entries out, then it can be marked here`,
      );
    }
    const isShared =
      entry !== undefined &&
      [...this.entries.values()].flat().filter(({ id }) => String(id) === String(entry.id)).length > 1;
    if (isShared) {
      throw new DataError(
        `${path}: another image of ${this.file} has its id ${String(entry.id)}; give each an id of its own`,
      );
    }
    return entry;
  }

  private markOf(value: Readonly<Record<string, unknown>>, text: string, size: PixelSize): Mark | undefined {
    const parsed = annotationSchema.safeParse(value);
    if (!parsed.success) return undefined;
    const name = this.names.get(String(parsed.data.category_id));
    const mark = markOf(rawObject(parsed.data, name ?? "", ""), name, size);
    const outlines = outlinesOf(value.segmentation);
    return mark && { ...mark, ...(outlines.length > 0 && { outlines }), kept: text };
  }

  private shownOf(id: unknown, size: PixelSize): readonly Shown[] {
    return (this.byImage.get(String(id)) ?? []).flatMap((index): Shown[] => {
      const value = this.annotations[index];
      if (!isRecord(value)) return [];
      const text = this.slice("annotations", index);
      const mark = this.markOf(value, text, size);
      return mark === undefined ? [] : [{ index, text, mark, value }];
    });
  }

  /** What the file holds of a photo. @throws DataError where nothing tells which entry is its own */
  photo(path: string, size: PixelSize): PhotoMarks {
    const entry = this.entryOf(path);
    if (entry === undefined) return { isMarked: false, marks: [], hidden: 0, version: UNMARKED };
    const shown = this.shownOf(entry.id, size);
    const own = this.byImage.get(String(entry.id)) ?? [];
    return {
      isMarked: true,
      marks: shown.map(({ mark }) => mark),
      hidden: own.length - shown.length,
      version: versionOf(
        this.slice("images", entry.index),
        ...own.map((index) => this.slice("annotations", index)),
      ),
    };
  }

  /**
   * The text of the file with other marks of a photo; undefined takes the photo out of it, where it has no entries that are not shown.
   * @throws DataError where nothing tells which entry is that of the photo
   */
  withPhoto(path: string, size: PixelSize, marks: readonly Mark[] | undefined): string {
    const entry = this.entryOf(path);
    const shown = entry === undefined ? [] : this.shownOf(entry.id, size);
    const own = entry === undefined ? [] : (this.byImage.get(String(entry.id)) ?? []);
    const isTaken = marks === undefined && own.length === shown.length;
    const id = entry?.id ?? largestId(this.images) + 1;
    const { categories, added: newCategories } = this.categoriesFor(marks ?? []);
    const [images, annotations, classes] = [
      this.spans("images"),
      this.spans("annotations"),
      this.spans("categories"),
    ];
    const usual = styleOf(this.text, images);
    const style = styleOf(this.text, annotations, usual);

    const { held, added } = paired(shown, marks ?? []);
    const changed = new Map<number, string | null>();
    const ids = new Set<string>();
    for (const value of this.annotations) if (isRecord(value)) ids.add(String(value.id));
    for (const one of shown) {
      const mark = held.get(one);
      if (mark === undefined) {
        changed.set(one.index, null);
        ids.delete(String(one.value.id));
      } else if (!isSameMark(one.mark, mark)) {
        changed.set(
          one.index,
          written(changedAnnotation(one.value, one.mark, mark, categories.get(mark.class)), style),
        );
      }
    }
    let next = largestId(this.annotations) + 1;
    const further = added.map((mark) => {
      const value = this.annotationFor(mark, size, id, categories.get(mark.class));
      if (value.id === undefined || ids.has(String(value.id))) value.id = next++;
      ids.add(String(value.id));
      return written(value, style);
    });
    return withLists(this.text, [
      {
        list: images,
        changed: new Map(isTaken && entry !== undefined ? [[entry.index, null]] : []),
        added:
          entry === undefined && marks !== undefined ? [written(this.imageFor(path, id, size), usual)] : [],
        style: usual,
      },
      { list: annotations, changed, added: further, style },
      { list: classes, changed: new Map(), added: newCategories, style: styleOf(this.text, classes, usual) },
    ]);
  }

  private imageFor(path: string, id: unknown, { width, height }: PixelSize): object {
    const prefix = this.prefixes.get(folderOf(path));
    const file_name = prefix === undefined ? path : prefix + fileNameOf(path);
    return { id, file_name, width, height };
  }

  /** A new annotation, or one that was deleted and is back. */
  private annotationFor(
    mark: Mark,
    size: PixelSize,
    image: unknown,
    category: unknown,
  ): Record<string, unknown> {
    const kept: unknown = mark.kept === undefined ? undefined : parsedOrNothing(mark.kept);
    const before = isRecord(kept) && mark.kept !== undefined ? this.markOf(kept, mark.kept, size) : undefined;
    if (isRecord(kept) && before !== undefined) {
      return { ...changedAnnotation(kept, before, mark, category), image_id: image };
    }
    return {
      id: undefined,
      image_id: image,
      category_id: category,
      bbox: bboxOf(mark.box),
      area: digits(areaOf(mark.box)),
      iscrowd: mark.crowd ? 1 : 0,
      ...(mark.difficult && { ignore: 1 }),
    };
  }

  /** The ids of all classes of marks, and categories for those that the file does not have. */
  private categoriesFor(marks: readonly Mark[], names: readonly string[] = []) {
    const list = this.spans("categories");
    const style: JsonStyle = styleOf(this.text, list, styleOf(this.text, this.spans("images")));
    const categories = new Map(this.ids);
    const added: string[] = [];
    let next =
      Math.max(0, ...[...this.ids.values()].map((id) => (typeof id === "number" ? id : Number(id) || 0))) + 1;
    for (const name of new Set([...names, ...marks.map((mark) => mark.class)])) {
      if (categories.has(name)) continue;
      categories.set(name, next);
      added.push(written({ id: next++, name, supercategory: "" }, style));
    }
    return { categories, added };
  }

  /** The text of the file with categories for all of these classes. */
  withClasses(names: readonly string[]): string {
    const { added } = this.categoriesFor([], names);
    const list = this.spans("categories");
    const style = styleOf(this.text, list, styleOf(this.text, this.spans("images")));
    return withLists(this.text, [{ list, changed: new Map(), added, style }]);
  }
}

function parsedOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
