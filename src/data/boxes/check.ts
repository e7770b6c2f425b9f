import { type SplitName, splitNamed } from "../sources/data-set.ts";
import type { Annotations, Category, DetectionFault, FaultKind } from "./set.ts";

/** The formats of annotations that are read and written. */
export const DETECTION_FORMATS = ["voc", "coco", "yolo", "createml", "csv"] as const;

export type DetectionFormat = (typeof DETECTION_FORMATS)[number];

/** The formats of annotations that are read: those, and the ones of tools and data sets that are not written. */
export const READ_FORMATS = [
  ...DETECTION_FORMATS,
  "wider",
  "labelme",
  "cvat",
  "label-studio",
  "kitti",
] as const;

export type ReadFormat = (typeof READ_FORMATS)[number];

/** A box as four numbers that nothing is known of yet: edges, left, top, right and bottom. */
export type RawBox = readonly [x1: number, y1: number, x2: number, y2: number];

/** The box of an object whose edges cannot be read: a fault. */
export const NO_BOX: RawBox = [Number.NaN, Number.NaN, Number.NaN, Number.NaN];

export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** An object as a file of annotations has it. */
export interface RawObject {
  /** Name of its class, or its number in the classes that the format lists. */
  readonly class: string | number;
  readonly box: RawBox;
  /** Whether edges are in pixels, or shares of the width and the height. */
  readonly unit: "pixels" | "shares";
  /** The subsets of WIDER FACE that it counts in, by `subsetBits`, where its file has some. */
  readonly subsets?: number;
  readonly difficult?: boolean;
  readonly crowd?: boolean;
  readonly area?: number;
  /** x and y of each landmark, in the same unit as the box; NaN for one that is not marked. */
  readonly landmarks?: readonly number[];
  /** Its location in its file, as in `object 13` or `line 4`. */
  readonly location: string;
}

/** An image as a file of annotations has it. */
export interface RawImage {
  /** Path of the image within the data set, with `/` between folders. */
  readonly file: string;
  /** The id of the image in its annotations, where they have ids. */
  readonly id?: number | string | undefined;
  /** The file that holds its annotations, likewise. */
  readonly source: string;
  /** The size of the image by its annotations. */
  readonly declared?: PixelSize | undefined;
  readonly split?: SplitName | undefined;
  readonly objects: readonly RawObject[];
}

/** A data set as its files have it, before boxes and images are checked. */
export interface RawDetections {
  readonly format: ReadFormat;
  /** The classes, where the format lists them. */
  readonly classes?: readonly string[] | undefined;
  /** The ids of classes, where the format has ids. */
  readonly categories?: readonly Category[] | undefined;
  readonly images: readonly RawImage[];
  /** What of the files could not be read. */
  readonly faults: readonly DetectionFault[];
}

/** The split that a name such as `instances_val2017.json` or `valid` means; undefined where it means none. */
export function splitOfName(name: string): SplitName | undefined {
  for (const word of name.split(/[^A-Za-z]+/)) {
    const split = splitNamed(word);
    if (split !== undefined) return split;
  }
  return undefined;
}

/** EXIF's orientations of a stored image: 1 is upright, 3 upside down, 6 and 8 on a side, the others mirrored as well. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** The header of an image file. */
export interface ImageHeader {
  /** Size of the pixels as they are stored. */
  readonly stored: PixelSize;
  readonly orientation: Orientation;
}

/** Boxes that reach this little beyond an image, in pixels, do so by rounding alone. */
const ROUNDING = 0.01;

/** A box that is narrower than this, in pixels, differs from an empty one by rounding alone. */
const LEAST_SIDE = 0.001;

/** Size of an image that is turned by its EXIF orientation. */
export function uprightSize({ stored, orientation }: ImageHeader): PixelSize {
  return orientation < 5 ? stored : { width: stored.height, height: stored.width };
}

/** A box of the stored pixels as one of the upright image. */
export function uprightBox([x1, y1, x2, y2]: RawBox, { stored, orientation }: ImageHeader): RawBox {
  const { width, height } = stored;
  switch (orientation) {
    case 1:
      return [x1, y1, x2, y2];
    case 2:
      return [width - x2, y1, width - x1, y2];
    case 3:
      return [width - x2, height - y2, width - x1, height - y1];
    case 4:
      return [x1, height - y2, x2, height - y1];
    case 5:
      return [y1, x1, y2, x2];
    case 6:
      return [height - y2, x1, height - y1, x2];
    case 7:
      return [height - y2, width - x2, height - y1, width - x1];
    case 8:
      return [y1, width - x2, y2, width - x1];
  }
}

