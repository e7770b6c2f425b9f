import { type Box, type BoxArray, boxArray, boxAt } from "./boxes.ts";

/** One object that a detector has found. */
export interface Detection {
  readonly box: Box;
  /** How sure the detector is; by custom 0 … 1, but only the order counts. */
  readonly score: number;
  /** Number of its class, from 0. */
  readonly class: number;
  /** Points of it, as eyes and corners of the mouth of a face: [x, y] in pixels; absent where the detector predicts none. */
  readonly landmarks?: readonly (readonly [number, number])[];
}

/** All that a detector has found in an image, as arrays of the same length. */
export interface Detections {
  /** Four numbers a detection. */
  readonly boxes: BoxArray;
  readonly scores: Float32Array | Float64Array;
  readonly classes: ArrayLike<number>;
  /** x and y of each landmark of each detection, the same number of landmarks for all; absent where the detector predicts none. */
  readonly landmarks?: Float32Array | Float64Array;
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
  /**
   * The subsets of WIDER FACE that a face counts in, as a sum: 1 easy, 2 medium, 4 hard; 0 for one that is ignored in all of them. Default: 0.
   */
  readonly subsets?: ArrayLike<number>;
}

/** Objects as arrays. Landmarks are kept where all detections have as many. */
export function toDetections(list: readonly Detection[]): Detections {
  const points = list[0]?.landmarks?.length;
  const marked = points !== undefined && list.every(({ landmarks }) => landmarks?.length === points);
  return {
    boxes: boxArray(list.map(({ box }) => box)),
    scores: Float64Array.from(list, ({ score }) => score),
    classes: Uint32Array.from(list, (detection) => detection.class),
    ...(marked && {
      landmarks: Float64Array.from(list.flatMap(({ landmarks }) => landmarks?.flat() ?? [])),
    }),
  };
}

/** Numbers of the landmarks of a detection: two a landmark. */
function landmarksAt(
  landmarks: Float32Array | Float64Array,
  count: number,
  place: number,
): readonly number[] {
  const length = landmarks.length / count;
  return Array.from(landmarks.subarray(place * length, (place + 1) * length));
}

/** The landmarks of a detection, [x, y] each; none where the detector predicts none. */
export function pointsAt(
  { scores, landmarks }: Pick<Detections, "scores" | "landmarks">,
  index: number,
): readonly (readonly [number, number])[] {
  if (landmarks === undefined) return [];
  const at = landmarksAt(landmarks, scores.length, index);
  return Array.from(
    { length: at.length / 2 },
    (_, point) => [at[2 * point] ?? Number.NaN, at[2 * point + 1] ?? Number.NaN] as const,
  );
}

/** Arrays as objects. */
export function listDetections({ boxes, scores, classes, landmarks }: Detections): readonly Detection[] {
  return Array.from(scores, (score, i) => {
    const found = { box: boxAt(boxes, i), score, class: classes[i] ?? 0 };
    if (landmarks === undefined) return found;
    return { ...found, landmarks: pointsAt({ scores, landmarks }, i) };
  });
}

/** The first of detections that stand from the best down, at most so many, and whether there were more. */
export function limited(
  found: Detections,
  maximum: number,
): { readonly found: Detections; readonly cut: boolean } {
  if (found.scores.length <= maximum) return { found, cut: false };
  return {
    found: pickDetections(
      found,
      Array.from({ length: maximum }, (_, i) => i),
    ),
    cut: true,
  };
}

/** The detections at the indices given, in their order: those that `nms` has kept, for example. */
export function pickDetections(
  { boxes, scores, classes, landmarks }: Detections,
  places: ArrayLike<number>,
): Detections {
  const picked = Array.from(places);
  return {
    boxes: Float64Array.from(picked.flatMap((place) => [...boxAt(boxes, place)])),
    scores: Float64Array.from(picked, (place) => scores[place] ?? Number.NaN),
    classes: Uint32Array.from(picked, (place) => classes[place] ?? 0),
    ...(landmarks && {
      landmarks: Float64Array.from(picked.flatMap((place) => landmarksAt(landmarks, scores.length, place))),
    }),
  };
}
