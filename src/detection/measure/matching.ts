import { OptionError } from "../../errors.ts";
import { areas, boxCount } from "../boxes/boxes.ts";
import type { Detections, Truth } from "../boxes/detections.ts";

/** What was found in an image, and what is in it: checked, and copied into arrays of numbers. */
export interface EvaluatedImage {
  /** From the best score down, equal ones in the order given. */
  readonly found: {
    readonly boxes: Float64Array;
    readonly scores: Float64Array;
    readonly classes: Uint32Array;
    readonly areas: Float64Array;
  };
  readonly truth: {
    readonly boxes: Float64Array;
    readonly classes: Uint32Array;
    readonly areas: Float64Array;
    /** 1 for a crowd. */
    readonly crowd: Uint8Array;
    /** 1 for what need not be found, crowds among it. */
    readonly ignored: Uint8Array;
    /** The subsets of WIDER FACE that an object counts in: see `Truth`. */
    readonly subsets: Uint8Array;
  };
}

/** Smallest and largest area in square pixels; both belong to the range. */
export type AreaRange = readonly [smallest: number, largest: number];

/** Objects of every size. */
export const EVERY_AREA: AreaRange = [0, Number.POSITIVE_INFINITY];

/**
 * Checks and copies the detections and the objects of an image.
 * @param name of the image, for errors
 * @param classCount classes are numbers below it
 * @throws OptionError where arrays do not belong together, a class does not exist, a score is NaN or a coordinate is not finite
 */
export function evaluatedImage(
  name: string,
  classCount: number,
  detections: Detections,
  truth: Truth,
): EvaluatedImage {
  const order = Uint32Array.from({ length: detections.scores.length }, (_, i) => i);
  checkArrays(`${name}, detections`, detections.boxes, detections.classes, classCount, detections.scores);
  checkArrays(`${name}, objects`, truth.boxes, truth.classes, classCount, truth.areas);
  const count = truth.classes.length;
  const flags = (option: "crowd" | "ignore"): Uint8Array => {
    const given = truth[option];
    if (given !== undefined && given.length !== count) {
      throw new OptionError(`${name}: ${given.length} values of ${option} for ${count} objects`);
    }
    return Uint8Array.from({ length: count }, (_, i) => (given?.[i] ? 1 : 0));
  };
  const subsets = truth.subsets ?? new Uint8Array(count);
  if (subsets.length !== count) {
    throw new OptionError(`${name}: ${subsets.length} values of subsets for ${count} objects`);
  }
  const { scores } = detections;
  order.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const boxes = new Float64Array(4 * order.length);
  for (const [rank, i] of order.entries()) boxes.set(detections.boxes.subarray(4 * i, 4 * i + 4), 4 * rank);
  const crowd = flags("crowd");
  const ignore = flags("ignore");
  return {
    found: {
      boxes,
      scores: Float64Array.from(order, (i) => scores[i] ?? 0),
      classes: Uint32Array.from(order, (i) => detections.classes[i] ?? 0),
      areas: areas(boxes),
    },
    truth: {
      boxes: Float64Array.from(truth.boxes),
      classes: Uint32Array.from(truth.classes),
      areas: truth.areas === undefined ? areas(truth.boxes) : Float64Array.from(truth.areas),
      crowd,
      ignored: crowd.map((is, i) => is | (ignore[i] ?? 0)),
      subsets: Uint8Array.from(subsets),
    },
  };
}

function checkArrays(
  name: string,
  boxes: ArrayLike<number>,
  classes: ArrayLike<number>,
  classCount: number,
  values: ArrayLike<number> | undefined,
): void {
  const count = boxCount(boxes);
  if (classes.length !== count || (values !== undefined && values.length !== count)) {
    const others = values === undefined ? "" : ` and ${values.length} scores or areas`;
    throw new OptionError(
      `${name}: ${count} boxes, ${classes.length} classes${others} do not belong together`,
    );
  }
  for (let i = 0; i < count; i++) {
    const label = classes[i] ?? -1;
    if (!Number.isInteger(label) || label < 0 || label >= classCount) {
      throw new OptionError(
        `${name}: number ${i} has class ${label}; there are classes 0 to ${classCount - 1}`,
      );
    }
    if (Number.isNaN(values?.[i])) throw new OptionError(`${name}: number ${i} has a score or area of NaN`);
    for (let side = 4 * i; side < 4 * i + 4; side++) {
      if (!Number.isFinite(boxes[side])) {
        throw new OptionError(
          `${name}: number ${i} has a coordinate of ${boxes[side]}, which is no location`,
        );
      }
    }
  }
}

/** The detections and objects of one class in an image, by their indices in it. */
export interface ClassGroup {
  readonly image: EvaluatedImage;
  /** Detections from the best down. */
  readonly found: readonly number[];
  readonly truth: readonly number[];
}

