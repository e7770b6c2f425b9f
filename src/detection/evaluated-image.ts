import { OptionError } from "../errors.ts";
import { areas, boxCount } from "./boxes.ts";
import type { Detections, Truth } from "./detections.ts";

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
  };
}

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
        throw new OptionError(`${name}: number ${i} has a coordinate of ${boxes[side]}, which is no place`);
      }
    }
  }
}

/** The detections and objects of one class in an image, by their places in it. */
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
