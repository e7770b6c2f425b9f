import { stringify } from "yaml";
import { DataError, OptionError } from "../../../errors.ts";
import { CsvLines, isMarked, type MarkedCells } from "../../files/csv.ts";
import type { SplitName } from "../../sources/data-set.ts";
import type { DetectionFormat, PixelSize } from "../check.ts";
import { type Annotations, type Category, FACE_SUBSETS, subsetBits } from "../set.ts";

// Annotations as the texts of each format. Coordinates have nine digits, which is all that float32 holds.

/** An image and the name of its file in what is written, without folders. */
export interface NamedImage {
  readonly name: string;
  readonly annotations: Annotations;
}

export type ImagesBySplit = Readonly<Record<SplitName, readonly NamedImage[]>>;

/** Files of a data set by their paths, and where its images belong. */
export interface EncodedSet {
  readonly texts: ReadonlyMap<string, string>;
  imagePath(split: SplitName, name: string): string;
  /** Names of classes that were marked, as often as they were, since a spreadsheet would take them for formulas. */
  readonly marked?: MarkedCells;
}

interface PlainObject {
  readonly label: number;
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
  readonly difficult: boolean;
  readonly crowd: boolean;
  readonly area: number;
  /** By `subsetBits`. */
  readonly subsets: number;
  /** x and y of each landmark, NaN for one that is not marked; none where no landmark is. */
  readonly landmarks: readonly number[];
}

/** What formats cannot express of an object. */
export const LOST: Readonly<
  Record<DetectionFormat, Readonly<Record<"difficult" | "crowd" | "subsets" | "landmarks", boolean>>>
> = {
  voc: { difficult: false, crowd: true, subsets: true, landmarks: true },
  coco: { difficult: false, crowd: false, subsets: false, landmarks: false },
  yolo: { difficult: true, crowd: true, subsets: true, landmarks: true },
  createml: { difficult: true, crowd: true, subsets: true, landmarks: true },
  csv: { difficult: false, crowd: false, subsets: true, landmarks: true },
};

/** COCO's marks of a key point: not marked, and seen. */
const [NOT_MARKED, SEEN] = [0, 2] as const;

/** Landmarks as COCO's key points, x, y and a mark of each; nothing where there are none. */
function keyPoints(landmarks: readonly number[]): object {
  if (landmarks.length === 0) return {};
  const points = Array.from({ length: landmarks.length / 2 }, (_, i) => {
    const [x = Number.NaN, y = Number.NaN] = landmarks.slice(2 * i, 2 * i + 2);
    return Number.isFinite(x + y) ? [digits(x), digits(y), SEEN] : [0, 0, NOT_MARKED];
  });
  return { keypoints: points.flat(), num_keypoints: points.filter(([, , mark]) => mark === SEEN).length };
}

/** The names of the key points of a class as COCO's categories have them; nothing where objects have none. */
function pointNames(images: ImagesBySplit): object {
  for (const { annotations } of Object.values(images).flat()) {
    const points = (annotations.landmarks?.length ?? 0) / Math.max(1, annotations.labels.length) / 2;
    if (points === 0) continue;
    return { keypoints: Array.from({ length: points }, (_, i) => `point ${i + 1}`) };
  }
  return {};
}

/** A coordinate as it is written. */
export const digits = (value: number): number => Number(value.toPrecision(9));

/** @throws RangeError where there is no such class */
function className(classes: readonly string[], label: number): string {
  const name = classes[label];
  if (name === undefined) throw new RangeError(`class ${label} of ${classes.length}`);
  return name;
}

/** What XML 1.0 cannot hold, not even escaped: most controls, halves of surrogate pairs and two code points that are none. */
const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/** Half of a surrogate pair, which only JSON can hold. */
const HALF = /\p{Surrogate}/u;

