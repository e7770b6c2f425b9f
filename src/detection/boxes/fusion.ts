import { OptionError } from "../../errors.ts";
import { type Box, boxAt, iou } from "./boxes.ts";
import { candidatesOf, checkShare, classMembers } from "./candidates.ts";
import type { Detection, Detections } from "./detections.ts";
import { toDetections } from "./detections.ts";

export interface FusionOptions {
  /** A box joins the fused box that it overlaps with most, by more than this IoU; default: 0.55. */
  readonly threshold?: number;
  /** How much each set of detections is to be trusted; default: 1 each. */
  readonly weights?: readonly number[];
  /** Boxes of a lower score are left out. */
  readonly minimumScore?: number;
  /** Score of a fused box: the mean of its boxes, lowered where sets lack it, or the highest; default: `mean`. */
  readonly score?: "mean" | "maximum";
}

/** Boxes that are taken for one object, and what they are fused to. */
interface Cluster {
  readonly boxes: { readonly box: Box; readonly score: number }[];
  box: Box;
}

/**
 * Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021, "Weighted boxes fusion: ensembling boxes from different object
 * detection models", section 3): detections of one image by several detectors, or of several views of it, become one set. From
 * the best score down, a box joins the fused box of its class that it overlaps with most, if by more than the threshold, or
 * begins one of its own. The fused box is the mean of its boxes weighted by their scores; its score is their mean, times
 * min(boxes, sets) / sets: what one set alone has found counts for less.
 *
 * With weights, scores are multiplied by the weight of their set, and the number of sets by which is divided is the sum of the
 * weights. Equal scores come in the order of the sets. Boxes whose score is NaN or not positive, or with a coordinate that
 * is not finite, are left out.
 * @returns fused boxes from the best score down
 * @throws OptionError where arrays do not belong together or an option is not acceptable
 */
export function weightedBoxesFusion(
  sets: readonly Detections[],
  { threshold = 0.55, weights = sets.map(() => 1), minimumScore = 0, score = "mean" }: FusionOptions = {},
): Detections {
  const name = "weightedBoxesFusion";
  checkShare(name, "threshold", threshold);
  if (weights.length !== sets.length || !weights.every((weight) => weight > 0 && weight < Infinity)) {
    throw new OptionError(
      `${name}: weights [${weights}] must be positive, one for each of the ${sets.length} sets of detections`,
    );
  }
  const usable = sets.flatMap((set, s) => {
    const { places, scores } = candidatesOf(name, set.boxes, set.scores, {
      classes: set.classes,
      minimumScore,
    });
    return Array.from(places, (place, i) => ({
      box: boxAt(set.boxes, place),
      score: (scores[i] ?? 0) * (weights[s] ?? 0),
      class: set.classes[place] ?? 0,
    }));
  });
  const all = toDetections(usable.filter((detection) => detection.score > 0));
  const ranked = candidatesOf(name, all.boxes, all.scores, {});
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const fusedScore = (scores: readonly number[]): number =>
    score === "maximum"
      ? Math.max(...scores) / Math.max(...weights)
      : (sum(scores) / scores.length) * (Math.min(sets.length, scores.length) / total);
  const fused = classMembers(ranked, all.classes).flatMap((members) => {
    const own = Array.from(members, (i) => ranked.places[i] ?? 0);
    return clustersOf(all, own, threshold).map(
      ({ box, boxes }): Detection => ({
        box,
        score: fusedScore(boxes.map((member) => member.score)),
        class: all.classes[own[0] ?? 0] ?? 0,
      }),
    );
  });
  return toDetections(fused.sort((a, b) => b.score - a.score));
}

function clustersOf(
  { boxes, scores }: Detections,
  places: readonly number[],
  threshold: number,
): readonly Cluster[] {
  const clusters: Cluster[] = [];
  for (const place of places) {
    const own = { box: boxAt(boxes, place), score: scores[place] ?? 0 };
    let [best, nearest]: [number, Cluster | undefined] = [threshold, undefined];
    for (const cluster of clusters) {
      const overlap = iou(cluster.box, own.box);
      if (overlap > best) [best, nearest] = [overlap, cluster];
    }
    if (nearest === undefined) {
      clusters.push({ boxes: [own], box: own.box });
    } else {
      nearest.boxes.push(own);
      nearest.box = meanBox(nearest.boxes);
    }
  }
  return clusters;
}

function meanBox(boxes: Cluster["boxes"]): Box {
  const weight = sum(boxes.map(({ score }) => score));
  const side = (at: 0 | 1 | 2 | 3) => sum(boxes.map(({ box, score }) => box[at] * score)) / weight;
  return [side(0), side(1), side(2), side(3)];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
