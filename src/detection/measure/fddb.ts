import { checkShare } from "../boxes/candidates.ts";
import { LargestMatching } from "./assignment.ts";
import {
  type ClassGroup,
  countObjects,
  EVERY_AREA,
  type EvaluatedImage,
  evaluationOverlaps,
  groupByClass,
} from "./matching.ts";

export interface RocOptions {
  /** The IoU that a pair must exceed to count as found; default: ½. */
  readonly threshold?: number;
}

/** True positive rates against wrong detections, for each score that occurs. */
export interface RocCurve {
  /** Objects to find. */
  readonly objects: number;
  /** From the highest down, each once. */
  readonly scores: Float64Array;
  /** Wrong detections in all images together, of those that score at least as much. */
  readonly falsePositives: Float64Array;
  /** The share of objects that are matched by more than the threshold. */
  readonly discrete: Float64Array;
  /** The sum of IoU of all matched pairs, as a share of the objects. */
  readonly continuous: Float64Array;
}

/** How the sums of an image change where its detections from a score on count. */
interface Change {
  readonly score: number;
  readonly found: number;
  readonly overlap: number;
  readonly wrong: number;
}

/**
 * The ROC curves of FDDB (Jain and Learned-Miller 2010, "FDDB: A benchmark for face detection in unconstrained settings", section 5). At
 * each score, the detections that score at least as much are matched to the objects of their class and image one to one, so that the sum of
 * IoU is as large as possible. The discrete score of a pair is 1 where its IoU exceeds ½ and 0 elsewhere, the continuous one is the IoU;
 * detections whose discrete score is not 1 are wrong. Objects to be ignored, of which FDDB has none, are not matched: a detection that
 * overlaps with one by more than the threshold (lies in a crowd, by its own area) is not wrong.
 * @throws OptionError where the threshold is not in 0 … 1
 */
export function rocCurve(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5 }: RocOptions = {},
): RocCurve {
  checkShare("roc", "threshold", threshold);
  const groups = groupByClass(images, classCount).flat();
  const objects = groups.reduce((sum, group) => sum + countObjects(group, EVERY_AREA), 0);
  const changes = groups
    .flatMap((group) => changesOf(group, threshold))
    .sort((a, b) => b.score - a.score || 0);
  const points: Change[] = [];
  let [found, overlap, wrong] = [0, 0, 0];
  for (const [i, change] of changes.entries()) {
    found += change.found;
    overlap += change.overlap;
    wrong += change.wrong;
    const { score } = change;
    if (changes[i + 1]?.score !== score) points.push({ score, found, overlap, wrong });
  }
  const share = (sum: number): number => (objects === 0 ? Number.NaN : sum / objects);
  return {
    objects,
    scores: Float64Array.from(points, ({ score }) => score),
    falsePositives: Float64Array.from(points, (point) => point.wrong),
    discrete: Float64Array.from(points, (point) => share(point.found)),
    continuous: Float64Array.from(points, (point) => share(point.overlap)),
  };
}

function changesOf({ image, found, truth }: ClassGroup, threshold: number): readonly Change[] {
  const counted = truth.filter((g) => image.truth.ignored[g] === 0);
  const ignored = truth.filter((g) => image.truth.ignored[g] === 1);
  const overlaps = evaluationOverlaps(image, found, counted);
  const excuses = evaluationOverlaps(image, found, ignored);
  const isExcused = found.map((_, row) =>
    excuses.subarray(row * ignored.length, (row + 1) * ignored.length).some((value) => value > threshold),
  );
  const matching = new LargestMatching(counted.length);
  const changes: Change[] = [];
  let before = { found: 0, overlap: 0, wrong: 0 };
  let unexcused = 0;
  for (const [row, d] of found.entries()) {
    matching.add(overlaps.subarray(row * counted.length, (row + 1) * counted.length));
    if (!isExcused[row]) unexcused++;
    const score = image.found.scores[d] ?? 0;
    const next = found[row + 1];
    if (next !== undefined && image.found.scores[next] === score) continue;
    const now = { found: 0, overlap: 0, wrong: unexcused };
    for (const pair of matching.pairs()) {
      now.overlap += pair.weight;
      if (pair.weight <= threshold) continue;
      now.found++;
      if (!isExcused[pair.row]) now.wrong--;
    }
    changes.push({
      score,
      found: now.found - before.found,
      overlap: now.overlap - before.overlap,
      wrong: now.wrong - before.wrong,
    });
    before = now;
  }
  return changes;
}

/** The highest rates with at most so many wrong detections in all; zeros where the best scores alone have more. */
export function ratesAt(
  { falsePositives, discrete, continuous }: RocCurve,
  most: number,
): { readonly discrete: number; readonly continuous: number } {
  // Matched anew with every detection, fewer objects may count than before.
  let rates = { discrete: 0, continuous: 0 };
  for (const [i, wrong] of falsePositives.entries()) {
    if (wrong > most) continue;
    rates = {
      discrete: Math.max(rates.discrete, discrete[i] ?? 0),
      continuous: Math.max(rates.continuous, continuous[i] ?? 0),
    };
  }
  return rates;
}
