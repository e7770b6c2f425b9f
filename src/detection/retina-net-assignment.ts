import { logicalAnd, logicalNot, type Tensor, where } from "../tensor/index.ts";
import { type Assignment, areObjects, assignHighest, ownClasses, rowsAt } from "./assignment.ts";
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
  const overlap = boxOverlap(anchors.unsqueeze(0).unsqueeze(0), boxes.unsqueeze(2));
  const iou = where(areObjects(labels), overlap, 0);
  const best = logicalAnd(iou.greaterEqual(iou.max(2, true)), iou.greater(0));
  const assignment = assignHighest(where(best, iou.add(1), where(iou.greaterEqual(foreground), iou, 0)));
  const near = logicalAnd(iou.max(1).greaterEqual(background), logicalNot(assignment.positive));
  return {
    ...assignment,
    boxes: rowsAt(boxes, assignment.owner),
    classes: ownClasses(labels, assignment, classes),
    counted: logicalNot(near),
  };
}
