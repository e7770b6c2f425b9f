import type { Annotations, ByteImage } from "../../data/boxes/set.ts";
import type { Random } from "../../random.ts";
import { area, type Box, boxAt, boxCount, intersection, type Size } from "../boxes/boxes.ts";
import { type Blend, type Canvas, type ColorMap, drawImage, type Placement, placeBox } from "./draw.ts";

// Copy-paste augmentation (Kisantal et al. 2019, "Augmentation for small object detection", section 4.2): small objects are pasted into their own
// image several times. What is pasted is the object's box with a rim of what is around it, over which the copy fades out: a hard edge would be
// what a detector learns to find.

/** How objects are copied. */
export interface CopyOptions {
  /** Copies of each object of an image. */
  readonly copies: number;
  /** How much larger or smaller than its object a copy is at most: with 0.2 between 1 / 1.2 and 1.2 times as large. */
  readonly scale: number;
  /** Width of the rim over which a copy fades out, in parts of its size. */
  readonly feather: number;
  /** Probability that a copy is mirrored left for right, and top for bottom. */
  readonly flip: number;
  readonly flipVertical: number;
}

/** A copy of an object, in pixels of its image. */
export interface ObjectCopy {
  /** The number of the object among those of the image. */
  readonly object: number;
  /** Its box, and that of the copy. */
  readonly from: Box;
  readonly box: Box;
  /** Left for right, and top for bottom. */
  readonly mirrored: boolean;
  readonly flipped: boolean;
}

/** Copies that are pasted into an image. */
export interface Pasted {
  /** The size of the image whose pixels the copies are in. */
  readonly image: Size;
  readonly feather: number;
  readonly copies: readonly ObjectCopy[];
}

/** Copies of the objects of an image, and how many found no room. */
export interface DrawnCopies {
  readonly copies: readonly ObjectCopy[];
  readonly unplaced: number;
}

/** Locations that are tried for a copy. */
const TRIES = 30;

/** Most copies in an image. */
export const MOST_COPIES = 100;

/**
 * The share of an object's box that boxes of others may cover: a copy shows them, too, where nobody marks them. Corners of boxes are mostly
 * background, so that some is no harm.
 */
const MOST_COVERED = 0.25;

/** A box with a rim around it, in parts of its size. */
function withRim([x1, y1, x2, y2]: Box, feather: number): Box {
  const rim = feather * Math.sqrt((x2 - x1) * (y2 - y1));
  return [x1 - rim, y1 - rim, x2 + rim, y2 + rim];
}

const isWithin = ([x1, y1, x2, y2]: Box, { width, height }: Size): boolean =>
  x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height;

/**
 * Those of some objects of an image that can be copied: whole ones, whose box and rim lie within the image, of which others cover a quarter at
 * most.
 */
export function copyable(
  annotations: Pick<Annotations, "boxes" | "width" | "height">,
  objects: readonly number[],
  feather: number,
): readonly number[] {
  const boxes = Array.from({ length: boxCount(annotations.boxes) }, (_, i) => boxAt(annotations.boxes, i));
  return objects.filter((object) => {
    const own = boxAt(annotations.boxes, object);
    if (!isWithin(withRim(own, feather), annotations)) return false;
    const covered = boxes.reduce((sum, box, i) => sum + (i === object ? 0 : intersection(box, own)), 0);
    return covered <= MOST_COVERED * area(own);
  });
}

/**
 * Copies of objects of an image at locations by chance: within the image, where neither copy nor rim touches the box of any other object,
 * ignored regions, crowds and earlier copies included. A pure function of the generator's key and what is given.
 * @param objects those that are copied, of positive area
 */