const sameSize = (a: PixelSize, b: PixelSize): boolean => a.width === b.width && a.height === b.height;

/** Landmarks of an object at most. */
export const MOST_LANDMARKS = 256;

/**
 * Landmarks that the objects of a set have: the number that most of those have which have any (the larger of two equally frequent ones); 0
 * where none has any.
 */
export function usualLandmarks(images: readonly Pick<RawImage, "objects">[]): number {
  const counts = new Map<number, number>();
  for (const { objects } of images) {
    for (const { landmarks } of objects) {
      const points = (landmarks?.length ?? 0) / 2;
      if (points > 0 && points <= MOST_LANDMARKS) counts.set(points, (counts.get(points) ?? 0) + 1);
    }
  }
  let [usual, most] = [0, 0];
  for (const [points, count] of counts) {
    if (count > most || (count === most && points > usual)) [usual, most] = [points, count];
  }
  return usual;
}

/** Whose pixels boxes are counted in, where EXIF data turn an image: those of the file, or those of the upright image. */
export const FRAMES = ["stored", "upright"] as const;

export type Frame = (typeof FRAMES)[number];

/**
 * What an image by itself shows of whose pixels its boxes are in: by the size that annotations declare, or else by boxes that reach beyond one
 * of the two frames and not beyond the other. Undefined where it shows nothing: it is not turned on a side, is square, or has no such boxes.
 */
export function frameShown({ declared, objects }: RawImage, header: ImageHeader): Frame | undefined {
  const { stored } = header;
  const upright = uprightSize(header);
  if (sameSize(stored, upright)) return undefined;
  if (declared !== undefined) {
    if (sameSize(declared, stored)) return "stored";
    return sameSize(declared, upright) ? "upright" : undefined;
  }
  const within = ({ width, height }: PixelSize) =>
    objects.every(({ unit, box: [x1, y1, x2, y2] }) =>
      unit === "shares" ? true : x1 >= -1 && y1 >= -1 && x2 <= width + 1 && y2 <= height + 1,
    );
  const [inStored, inUpright] = [within(stored), within(upright)];
  if (inStored === inUpright) return undefined;
  return inStored ? "stored" : "upright";
}

/** An object as faults name it. */
function shown({ location, class: name, box }: RawObject): string {
  return `${location} (${name}): [${box.map((edge) => +edge.toFixed(3)).join(", ")}]`;
}

/**
 * The annotations of an image with all that cannot be used left out: boxes in pixels of the upright image, clipped to it, each
 * with a class and a positive area, none twice.
 *
 * Where EXIF data turn the image, boxes are of the pixels as stored, and turned with them, or of the upright image. What the image itself
 * shows counts (`frameShown`), then `frame`.
 * @param classOf number of a class by its name, or by its number in the format's list; undefined for unknown ones
 * @param points landmarks that the objects of the set have; default: none
 * @param frame whose pixels boxes are in, where EXIF data turn the image and nothing in it shows it; default: those of the upright image,
 * which is what people are shown who mark boxes. `always` takes it whatever is shown
 */
