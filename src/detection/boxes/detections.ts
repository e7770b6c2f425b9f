import { type Box, type BoxArray, boxArray, boxAt } from "./boxes.ts";

/** One object that a detector has found. */
export interface Detection {
  readonly box: Box;
  /** How sure the detector is; by custom 0 … 1, but only the order counts. */
  readonly score: number;
  /** Number of its class, from 0. */
  readonly class: number;
}

/** All that a detector has found in an image, as arrays of the same length. */
export interface Detections {
  /** Four numbers a detection. */
  readonly boxes: BoxArray;
  readonly scores: Float32Array | Float64Array;
  readonly classes: ArrayLike<number>;
}

/** The objects that are in an image. */
export interface Truth {
  /** Four numbers an object. */
  readonly boxes: BoxArray;
  readonly classes: ArrayLike<number>;
  /**
   * 1 for a region with many objects that nobody has counted (COCO's `iscrowd`): detections within it are neither right nor
   * wrong. Default: none.
   */
  readonly crowd?: ArrayLike<number>;
  /**
   * 1 for an object that need not be found (VOC's `difficult`): a detection of it is neither right nor wrong. Default:
   * none.
   */
  readonly ignore?: ArrayLike<number>;
  /** Area of each object, which decides whether it is small; default: that of its box (COCO gives that of its outline). */
  readonly areas?: ArrayLike<number>;
}

/** Objects as arrays. */
export function toDetections(list: readonly Detection[]): Detections {
  return {
    boxes: boxArray(list.map(({ box }) => box)),
    scores: Float64Array.from(list, ({ score }) => score),
    classes: Uint32Array.from(list, (detection) => detection.class),
  };
}

/** Arrays as objects. */
export function listDetections({ boxes, scores, classes }: Detections): readonly Detection[] {
  return Array.from(scores, (score, i) => ({ box: boxAt(boxes, i), score, class: classes[i] ?? 0 }));
}

/** The detections at the indices given, in their order: those that `nms` has kept, for example. */
export function pickDetections(
  { boxes, scores, classes }: Detections,
  places: ArrayLike<number>,
): Detections {
  const picked = Array.from(places);
  return {
    boxes: Float64Array.from(picked.flatMap((place) => [...boxAt(boxes, place)])),
    scores: Float64Array.from(picked, (place) => scores[place] ?? Number.NaN),
    classes: Uint32Array.from(picked, (place) => classes[place] ?? 0),
  };
}
