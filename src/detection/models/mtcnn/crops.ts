import type { Annotations } from "../../../data/boxes/set.ts";
import type { Random } from "../../../random.ts";
import { area, type Box, boxAt, intersection, iou, type Size } from "../../boxes/boxes.ts";

// Crops that the three networks are trained on (Zhang et al. 2016, section 3.1): square windows of training images, labeled by how far they
// agree with an object.

/** What a crop teaches: background; the edges of an object; both that there is one and its edges; its landmarks. */
export const CROP_KINDS = ["negative", "part", "positive", "landmarks"] as const;

export type CropKind = (typeof CROP_KINDS)[number];

/** IoU with an object below which a crop is negative, from which on it is a part, and above which it is positive. */
export const CROP_IOU = { negative: 0.3, part: 0.4, positive: 0.65 } as const;

/** An object to learn from. */
export interface CropObject {
  readonly box: Box;
  /** The square about its center with its longer side. Windows are squares, so that they are compared with this one. */
  readonly square: Box;
  /** x and y of each landmark, NaN where it is not marked; absent where none is. */
  readonly landmarks?: Float32Array;
}

/** What is marked in an image that crops are taken from. */
export interface CropImage extends Size {
  readonly objects: readonly CropObject[];
  /** Squares of objects that are not learnt from, as they are too small. They are no background. */
  readonly others: readonly Box[];
  /** Regions in which nothing is background. */
  readonly regions: readonly Box[];
}

/** A square window of an image, in its pixels; it may reach beyond the image. */
export interface Crop {
  readonly kind: CropKind;
  readonly window: Box;
  /** Whose edges or landmarks it teaches; undefined for a negative one. */
  readonly object: CropObject | undefined;
}

/** Which objects are learnt from. */
export interface CropRules {
  /** Side in pixels of the smallest objects that the cascade looks for. */
  readonly smallest: number;
  /** Whether objects that are marked as difficult are learnt from. */
  readonly difficult: boolean;
}

/** The square about the center of a box with its longer side. */
export function squareOf([x1, y1, x2, y2]: Box): Box {
  const half = Math.max(x2 - x1, y2 - y1) / 2;
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  return [x - half, y - half, x + half, y + half];
}

const sideOf = ([x1, , x2]: Box): number => x2 - x1;

/** What crops of an image are compared with. */
export function cropImage(annotations: Annotations, { smallest, difficult }: CropRules): CropImage {
  const { width, height, boxes, labels, landmarks } = annotations;
  const objects: CropObject[] = [];
  const [others, regions]: [Box[], Box[]] = [[], []];
  for (const i of labels.keys()) {
    const box = boxAt(boxes, i);
    const square = squareOf(box);
    const isIgnored = annotations.crowd[i] === 1 || (annotations.difficult[i] === 1 && !difficult);
    if (isIgnored) regions.push(box);
    else if (sideOf(square) < smallest) others.push(square);
    else {
      const numbers = (landmarks?.length ?? 0) / labels.length;
      const own = landmarks?.slice(numbers * i, numbers * (i + 1));
      objects.push({ box, square, ...(own?.some(Number.isFinite) && { landmarks: own }) });
    }
  }
  return { width, height, objects, others, regions };
}

/** What a window of an image teaches, and the object that it agrees with most; undefined where it is none of the three. */
export function labeled(
  window: Box,
  { objects, others, regions }: Pick<CropImage, "objects" | "others" | "regions">,
): Crop | undefined {
  let [best, object]: [number, CropObject | undefined] = [0, undefined];
  for (const candidate of objects) {
    const overlap = iou(window, candidate.square);
    if (overlap > best) [best, object] = [overlap, candidate];
  }
  if (best > CROP_IOU.positive) return { kind: "positive", window, object };
  if (best >= CROP_IOU.part) return { kind: "part", window, object };
  const isBackground =
    best < CROP_IOU.negative &&
    others.every((other) => iou(window, other) < CROP_IOU.negative) &&
    regions.every((region) => intersection(window, region) < CROP_IOU.negative * area(window));
  return isBackground ? { kind: "negative", window, object: undefined } : undefined;
}

/** How often a crop of a kind is tried to be drawn. */
const TRIES = 30;

/** Sides and shifts of crops around an object, in parts of its own side. */
const AROUND = {
  positive: { from: 0.8, to: 1.25, shift: 0.2 },
  landmarks: { from: 0.8, to: 1.25, shift: 0.2 },
  part: { from: 0.65, to: 1.5, shift: 0.4 },
} as const;