/** Why a format cannot hold the name of a class so that it is read again as it was; undefined where it can. */
export function faultOfClass(format: DetectionFormat, name: string): string | undefined {
  if (name === "") return "a class without a name cannot be told from no class";
  if (/[\r\n]/.test(name) || name.trim() !== name) {
    return "names with line breaks, or spaces at an end, cannot be written";
  }
  if (format === "voc" && NOT_XML.test(name)) {
    return "it holds a character that XML has no words for; write another format, such as coco";
  }
  if (format !== "coco" && name.includes("\0")) {
    return "it holds a NUL character, which is taken for damage in a text; write coco, or rename it";
  }
  if (format !== "coco" && HALF.test(name)) {
    return "it holds half of a character, which no text in UTF-8 can; write coco, or rename it";
  }
  return undefined;
}

/** Why a format cannot hold the name of an image; undefined where it can. */
function faultOfFile(format: DetectionFormat, name: string): string | undefined {
  if (format !== "voc") return undefined;
  return /[\r\n]/.test(name) || stem(name).trim() !== stem(name) || NOT_XML.test(name)
    ? "it holds a line break, a space at an end, or a character that XML has no words for; write another format, such as coco"
    : undefined;
}

/**
 * Checks that names can be written in a format and read again as they were.
 * @param csvSafe as for `encodeDetections`
 * @throws OptionError naming the class; DataError naming the image
 */
function checkNames(
  format: DetectionFormat,
  classes: readonly string[],
  images: readonly string[],
  csvSafe = true,
): void {
  for (const name of classes) {
    const fault =
      faultOfClass(format, name) ??
      // Reading takes marks off, whoever made them.
      (format === "csv" && !csvSafe && isMarked(name)
        ? "an apostrophe before a formula is taken for a mark when the table is read; leave csvSafe on"
        : undefined);
    if (fault !== undefined) throw new OptionError(`class ${quotedName(name)}: ${fault}`);
  }
  for (const name of images) {
    const fault = faultOfFile(format, name);
    if (fault !== undefined) throw new DataError(`image ${quotedName(name)}: ${fault}`);
  }
}

/** A name as messages quote it. */
function quotedName(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}

/** The objects that a format has words for. */
function objectsOf(
  { boxes, labels, difficult, crowd, areas, subsets, landmarks }: Annotations,
  format: DetectionFormat,
): PlainObject[] {
  const numbers = (landmarks?.length ?? 0) / Math.max(1, labels.length);
  const all = Array.from(labels, (label, i): PlainObject => {
    const points = Array.from(landmarks?.subarray(numbers * i, numbers * (i + 1)) ?? []);
    const [x1, y1, x2, y2] = boxes.subarray(4 * i, 4 * i + 4);
    const area = areas[i];
    if (x1 === undefined || y1 === undefined || x2 === undefined || y2 === undefined || area === undefined) {
      throw new RangeError(`object ${i} of ${labels.length} has no box`);
    }
    return {
      label,
      box: [x1, y1, x2, y2],
      difficult: difficult[i] === 1,
      crowd: crowd[i] === 1,
      area,
      subsets: subsets?.[i] ?? 0,
      landmarks: points.some(Number.isFinite) ? points : [],
    };
  });
  return all.filter((object) => !(object.crowd && LOST[format].crowd));
}

const stem = (name: string): string => name.replace(/\.[^.]*$/, "");

const SHORT: Readonly<Record<SplitName, string>> = { train: "train", validation: "val", test: "test" };

function parts(images: ImagesBySplit): readonly (readonly [SplitName, readonly NamedImage[]])[] {
  return (Object.entries(images) as [SplitName, readonly NamedImage[]][]).filter(
    ([, part]) => part.length > 0,
  );
}

const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join("");

/** A text inside an element of XML. */
export function escapeXml(text: string): string {
  const marks: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
  };
  return text.replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}

/** An object as an element of VOC's files, indented by a tab. */
export function vocObject(name: string, box: readonly number[], difficult: boolean): string {
  const [xmin, ymin, xmax, ymax] = box.map(digits);
  return `<object>
		<name>${escapeXml(name)}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>${difficult ? 1 : 0}</difficult>
		<bndbox>
			<xmin>${xmin}</xmin>
			<ymin>${ymin}</ymin>
			<xmax>${xmax}</xmax>
			<ymax>${ymax}</ymax>
		</bndbox>
	</object>`;
}

