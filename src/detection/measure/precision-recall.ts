import { checkShare } from "../boxes/candidates.ts";
import {
  countObjects,
  type EvaluatedImage,
  evaluationOverlaps,
  groupByClass,
  matchGroup,
} from "./matching.ts";

export interface CurveOptions {
  /** The IoU that a detection must reach; default: ½. */
  readonly threshold?: number;
  /** How many detections of a class in an image count; default: 100. */
  readonly maximum?: number;
}

/** Precision, recall and F₁ of the detections that score at least as much, for each score that occurs. */
export interface DetectionCurve {
  /** Objects to find. */
  readonly objects: number;
  /** From the highest down, each once. */
  readonly scores: Float64Array;
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  /** 2 · precision · recall / (precision + recall). */
  readonly f1: Float64Array;
  /** The score at which F₁ is highest; undefined where nothing was found that counts. */
  readonly best?: {
    readonly score: number;
    readonly f1: number;
    readonly precision: number;
    readonly recall: number;
  };
}

/** Curves of each class, and of all classes together as if they were one list. */
export interface DetectionCurves {
  readonly all: DetectionCurve;
  readonly classes: readonly DetectionCurve[];
}

/** A detection that counts. */
interface Outcome {
  readonly score: number;
  readonly right: boolean;
}

const EVERY_SIZE = [0, Number.POSITIVE_INFINITY] as const;

/** Detections that count, right or wrong by `matchGroup` at one threshold, and the objects to find, class by class. */
function outcomesByClass(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5, maximum = 100 }: CurveOptions,
): readonly { readonly objects: number; readonly outcomes: readonly Outcome[] }[] {
  checkShare("curves", "threshold", threshold);
  return groupByClass(images, classCount).map((groups) => ({
    objects: groups.reduce((sum, group) => sum + countObjects(group, EVERY_SIZE), 0),
    outcomes: groups.flatMap(({ image, found, truth }) => {
      const group = { image, found: found.slice(0, maximum), truth };
      const overlaps = evaluationOverlaps(image, group.found, truth);
      const matches = matchGroup(group, overlaps, { thresholds: [threshold], areaRange: EVERY_SIZE });
      return group.found.flatMap((d, row) =>
        matches.ignored[row] === 1
          ? []
          : [{ score: image.found.scores[d] ?? 0, right: (matches.objects[row] ?? -1) >= 0 }],
      );
    }),
  }));
}

/**
 * Curves over the score from which on detections count. Crowds and objects to be ignored count for nothing.
 * @throws OptionError where the threshold is not in 0 … 1
 */
export function detectionCurves(
  images: readonly EvaluatedImage[],
  classCount: number,
  options: CurveOptions = {},
): DetectionCurves {
  const classes = outcomesByClass(images, classCount, options);
  return {
    all: curveOf(
      classes.flatMap(({ outcomes }) => outcomes),
      classes.reduce((sum, { objects }) => sum + objects, 0),
    ),
    classes: classes.map(({ outcomes, objects }) => curveOf(outcomes, objects)),
  };
}

/** Detections of equal score come together: no score parts them. */
function curveOf(outcomes: readonly Outcome[], objects: number): DetectionCurve {
  const ranked = outcomes.toSorted((a, b) => b.score - a.score || 0);
  const points: { readonly score: number; readonly right: number; readonly taken: number }[] = [];
  let right = 0;
  for (const [i, outcome] of ranked.entries()) {
    right += outcome.right ? 1 : 0;
    if (ranked[i + 1]?.score !== outcome.score) points.push({ score: outcome.score, right, taken: i + 1 });
  }
  const recall = Float64Array.from(points, (point) => (objects === 0 ? 0 : point.right / objects));
  const precision = Float64Array.from(points, (point) => point.right / point.taken);
  const f1 = Float64Array.from(points, (point) => (2 * point.right) / (point.taken + objects));
  const top = f1.indexOf(f1.reduce((most, value) => Math.max(most, value), 0));
  const at = (values: Float64Array) => values[top] ?? 0;
  const scores = Float64Array.from(points, ({ score }) => score);
  const best = { score: at(scores), f1: at(f1), precision: at(precision), recall: at(recall) };
  return { objects, scores, precision, recall, f1, ...(top < 0 || objects === 0 ? {} : { best }) };
}