/** A number whose logarithm is uniform: as many windows of a pyramid are small. */
function logUniform(random: Random, from: number, to: number): number {
  return from * (to / from) ** random.uniform();
}

/** The window of that side whose corner is the nearest to a place, in whole pixels and within the image; undefined where there is no room. */
function windowWithin({ width, height }: Size, x: number, y: number, side: number): Box | undefined {
  const whole = Math.round(side);
  if (whole < 1 || whole > Math.min(width, height)) return undefined;
  const left = Math.min(Math.max(0, Math.round(x)), width - whole);
  const top = Math.min(Math.max(0, Math.round(y)), height - whole);
  return [left, top, left + whole, top + whole];
}

/** The window of that side at a place, in whole pixels, which may reach beyond the image, as those may that networks pass on. */
function windowBeyond(_image: Size, x: number, y: number, side: number): Box | undefined {
  const whole = Math.round(side);
  const [left, top] = [Math.round(x), Math.round(y)];
  return whole < 1 ? undefined : [left, top, left + whole, top + whole];
}

/**
 * Draws a window without an object: anywhere, or near one, where that is given.
 * @param smallest side of the smallest windows
 * @returns undefined where none is found, as in an image full of objects
 */
export function drawNegative(
  random: Random,
  image: CropImage,
  smallest: number,
  near?: CropObject,
): Crop | undefined {
  const { width, height } = image;
  const largest = Math.min(width, height);
  if (largest < smallest) return undefined;
  for (let tries = 0; tries < TRIES; tries++) {
    let window: Box | undefined;
    if (near === undefined) {
      const side = logUniform(random, smallest, largest);
      window = windowWithin(
        image,
        random.uniform() * (width - side),
        random.uniform() * (height - side),
        side,
      );
    } else {
      const own = sideOf(near.square);
      const side = Math.min(largest, Math.max(smallest, own * logUniform(random, 0.4, 2.5)));
      const x = near.square[0] - side + random.uniform() * (own + side);
      const y = near.square[1] - side + random.uniform() * (own + side);
      window = windowWithin(image, x, y, side);
    }
    const crop = window && labeled(window, image);
    if (crop?.kind === "negative") return crop;
  }
  return undefined;
}

/**
 * Draws a window around an object that teaches what is asked for; one for landmarks is as near as a positive one. Where no window within the
 * image does, it may reach beyond: objects that are wider than the image is high, or narrow ones at its border, have no other.
 * @returns undefined where none is found, as where a better one is all around
 */
export function drawAround(
  random: Random,
  image: CropImage,
  object: CropObject,
  kind: Exclude<CropKind, "negative">,
): Crop | undefined {
  const { from, to, shift } = AROUND[kind];
  const [x1, y1] = object.square;
  const own = sideOf(object.square);
  const wanted = kind === "landmarks" ? "positive" : kind;
  for (const windowAt of [windowWithin, windowBeyond]) {
    for (let tries = 0; tries < TRIES; tries++) {
      const side = own * (from + (to - from) * random.uniform());
      const moved = (edge: number): number =>
        edge + (own - side) / 2 + own * shift * (2 * random.uniform() - 1);
      const window = windowAt(image, moved(x1), moved(y1), side);
      const crop = window && labeled(window, image);
      if (crop?.kind === wanted && crop.object === object) return { ...crop, kind };
    }
  }
  return undefined;
}

/** A box in the mirror about the middle of a window. */
export function mirroredIn([left, , right]: Box, [x1, y1, x2, y2]: Box): Box {
  return [left + right - x2, y1, left + right - x1, y2];
}

/**
 * How the edges of an object lie beside those of a window, in parts of its side, as the networks predict it. In the published convention left and
 * top edges count from 1: what is added to them is one pixel less.
 */
export function offsetsOf([left, top, right, bottom]: Box, [x1, y1, x2, y2]: Box): Box {
  const [width, height] = [right - left, bottom - top];
  return [(x1 - left - 1) / width, (y1 - top - 1) / height, (x2 - right) / width, (y2 - bottom) / height];
}

/** Landmarks in parts of a window's side from its corner, all x, then all y, as the networks predict them. */
export function landmarksWithin(
  [left, top, right, bottom]: Box,
  landmarks: ArrayLike<number>,
): readonly number[] {
  const points = Array.from({ length: landmarks.length / 2 }, (_, point) => point);
  return [
    ...points.map((point) => ((landmarks[2 * point] ?? Number.NaN) - left) / (right - left)),
    ...points.map((point) => ((landmarks[2 * point + 1] ?? Number.NaN) - top) / (bottom - top)),
  ];
}