/** A file of VOC's format. @param folder in which its image is @param objects elements of `vocObject` */
export function vocFile(
  folder: string,
  name: string,
  { width, height }: PixelSize,
  objects: readonly string[],
): string {
  return `<annotation>
	<folder>${escapeXml(folder)}</folder>
	<filename>${escapeXml(name)}</filename>
	<size>
		<width>${width}</width>
		<height>${height}</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
${objects.map((object) => `	${object}\n`).join("")}</annotation>
`;
}

function vocXml({ name, annotations }: NamedImage, classes: readonly string[]): string {
  const objects = objectsOf(annotations, "voc").map(({ label, box, difficult }) =>
    vocObject(className(classes, label), box, difficult),
  );
  return vocFile("JPEGImages", name, annotations, objects);
}

function encodeVoc(images: ImagesBySplit, classes: readonly string[]): EncodedSet {
  const texts = new Map([["classes.txt", lines(classes)]]);
  for (const [split, part] of parts(images)) {
    texts.set(`ImageSets/Main/${SHORT[split]}.txt`, lines(part.map(({ name }) => stem(name))));
    for (const image of part) texts.set(`Annotations/${stem(image.name)}.xml`, vocXml(image, classes));
  }
  const both = [...images.train, ...images.validation].map(({ name }) => stem(name));
  texts.set("ImageSets/Main/trainval.txt", lines(both));
  return { texts, imagePath: (_, name) => `JPEGImages/${name}` };
}

/** Categories of COCO under the ids that they had, where all have one and no two the same; otherwise numbers from 1 on. */
function categoriesOf(classes: readonly string[], known: readonly Category[] = []): readonly Category[] {
  const byName = new Map(known.map((category) => [category.name, category]));
  const kept = classes.flatMap((name) => byName.get(name) ?? []);
  const ids = new Set(kept.map(({ id }) => String(id)));
  return kept.length === classes.length && ids.size === classes.length
    ? kept.map(({ id, name, supercategory = "" }) => ({ id, name, supercategory }))
    : classes.map((name, i) => ({ id: i + 1, name, supercategory: "" }));
}

/** True where every image has an id, and no two the same: they are kept. */
function haveIds(images: readonly NamedImage[]): boolean {
  const ids = images.flatMap(({ annotations: { id } }) => (id === undefined ? [] : [String(id)]));
  return ids.length === images.length && new Set(ids).size === images.length;
}

function encodeCoco(
  images: ImagesBySplit,
  classes: readonly string[],
  { categories: known }: EncodeOptions,
): EncodedSet {
  const categories = categoriesOf(classes, known).map((category) => ({ ...category, ...pointNames(images) }));
  const texts = new Map<string, string>();
  const kept = haveIds(Object.values(images).flat());
  let [count, annotationId] = [0, 0];
  for (const [split, part] of parts(images)) {
    const list: object[] = [];
    const annotations: object[] = [];
    for (const { name, annotations: own } of part) {
      count++;
      const imageId = kept ? own.id : count;
      list.push({ id: imageId, file_name: name, width: own.width, height: own.height });
      for (const { label, box, difficult, crowd, area, subsets, landmarks } of objectsOf(own, "coco")) {
        const [x1, y1, x2, y2] = box;
        annotations.push({
          id: ++annotationId,
          image_id: imageId,
          category_id: categories[label]?.id,
          bbox: [x1, y1, x2 - x1, y2 - y1].map(digits),
          area: digits(area),
          iscrowd: crowd ? 1 : 0,
          ...(difficult && { ignore: 1 }),
          ...keyPoints(landmarks),
          ...(subsets > 0 && {
            difficulty: FACE_SUBSETS.filter((name) => (subsets & subsetBits([name])) > 0),
          }),
        });
      }
    }
    texts.set(
      `annotations/instances_${SHORT[split]}.json`,
      JSON.stringify({ images: list, annotations, categories }),
    );
  }
  return { texts, imagePath: (_, name) => `images/${name}` };
}

