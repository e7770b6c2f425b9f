import { type FaceSubset, subsetBits } from "../../data/boxes/set.ts";
import { type ClassGroup, type EvaluatedImage, groupByClass } from "./matching.ts";
import { areaUnder, type CurvePoint } from "./voc.ts";

/** How well the faces of a subset are found. */
export interface FaceAccuracy {
  /** Faces to find. */
  readonly faces: number;
  /** Average precision in 0 … 1; NaN where the subset has no face. */
  readonly ap: number;
  /** Precision and recall at the thresholds of the score, from the highest down. */
  readonly curve: readonly CurvePoint[];
}

/** Scores are cut at so many thresholds, equally far apart. */
const THRESHOLDS = 1000;

/** The IoU that a detection must reach. */
const LEAST_OVERLAP = 0.5;

/**
 * Average precision by the protocol of WIDER FACE (Yang et al. 2016, "WIDER FACE: A face detection benchmark", section 5; the numbers are
 * those of its evaluation tools). Scores of the whole set are brought to 0 … 1 by their least and largest. In each image, from the best
 * score down, a detection belongs to the face with which it overlaps most, taken or not, if by an IoU of ½ at least, where a
 * box has one pixel more on each side than the difference of its edges. It is right as the first one of a face of the subset, does not
 * count where the face is of no interest to the subset, and is wrong otherwise. Images without faces do not count. Precision and recall
 * are read off at the scores 0.999, 0.998, … 0, and precision is made to fall with recall.
 *
 * Of several classes those count that have faces of a subset.
 */
export function faceAccuracy(
  images: readonly EvaluatedImage[],
  classCount: number,
): Readonly<Record<FaceSubset, FaceAccuracy>> {
  const groups = groupByClass(images, classCount)
    .filter((own) => own.some(({ image, truth }) => truth.some((g) => (image.truth.subsets[g] ?? 0) > 0)))
    .flat();
  const normalized = scoresOf(groups);
  const matches = groups.map(nearestFaces);
  const of = (subset: FaceSubset): FaceAccuracy => {
    const bit = subsetBits([subset]);
    const [right, taken] = [new Float64Array(THRESHOLDS), new Float64Array(THRESHOLDS)];
    let faces = 0;
    for (const [i, group] of groups.entries()) {
      const { image, truth, found } = group;
      const counts = truth.map((g) => ((image.truth.subsets[g] ?? 0) & bit) > 0);
      faces += counts.filter((does) => does).length;
      if (truth.length === 0 || found.length === 0) continue;
      countAt(normalized[i] ?? [], matches[i] ?? [], counts, { right, taken });
    }
    const curve = Array.from(right, (count, t) => {
      const all = taken[t] ?? 0;
      return { recall: faces === 0 ? 0 : count / faces, precision: all === 0 ? 0 : count / all };
    });
    return { faces, ap: faces === 0 ? Number.NaN : areaUnder(curve), curve };
  };
  return { easy: of("easy"), medium: of("medium"), hard: of("hard") };
}

/** Scores of each image, brought to 0 … 1 over all; 1 where all are equal. */
function scoresOf(groups: readonly ClassGroup[]): readonly (readonly number[])[] {
  const scores = groups.map(({ image, found }) => found.map((d) => image.found.scores[d] ?? 0));
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const score of scores.flat()) [least, most] = [Math.min(least, score), Math.max(most, score)];
  const range = most - least;
  return scores.map((own) => own.map((score) => (range === 0 ? 1 : (score - least) / range)));
}

/** The face with which each detection overlaps most, −1 where by less than is needed. */
function nearestFaces({ image, found, truth }: ClassGroup): readonly number[] {
  return found.map((d) => {
    let [most, match] = [0, -1];
    for (const [column, g] of truth.entries()) {
      const overlap = overlapOfPixels(image.found.boxes, d, image.truth.boxes, g);
      if (overlap > most) [most, match] = [overlap, column];
    }
    return most >= LEAST_OVERLAP ? match : -1;
  });
}

/** IoU of boxes that have one pixel more on each side than the difference of their edges. */
function overlapOfPixels(a: Float64Array, i: number, b: Float64Array, j: number): number {
  const at = (boxes: Float64Array, box: number, edge: number): number => boxes[4 * box + edge] ?? 0;
  const side = (from: number, to: number): number => to - from + 1;
  const area = (boxes: Float64Array, box: number): number =>
    side(at(boxes, box, 0), at(boxes, box, 2)) * side(at(boxes, box, 1), at(boxes, box, 3));
  const width = side(Math.max(at(a, i, 0), at(b, j, 0)), Math.min(at(a, i, 2), at(b, j, 2)));
  const height = side(Math.max(at(a, i, 1), at(b, j, 1)), Math.min(at(a, i, 3), at(b, j, 3)));
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a, i) + area(b, j) - width * height);
}

/** Adds up, at each threshold, the faces of an image that are found and its detections that count. */
function countAt(
  scores: readonly number[],
  matches: readonly number[],
  counts: readonly boolean[],
  { right, taken }: { readonly right: Float64Array; readonly taken: Float64Array },
): void {
  const seen = new Set<number>();
  let [next, counted] = [0, 0];
  for (let t = 0; t < THRESHOLDS; t++) {
    const least = 1 - (t + 1) / THRESHOLDS;
    for (; next < scores.length && (scores[next] ?? 0) >= least; next++) {
      const match = matches[next] ?? -1;
      if (match >= 0 && !counts[match]) continue;
      counted++;
      if (match >= 0) seen.add(match);
    }
    right[t] = (right[t] ?? 0) + seen.size;
    taken[t] = (taken[t] ?? 0) + counted;
  }
}
