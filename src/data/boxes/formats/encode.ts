import { stringify } from "yaml";
import type { SplitName } from "../../sources/data-set.ts";
import type { DetectionFormat } from "../check.ts";
import type { Annotations } from "../set.ts";

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
}

interface PlainObject {
  readonly label: number;
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
  readonly difficult: boolean;
  readonly crowd: boolean;
  readonly area: number;
}

/** What formats cannot express of an object. */
export const LOST: Readonly<
  Record<DetectionFormat, { readonly difficult: boolean; readonly crowd: boolean }>
> = {
  voc: { difficult: false, crowd: true },
  coco: { difficult: false, crowd: false },
  yolo: { difficult: true, crowd: true },
  createml: { difficult: true, crowd: true },
  csv: { difficult: false, crowd: false },
};

const digits = (value: number): number => Number(value.toPrecision(9));

/** @throws RangeError where there is no such class */
function className(classes: readonly string[], label: number): string {
  const name = classes[label];
  if (name === undefined) throw new RangeError(`class ${label} of ${classes.length}`);
  return name;
}

/** The objects that a format has words for. */
function objectsOf(
  { boxes, labels, difficult, crowd, areas }: Annotations,
  format: DetectionFormat,
): PlainObject[] {
  const all = Array.from(labels, (label, i): PlainObject => {
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

function escapeXml(text: string): string {
  const marks: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
  };
  return text.replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}

function vocXml({ name, annotations }: NamedImage, classes: readonly string[]): string {
  const objects = objectsOf(annotations, "voc").map(({ label, box, difficult }) => {
    const [xmin, ymin, xmax, ymax] = box.map(digits);
    return `	<object>
		<name>${escapeXml(className(classes, label))}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>${difficult ? 1 : 0}</difficult>
		<bndbox>
			<xmin>${xmin}</xmin>
			<ymin>${ymin}</ymin>
			<xmax>${xmax}</xmax>
			<ymax>${ymax}</ymax>
		</bndbox>
	</object>
`;
  });
  return `<annotation>
	<folder>JPEGImages</folder>
	<filename>${escapeXml(name)}</filename>
	<size>
		<width>${annotations.width}</width>
		<height>${annotations.height}</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
${objects.join("")}</annotation>
`;
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

function encodeCoco(images: ImagesBySplit, classes: readonly string[]): EncodedSet {
  const categories = classes.map((name, i) => ({ id: i + 1, name, supercategory: "" }));
  const texts = new Map<string, string>();
  let [imageId, annotationId] = [0, 0];
  for (const [split, part] of parts(images)) {
    const list: object[] = [];
    const annotations: object[] = [];
    for (const { name, annotations: own } of part) {
      list.push({ id: ++imageId, file_name: name, width: own.width, height: own.height });
      for (const { label, box, difficult, crowd, area } of objectsOf(own, "coco")) {
        const [x1, y1, x2, y2] = box;
        annotations.push({
          id: ++annotationId,
          image_id: imageId,
          category_id: label + 1,
          bbox: [x1, y1, x2 - x1, y2 - y1].map(digits),
          area: digits(area),
          iscrowd: crowd ? 1 : 0,
          ...(difficult && { ignore: 1 }),
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

const quoted = (text: string): string =>
  /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

function encodeCsv(images: ImagesBySplit, classes: readonly string[]): EncodedSet {
  const rows = ["filename,width,height,class,xmin,ymin,xmax,ymax,difficult,crowd,split"];
  for (const [split, part] of parts(images)) {
    for (const { name, annotations } of part) {
      const { width, height } = annotations;
      const head = `${quoted(`images/${name}`)},${width},${height}`;
      const objects = objectsOf(annotations, "csv");
      if (objects.length === 0) rows.push(`${head},,,,,,,,${SHORT[split]}`);
      for (const { label, box, difficult, crowd } of objects) {
        const edges = box.map(digits).join(",");
        const flags = `${difficult ? 1 : 0},${crowd ? 1 : 0}`;
        rows.push(`${head},${quoted(className(classes, label))},${edges},${flags},${SHORT[split]}`);
      }
    }
  }
  const texts = new Map([
    ["classes.txt", lines(classes)],
    ["annotations.csv", lines(rows)],
  ]);
  return { texts, imagePath: (_, name) => `images/${name}` };
}

const ENCODERS = {
  voc: encodeVoc,
  coco: encodeCoco,
  yolo: encodeYolo,
  createml: encodeCreateMl,
  csv: encodeCsv,
} as const;

/** A detection set as files of a format. Parts that are empty are not written. */
export function encodeDetections(
  format: DetectionFormat,
  images: ImagesBySplit,
  classes: readonly string[],
): EncodedSet {
  return ENCODERS[format](images, classes);
}
