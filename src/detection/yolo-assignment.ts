import { arange, logicalAnd, matmul, oneHot, type Tensor, topK, where } from "../tensor/index.ts";
import { type Assignment, areObjects, assignHighest, offsets, ownClasses, rowsAt } from "./assignment.ts";
import { boxOverlap } from "./box-losses.ts";
import type { FeaturePoints } from "./feature-points.ts";

/** What places predict at the moment: alignment depends on it. Gradients do not flow through an assignment. */
export interface YoloPredictions {
  /** [n, k, classes], 0 … 1. */
  readonly scores: Tensor;
  /** [n, k, 4]. */
  readonly boxes: Tensor;
}

/** What places ought to predict. */
export interface YoloTargets extends Assignment {
  /** Box of the object that each place answers for, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** Score of each class, [n, k, classes]: t̂ for the class of the object, else 0. */
  readonly scores: Tensor;
  /** t̂, how well the place is aligned, [n, k]; 0 where it answers for no object. */
  readonly weights: Tensor;
}

/** Keeps quotients finite where no place is aligned at all. */
const TINY = 1e-30;

/**
 * Task-aligned assignment (Feng et al. 2021, "TOOD", section 3.2.1 and equation 1): how well a place is aligned with an object is
 * t = s^α u^β, of the score s that it gives the object's class and the IoU u of its box with the object's, with α = ½ and β = 6.
 * The best `candidates` places whose centres lie in the object answer for it (more where the last of them are equal); a place
 * that several objects claim answers for the one with the largest IoU. Targets are t̂: t scaled so that the largest of an object
 * is the largest IoU of its places.
 *
 * When centres are looked for, an object narrower than the finest cell counts as one cell wide, so that none goes without.
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function alignTasks(
  predictions: YoloPredictions,
  { centres, strides, count }: FeaturePoints,
  boxes: Tensor,
  labels: Tensor,
  candidates: number,
): YoloTargets {
  const [m, classes] = [Number(labels.shape[1]), Number(predictions.scores.shape[2])];
  const scores = matmul(oneHot(labels, classes), predictions.scores.stopGradient(), { transposeB: true });
  const iou = boxOverlap(predictions.boxes.stopGradient().unsqueeze(1), boxes.unsqueeze(2));
  const alignment = scores.sqrt().mul(iou.square().mul(iou).square());

  const { dx, dy, halfWidth, halfHeight } = offsets(centres, boxes);
  const halfCell = strides.min().mul(0.5);
  const inside = logicalAnd(
    dx.lessEqual(halfWidth.maximum(halfCell)),
    dy.lessEqual(halfHeight.maximum(halfCell)),
  );
  const eligible = logicalAnd(inside, areObjects(labels));
  const ranked = where(eligible, alignment, -1);
  const last = topK(ranked, Math.min(candidates, count), 2).values.min(2, true);
  const chosen = logicalAnd(ranked.greaterEqual(last), eligible);

  const assignment = assignHighest(where(chosen, iou.add(1), 0));
  const rows = arange(0, m).reshape([1, m, 1]);
  const own = logicalAnd(chosen, assignment.owner.unsqueeze(1).equal(rows));
  const aligned = where(own, alignment, 0);
  const scale = where(own, iou, 0).max(2, true).div(aligned.max(2, true).maximum(TINY));
  const weights = aligned.mul(scale).sum(1);
  return {
    ...assignment,
    boxes: rowsAt(boxes, assignment.owner),
    scores: ownClasses(labels, assignment, classes).mul(weights.unsqueeze(2)),
    weights,
  };
}