export function checkAnnotations(
  raw: RawImage,
  header: ImageHeader,
  classOf: (name: string | number) => number | undefined,
  points = 0,
  { frame = "upright", always = false }: { readonly frame?: Frame; readonly always?: boolean } = {},
): { readonly annotations: Annotations; readonly faults: readonly DetectionFault[] } {
  const faults: DetectionFault[] = [];
  const fault = (kind: FaultKind, detail: string) => faults.push({ kind, file: raw.file, detail });
  const upright = uprightSize(header);
  const turned = header.orientation !== 1;
  const boxesAreStored = turned && (always ? frame : (frameShown(raw, header) ?? frame)) === "stored";
  if (turned) {
    const whose = boxesAreStored
      ? "boxes are of the image as stored, and turned with it"
      : "boxes are taken to be of the upright image";
    fault("turned-image", `EXIF orientation ${header.orientation}; ${whose}`);
  }
  if (raw.declared !== undefined && !sameSize(raw.declared, boxesAreStored ? header.stored : upright)) {
    const { width, height } = raw.declared;
    fault(
      "other-size",
      `${upright.width} × ${upright.height} pixels, where ${raw.source} has ${width} × ${height}`,
    );
  }

  const kept: { object: RawObject; box: RawBox; label: number; clipped: boolean; landmarks: number[] }[] = [];
  const unmarked = new Array<number>(2 * points).fill(Number.NaN);
  const seen = new Set<string>();
  for (const object of raw.objects) {
    if (!object.box.every(Number.isFinite)) {
      fault("broken-box", shown(object));
      continue;
    }
    const frame = boxesAreStored ? header.stored : upright;
    const pixels = object.unit === "pixels" ? object.box : scaled(object.box, frame);
    const box = boxesAreStored ? uprightBox(pixels, header) : pixels;
    if (isEmpty(box)) {
      fault("empty-box", shown(object));
      continue;
    }
    const inside = clipped(box, upright);
    if (isEmpty(inside)) {
      fault("outside-box", `${shown(object)} in ${upright.width} × ${upright.height} pixels`);
      continue;
    }
    const label = classOf(object.class);
    if (label === undefined) {
      fault("unknown-class", shown(object));
      continue;
    }
    const key = `${label} ${inside.join(" ")} ${object.crowd === true}`;
    if (seen.has(key)) {
      fault("repeated-box", shown(object));
      continue;
    }
    seen.add(key);
    const cut = inside.some((edge, side) => Math.abs(edge - (box[side] ?? edge)) > ROUNDING);
    if (cut) fault("clipped-box", `${shown(object)} in ${upright.width} × ${upright.height} pixels`);
    const { landmarks = [] } = object;
    if (landmarks.length > 0 && landmarks.length !== 2 * points) {
      fault("other-landmarks", `${object.location}: ${landmarks.length / 2}, where most have ${points}`);
    }
    const usable = landmarks.length === 2 * points ? placedLandmarks(object, frame) : unmarked;
    kept.push({
      object,
      box: inside,
      label,
      clipped: cut,
      landmarks: boxesAreStored ? uprightLandmarks(usable, header) : usable,
    });
  }

  const boxes = Float32Array.from(kept.flatMap(({ box }) => [...box]));
  return {
    faults,
    annotations: {
      file: raw.file,
      ...(raw.id !== undefined && { id: raw.id }),
      ...upright,
      boxes,
      labels: Int32Array.from(kept, ({ label }) => label),
      difficult: Uint8Array.from(kept, ({ object }) => (object.difficult === true ? 1 : 0)),
      crowd: Uint8Array.from(kept, ({ object }) => (object.crowd === true ? 1 : 0)),
      ...(kept.some(({ object: { subsets = 0 } }) => subsets > 0) && {
        subsets: Uint8Array.from(kept, ({ object: { subsets = 0 } }) => subsets),
      }),
      areas: Float32Array.from(kept, ({ object, box: [x1, y1, x2, y2], clipped }) => {
        const whole = (x2 - x1) * (y2 - y1);
        const { area } = object;
        if (area === undefined || !(area > 0)) return whole;
        // What was cut off may have been a part of the outline.
        return clipped ? Math.min(area, whole) : area;
      }),
      ...(points > 0 && { landmarks: Float32Array.from(kept.flatMap(({ landmarks }) => landmarks)) }),
    },
  };
}

/** Landmarks of an object in pixels; a landmark of which one number is none is not marked. */
function placedLandmarks({ landmarks = [], unit }: RawObject, { width, height }: PixelSize): number[] {
  const [sx, sy] = unit === "pixels" ? [1, 1] : [width, height];
  return landmarks.map((value, i) => {
    const other = landmarks[i ^ 1] ?? Number.NaN;
    if (!Number.isFinite(value) || !Number.isFinite(other)) return Number.NaN;
    return value * (i % 2 === 0 ? sx : sy);
  });
}

/** Landmarks of the stored pixels as ones of the upright image, in their order. */
function uprightLandmarks(landmarks: readonly number[], header: ImageHeader): number[] {
  return Array.from({ length: landmarks.length / 2 }, (_, point) => {
    const [x = Number.NaN, y = Number.NaN] = landmarks.slice(2 * point, 2 * point + 2);
    const [left, top] = uprightBox([x, y, x, y], header);
    return [left, top];
  }).flat();
}

function scaled([x1, y1, x2, y2]: RawBox, { width, height }: PixelSize): RawBox {
  return [x1 * width, y1 * height, x2 * width, y2 * height];
}

function clipped([x1, y1, x2, y2]: RawBox, { width, height }: PixelSize): RawBox {
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  return [clamp(x1, width), clamp(y1, height), clamp(x2, width), clamp(y2, height)];
}

/** True where a box has no area, also in float32, in which it will be kept. */
function isEmpty([x1, y1, x2, y2]: RawBox): boolean {
  const hasExtent = (from: number, to: number) =>
    to - from >= LEAST_SIDE && Math.fround(to) > Math.fround(from);
  return !(hasExtent(x1, x2) && hasExtent(y1, y2));
}