export function drawCopies(
  random: Random,
  annotations: Pick<Annotations, "boxes" | "width" | "height">,
  objects: readonly number[],
  { copies: each, scale, feather, flip, flipVertical }: CopyOptions,
): DrawnCopies {
  const { boxes, width, height } = annotations;
  const taken = Array.from({ length: boxCount(boxes) }, (_, i) => boxAt(boxes, i));
  const copies: ObjectCopy[] = [];
  // Each object has a copy before one has two, and where there are too many it is by chance which have none.
  const order = random.permutation(objects.length);
  const all = each * objects.length;
  for (let turn = 0; turn < Math.min(all, MOST_COPIES); turn++) {
    const object = objects[order[turn % objects.length] ?? 0] ?? 0;
    const from = boxAt(boxes, object);
    const factor = (1 + scale) ** (2 * random.uniform() - 1);
    const [w, h] = [factor * (from[2] - from[0]), factor * (from[3] - from[1])];
    const mirrored = random.uniform() < flip;
    const flipped = random.uniform() < flipVertical;
    for (let attempt = 0; attempt < TRIES && w <= width && h <= height; attempt++) {
      const x1 = random.uniform() * (width - w);
      const y1 = random.uniform() * (height - h);
      const box: Box = [x1, y1, x1 + w, y1 + h];
      const touched = withRim(box, feather);
      if (taken.some((other) => intersection(other, touched) > 0)) continue;
      copies.push({ object, from, box, mirrored, flipped });
      taken.push(box);
      break;
    }
  }
  return { copies, unplaced: all - copies.length };
}

/** How much of a copy is seen along one axis: all of it within its box, and linearly less over the rim, down to nothing at its end. */
export function fadingOut(from: number, to: number, rim: number): (at: number) => number {
  return (at) => {
    const outside = Math.max(from - at, at - to, 0);
    if (outside === 0) return 1;
    return outside >= rim ? 0 : 1 - outside / rim;
  };
}

/** The part of a canvas that a copy and its rim may change, in whole pixels: within the window and the image into which it is pasted. */
function patchWindow(patch: Box, { left, top, width, height, window }: Placement): Box {
  const first = (edge: number, start: number, least: number) =>
    Math.max(least, Math.floor(edge), Math.ceil(start - 0.5));
  const last = (edge: number, end: number, most: number) =>
    Math.min(most, Math.ceil(edge), Math.ceil(end - 0.5));
  return [
    first(patch[0], left, window[0]),
    first(patch[1], top, window[1]),
    last(patch[2], left + width, window[2]),
    last(patch[3], top + height, window[3]),
  ];
}

/**
 * Draws copies of objects over their image, which is on a canvas already, in the same colors.
 * @param image of any size in the proportions of the one whose pixels the copies are in
 * @param placement where the image lies
 */
export function drawPasted(
  canvas: Canvas,
  image: ByteImage,
  placement: Placement,
  { image: size, feather, copies }: Pasted,
  colors?: ColorMap | undefined,
): void {
  for (const { from, box, mirrored, flipped } of copies) {
    const target = placeBox(box, size, placement);
    const patch = placeBox(withRim(box, feather), size, placement);
    // The whole image, stretched, mirrored and moved so that the object comes to lie where its copy is to be.
    const isMirrored = mirrored !== placement.mirrored;
    const isFlipped = flipped !== placement.flipped;
    const across = (target[2] - target[0]) / (from[2] - from[0]);
    const down = (target[3] - target[1]) / (from[3] - from[1]);
    const copied: Placement = {
      left: target[0] - across * (isMirrored ? size.width - from[2] : from[0]),
      top: target[1] - down * (isFlipped ? size.height - from[3] : from[1]),
      width: across * size.width,
      height: down * size.height,
      mirrored: isMirrored,
      flipped: isFlipped,
      window: patchWindow(patch, placement),
    };
    const blend: Blend = {
      x: fadingOut(target[0], target[2], target[0] - patch[0]),
      y: fadingOut(target[1], target[3], target[1] - patch[1]),
    };
    drawImage(canvas, image, copied, colors, blend);
  }
}
