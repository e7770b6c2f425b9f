import { checkShare } from "../boxes/candidates.ts";
import {
  countObjects,
  EVERY_AREA,
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
  /** Wrong detections an image, images without objects among them. */
  readonly falsePositives: Float64Array;
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

/** Detections that count, right or wrong by `matchGroup` at one threshold, and the objects to find, class by class. */
function outcomesByClass(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5, maximum = 100 }: CurveOptions,
): readonly { readonly objects: number; readonly outcomes: readonly Outcome[] }[] {
  checkShare("curves", "threshold", threshold);
  return groupByClass(images, classCount).map((groups) => ({
    objects: groups.reduce((sum, group) => sum + countObjects(group, EVERY_AREA), 0),
    outcomes: groups.flatMap(({ image, found, truth }) => {
      const group = { image, found: found.slice(0, maximum), truth };
      const overlaps = evaluationOverlaps(image, group.found, truth);
      const matches = matchGroup(group, overlaps, { thresholds: [threshold], areaRange: EVERY_AREA });
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
      images.length,
    ),
    classes: classes.map(({ outcomes, objects }) => curveOf(outcomes, objects, images.length)),
  };
}

/** Detections of equal score come together: no score parts them. */
function curveOf(outcomes: readonly Outcome[], objects: number, images: number): DetectionCurve {
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
  const falsePositives = Float64Array.from(points, (point) => (point.taken - point.right) / images);
  const top = f1.indexOf(f1.reduce((most, value) => Math.max(most, value), 0));
  const at = (values: Float64Array) => values[top] ?? 0;
  const scores = Float64Array.from(points, ({ score }) => score);
  const best = { score: at(scores), f1: at(f1), precision: at(precision), recall: at(recall) };
  const curve = { objects, scores, precision, recall, f1, falsePositives };
  return { ...curve, ...(top < 0 || objects === 0 ? {} : { best }) };
}

/** A score from which on detections may count, and what then is found. */
export interface OperatingPoint {
  readonly score: number;
  readonly recall: number;
  readonly precision: number;
  /** Wrong detections an image. */
  readonly falsePositives: number;
}

function pointAt(curve: DetectionCurve, i: number): OperatingPoint | undefined {
  const { scores, recall, precision, falsePositives } = curve;
  const [score, r, p, wrong] = [scores[i], recall[i], precision[i], falsePositives[i]];
  if (score === undefined || r === undefined || p === undefined || wrong === undefined) return undefined;
  return { score, recall: r, precision: p, falsePositives: wrong };
}

/**
 * The lowest score with at most so many wrong detections an image (the free-response curve: Bunch et al. 1978, "A free-response approach to
 * the measurement and characterization of radiographic-observer performance"). Undefined where the best scores alone have more.
 */
export function atFalsePositives(curve: DetectionCurve, most: number): OperatingPoint | undefined {
  // Wrong detections only become more as the score falls.
  return pointAt(curve, curve.falsePositives.filter((wrong) => wrong <= most).length - 1);
}

/** The highest score with that recall at least, which has the fewest wrong detections. Undefined where it is not reached. */
export function atRecall(curve: DetectionCurve, least: number): OperatingPoint | undefined {
  return pointAt(
    curve,
    curve.recall.findIndex((recall) => recall >= least),
  );
}
