import { argMax, logicalAnd, logicalNot, type Tensor, where } from "../tensor/index.ts";
import { type Assignment, areObjects, ownClasses, rowsAt } from "./assignment.ts";
import { boxOverlap } from "./box-losses.ts";

/** What anchors ought to say. */
export interface RetinaNetTargets extends Assignment {
  /** Box of the object that each anchor answers for, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** 1 for its class, [n, k, classes]. */
  readonly classes: Tensor;
  /** Whether the anchor counts for the class loss, [n, k] (bool): it is right for an object, or far from all. */
  readonly counted: Tensor;
}

/** From which IoU on an anchor answers for an object, and below which it is background. */
export interface OverlapThresholds {
  readonly foreground: number;
  readonly background: number;
}

/** Least IoU with which an anchor can be the best of an object: there must be some. */
const LEAST_OVERLAP = 1e-9;

/**
 * Assignment by overlap (Lin et al. 2017, "Focal loss", section 4): an anchor answers for the object with which its IoU is
 * largest, if that is at least `foreground`; below `background` it is background; between it counts for nothing. Beside that, the
 * anchors with the largest IoU of an object answer for it however small that is, as in Faster R-CNN (Ren et al. 2015, section
 * 3.1.2), so that none goes without.
 * @param anchors [k, 4]
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignByOverlap(
  anchors: Tensor,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
  { foreground, background }: OverlapThresholds,
): RetinaNetTargets {
  // Rows that are no objects have no area, and so no overlap. These tensors are [n, m, k], the largest of the step: every pass counts.
  const objects = where(areObjects(labels), boxes, 0);
  const iou = boxOverlap(anchors.unsqueeze(0).unsqueeze(0), objects.unsqueeze(2));
  const best = iou.greaterEqual(iou.max(2, true).maximum(LEAST_OVERLAP));
  const ranks = iou.add(best.cast("float32"));
  const highest = ranks.max(1);
  const positive = highest.greaterEqual(Math.max(foreground, LEAST_OVERLAP));
  const near = logicalAnd(highest.greaterEqual(background), logicalNot(positive));
  const assignment = { positive, owner: argMax(ranks, 1) };
  return {
    ...assignment,
    boxes: rowsAt(boxes, assignment.owner),
    classes: ownClasses(labels, assignment, classes),
    counted: logicalNot(near),
  };
}