/** For each class the images that have a detection or an object of it, in order. */
export function groupByClass(
  images: readonly EvaluatedImage[],
  classCount: number,
): readonly (readonly ClassGroup[])[] {
  const classes: ClassGroup[][] = Array.from({ length: classCount }, () => []);
  for (const image of images) {
    const groups = new Map<number, { found: number[]; truth: number[] }>();
    const enter = (label: number, kind: "found" | "truth", i: number) => {
      const group = groups.get(label) ?? { found: [], truth: [] };
      group[kind].push(i);
      groups.set(label, group);
    };
    for (const [i, label] of image.found.classes.entries()) enter(label, "found", i);
    for (const [i, label] of image.truth.classes.entries()) enter(label, "truth", i);
    for (const [label, group] of groups) classes[label]?.push({ image, ...group });
  }
  return classes;
}

/**
 * IoU of each detection (rows) with each object (columns) of an image; with a crowd it is the share of the detection that lies
 * in it.
 */
export function evaluationOverlaps(
  image: EvaluatedImage,
  found: readonly number[],
  truth: readonly number[],
): Float64Array {
  const overlaps = new Float64Array(found.length * truth.length);
  const [detections, objects] = [image.found, image.truth];
  for (const [row, d] of found.entries()) {
    const [x1, y1] = [detections.boxes[4 * d] ?? 0, detections.boxes[4 * d + 1] ?? 0];
    const [x2, y2] = [detections.boxes[4 * d + 2] ?? 0, detections.boxes[4 * d + 3] ?? 0];
    const area = detections.areas[d] ?? 0;
    for (const [column, g] of truth.entries()) {
      const left = objects.boxes[4 * g] ?? 0;
      const top = objects.boxes[4 * g + 1] ?? 0;
      const right = objects.boxes[4 * g + 2] ?? 0;
      const bottom = objects.boxes[4 * g + 3] ?? 0;
      const width = Math.min(x2, right) - Math.max(x1, left);
      const height = Math.min(y2, bottom) - Math.max(y1, top);
      if (width <= 0 || height <= 0) continue;
      const shared = width * height;
      const union = objects.crowd[g] === 1 ? area : area + (right - left) * (bottom - top) - shared;
      overlaps[row * truth.length + column] = shared / union;
    }
  }
  return overlaps;
}

/** Which object each detection has been given, at each IoU threshold. */
export interface Matches {
  /** Numbers of the group's objects, −1 where none: a row for each threshold. */
  readonly objects: Int32Array;
  /** 1 where the detection is neither right nor wrong, a row for each threshold. */
  readonly ignored: Uint8Array;
}

/** What of a group counts. */
export interface MatchingRules {
  /** From the lowest up. */
  readonly thresholds: readonly number[];
  /** Areas of the objects that count. */
  readonly areaRange: AreaRange;
}

/**
 * COCO's assignment of the objects of a class to its detections in an image. From the best score down, a detection takes the
 * object with which it overlaps most among those that no better one has taken, if by the threshold at least; of equal ones the
 * last. An object that does not count (a crowd, one to be ignored, one of an area out of range) is taken only where no other can be,
 * and makes the detection not count either; a crowd may be taken by many. Nor does a detection count that takes nothing and
 * whose own area is out of range.
 * @param overlaps of all detections of the group with all its objects, from `evaluationOverlaps`
 */
export function matchGroup(
  { image, found, truth }: ClassGroup,
  overlaps: Float64Array,
  { thresholds, areaRange }: MatchingRules,
): Matches {
  const [detections, objects] = [found.length, truth.length];
  const outside = (area: number) => area < areaRange[0] || area > areaRange[1];
  const skipped = truth.map((g) => image.truth.ignored[g] === 1 || outside(image.truth.areas[g] ?? 0));
  // Those that count come first, and each kind in the order given.
  const order = [...truth.keys()].sort((a, b) => Number(skipped[a]) - Number(skipped[b]) || a - b);
  const isCrowd = truth.map((g) => image.truth.crowd[g] === 1);
  const result: Matches = {
    objects: new Int32Array(thresholds.length * detections).fill(-1),
    ignored: new Uint8Array(thresholds.length * detections),
  };
  for (const [t, threshold] of thresholds.entries()) {
    const taken = new Uint8Array(objects);
    for (let row = 0; row < detections; row++) {
      // An IoU of 1 can come out a little lower, and a threshold of 1 is meant to be reached.
      let least = Math.min(threshold, 1 - 1e-10);
      let match = -1;
      for (const g of order) {
        if (taken[g] === 1 && !isCrowd[g]) continue;
        if (match >= 0 && !skipped[match] && skipped[g]) break;
        const overlap = overlaps[row * objects + g] ?? 0;
        if (overlap < least) continue;
        [least, match] = [overlap, g];
      }
      const at = t * detections + row;
      if (match >= 0) {
        taken[match] = 1;
        result.objects[at] = match;
        result.ignored[at] = skipped[match] ? 1 : 0;
      } else {
        result.ignored[at] = outside(image.found.areas[found[row] ?? 0] ?? 0) ? 1 : 0;
      }
    }
  }
  return result;
}

/** How many objects of a group count. */
export function countObjects({ image, truth }: ClassGroup, [smallest, largest]: AreaRange): number {
  return truth.filter((g) => {
    const area = image.truth.areas[g] ?? 0;
    return image.truth.ignored[g] === 0 && area >= smallest && area <= largest;
  }).length;
}
