import { OptionError } from "../../errors.ts";
import { type Box, iou } from "./boxes.ts";
import { candidatesOf, checkShare, classMembers } from "./candidates.ts";
import type { Detection, Detections } from "./detections.ts";
import { listDetections, toDetections } from "./detections.ts";

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
  readonly members: Detection[];
  box: Box;
}

/**
 * Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021, "Weighted boxes fusion: ensembling boxes from different object
 * detection models", section 3): detections of one image by several detectors, or of several views of it, become one set. From
 * the best score down, a box joins the fused box of its class that it overlaps with most, if by more than the threshold, or
 * begins one of its own. The fused box is the mean of its boxes weighted by their scores, and so are landmarks; its score is their mean, times
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
    const list = listDetections(set);
    return Array.from(places).flatMap((place, i): Detection[] => {
      const detection = list[place];
      return detection === undefined ? [] : [{ ...detection, score: (scores[i] ?? 0) * (weights[s] ?? 0) }];
    });
  });
  const all = toDetections(usable.filter((detection) => detection.score > 0));
  const ranked = candidatesOf(name, all.boxes, all.scores, {});
  const listed = listDetections(all);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const fusedScore = (scores: readonly number[]): number =>
    score === "maximum"
      ? Math.max(...scores) / Math.max(...weights)
      : (sum(scores) / scores.length) * (Math.min(sets.length, scores.length) / total);
  const fused = classMembers(ranked, all.classes).flatMap((members) => {
    const own = Array.from(members).flatMap((i) => listed[ranked.places[i] ?? 0] ?? []);
    return clustersOf(own, threshold).map(({ box, members: fusing }): Detection => {
      const landmarks = meanLandmarks(fusing);
      return {
        box,
        score: fusedScore(fusing.map((member) => member.score)),
        class: own[0]?.class ?? 0,
        ...(landmarks && { landmarks }),
      };
    });
  });
  return toDetections(fused.sort((a, b) => b.score - a.score));
}

function clustersOf(detections: readonly Detection[], threshold: number): readonly Cluster[] {
  const clusters: Cluster[] = [];
  for (const own of detections) {
    let [best, nearest]: [number, Cluster | undefined] = [threshold, undefined];
    for (const cluster of clusters) {
      const overlap = iou(cluster.box, own.box);
      if (overlap > best) [best, nearest] = [overlap, cluster];
    }
    if (nearest === undefined) {
      clusters.push({ members: [own], box: own.box });
    } else {
      nearest.members.push(own);
      nearest.box = meanBox(nearest.members);
    }
  }
  return clusters;
}

function meanBox(members: readonly Detection[]): Box {
  const weight = sum(members.map(({ score }) => score));
  const side = (at: 0 | 1 | 2 | 3) => sum(members.map(({ box, score }) => box[at] * score)) / weight;
  return [side(0), side(1), side(2), side(3)];
}

/** Where the landmarks are on average, weighted as the boxes; undefined where there are none. */
function meanLandmarks(members: readonly Detection[]): Detection["landmarks"] {
  const [first] = members;
  if (first?.landmarks === undefined) return undefined;
  const weight = sum(members.map(({ score }) => score));
  const mean = (point: number, axis: 0 | 1): number =>
    sum(members.map(({ landmarks, score }) => (landmarks?.[point]?.[axis] ?? Number.NaN) * score)) / weight;
  return first.landmarks.map((_, point) => [mean(point, 0), mean(point, 1)] as const);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
