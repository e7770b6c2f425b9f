import type { ClassGroup, EvaluatedImage } from "./evaluated-image.ts";

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
  /** Smallest and largest area of the objects that count; both belong to it. */
  readonly areaRange: readonly [smallest: number, largest: number];
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
export function countObjects(
  { image, truth }: ClassGroup,
  [smallest, largest]: MatchingRules["areaRange"],
): number {
  return truth.filter((g) => {
    const area = image.truth.areas[g] ?? 0;
    return image.truth.ignored[g] === 0 && area >= smallest && area <= largest;
  }).length;
}