function encodeYolo(images: ImagesBySplit, classes: readonly string[]): EncodedSet {
  const texts = new Map<string, string>();
  const folders: Record<string, string> = {};
  for (const [split, part] of parts(images)) {
    folders[SHORT[split]] = `images/${SHORT[split]}`;
    for (const { name, annotations } of part) {
      const { width, height } = annotations;
      const rows = objectsOf(annotations, "yolo").map(({ label, box: [x1, y1, x2, y2] }) => {
        const shares = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
        return [label, ...shares.map(digits)].join(" ");
      });
      texts.set(`labels/${SHORT[split]}/${stem(name)}.txt`, lines(rows));
    }
  }
  texts.set("data.yaml", stringify({ ...folders, nc: classes.length, names: classes }));
  return { texts, imagePath: (split, name) => `images/${SHORT[split]}/${name}` };
}

function encodeCreateMl(images: ImagesBySplit, classes: readonly string[]): EncodedSet {
  const folder = (split: SplitName) => (split === "validation" ? "valid" : split);
  const texts = new Map([["classes.txt", lines(classes)]]);
  for (const [split, part] of parts(images)) {
    const list = part.map(({ name, annotations }) => ({
      image: name,
      annotations: objectsOf(annotations, "createml").map(({ label, box: [x1, y1, x2, y2] }) => ({
        label: classes[label],
        coordinates: {
          x: digits((x1 + x2) / 2),
          y: digits((y1 + y2) / 2),
          width: digits(x2 - x1),
          height: digits(y2 - y1),
        },
      })),
    }));
    texts.set(`${folder(split)}/_annotations.createml.json`, JSON.stringify(list));
  }
  return { texts, imagePath: (split, name) => `${folder(split)}/${name}` };
}

const CSV_COLUMNS = [
  "filename",
  "width",
  "height",
  "class",
  "xmin",
  "ymin",
  "xmax",
  "ymax",
  "difficult",
  "crowd",
  "split",
];

function encodeCsv(
  images: ImagesBySplit,
  classes: readonly string[],
  { csvSafe = true }: EncodeOptions,
): EncodedSet {
  const csv = new CsvLines(CSV_COLUMNS, { csvSafe });
  const rows = [csv.head()];
  const nothing = [null, null, null, null, null, null, null];
  for (const [split, part] of parts(images)) {
    for (const { name, annotations } of part) {
      const { width, height } = annotations;
      const head = [`images/${name}`, width, height];
      const objects = objectsOf(annotations, "csv");
      if (objects.length === 0) rows.push(csv.row([...head, ...nothing, SHORT[split]]));
      for (const { label, box, difficult, crowd } of objects) {
        const flags = [difficult ? 1 : 0, crowd ? 1 : 0];
        rows.push(csv.row([...head, className(classes, label), ...box.map(digits), ...flags, SHORT[split]]));
      }
    }
  }
  const texts = new Map([
    ["classes.txt", lines(classes)],
    ["annotations.csv", lines(rows)],
  ]);
  return {
    texts,
    imagePath: (_, name) => `images/${name}`,
    ...(csv.marked !== undefined && { marked: csv.marked }),
  };
}

const ENCODERS = {
  voc: encodeVoc,
  coco: encodeCoco,
  yolo: encodeYolo,
  createml: encodeCreateMl,
  csv: encodeCsv,
} as const;

/** How a set is written. */
interface EncodeOptions {
  readonly csvSafe?: boolean;
  /** The ids of classes, which COCO's format keeps, as it does those of images. */
  readonly categories?: readonly Category[] | undefined;
}

/**
 * A detection set as files of a format. Parts that are empty are not written.
 * @param options `csvSafe`: whether names of classes that a spreadsheet would take for formulas are marked in the table of the format csv; reading
 * takes the marks off
 * @throws OptionError naming a class, DataError naming an image that the format cannot hold the name of
 */
export function encodeDetections(
  format: DetectionFormat,
  images: ImagesBySplit,
  classes: readonly string[],
  options: EncodeOptions = {},
): EncodedSet {
  const names = parts(images).flatMap(([, part]) => part.map(({ name }) => name));
  checkNames(format, classes, names, options.csvSafe);
  return ENCODERS[format](images, classes, options);
}
