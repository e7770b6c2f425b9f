import { argMax } from "../../tensor/index.operations.ts";
import { logicalAnd, logicalNot, logicalOr, split, type Tensor, where } from "../../tensor/index.ts";
import { squeezedSides } from "../boxes/decoding.ts";
import { type Assignment, areObjects, type ObjectRows, overlapsInvalid } from "../loss/assignment.ts";
import { boxOverlap } from "../loss/losses.ts";

/** How candidates are matched with objects. */
export interface MatchingOptions {
  /** From which IoU with an object on a candidate is positive. */
  readonly foreground: number;
  /** Below which IoU with every object it is negative; between, it counts for nothing. */
  readonly background: number;
  /** Whether the candidates with the largest IoU of an object are positive however small that is; default: false. */
  readonly lowQuality?: boolean;
}

/** Which object candidates are matched with. */
export interface Matches extends Assignment {
  /** Whether a candidate is background, [n, k] (bool). */
  readonly negative: Tensor;
}

/** Least IoU with which a candidate can be the best of an object: there must be some. */
const LEAST_OVERLAP = 1e-9;

/**
 * Matches candidates with objects (Ren et al. 2015, "Faster R-CNN", section 3.1.2), as torchvision's and detectron2's matchers do: each belongs
 * to the object with which its IoU is largest. A candidate whose center lies in an ignored region is not background, nor is one between both
 * thresholds. Candidates that overlap an object of a size that is not learnt are neither positive nor negative. Where an image has no object all candidates are background.
 *
 * @param candidates anchors [k, 4], the same for all images, or boxes of each image [n, k, 4]; those without an area are neither positive nor
 * negative
 */
export function matchBoxes(
  candidates: Tensor,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { foreground, background, lowQuality = false }: MatchingOptions,
): Matches {
  const each = candidates.rank === 2 ? candidates.unsqueeze(0) : candidates;
  // Rows that are no objects have no area, and so no overlap. These tensors are [n, m, k], the largest of the step: every pass counts.
  const objects = where(areObjects(labels), boxes, 0);
  const iou = boxOverlap(each.unsqueeze(1), objects.unsqueeze(2));
  const highest = iou.max(1);
  const enough = highest.greaterEqual(Math.max(foreground, LEAST_OVERLAP));
  const positive = lowQuality
    ? logicalOr(enough, iou.sub(iou.max(2, true).maximum(LEAST_OVERLAP)).max(1).greaterEqual(0))
    : enough;
  const [x1, y1, x2, y2] = squeezedSides(each);
  const whole = logicalAnd(x2.greater(x1), y2.greater(y1));
  const learnt = invalid === undefined ? undefined : logicalNot(overlapsInvalid(each, invalid));
  const real = learnt === undefined ? whole : logicalAnd(whole, learnt);
  const far = logicalAnd(logicalAnd(highest.less(background), logicalNot(positive)), real);
  return {
    positive: learnt === undefined ? positive : logicalAnd(positive, learnt),
    negative: ignored === undefined ? far : logicalAnd(far, logicalNot(centersIn(each, ignored))),
    owner: argMax(iou, 1),
  };
}

/** Whether the center of each box [n or 1, k, 4] lies in a region of its image [n, r, 4], of which those without an area are none: [n, k] (bool). */
function centersIn(boxes: Tensor, regions: Tensor): Tensor {
  const [low, high] = split(boxes, 2, 2);
  const [x, y] = split(low.add(high).mul(0.5).transpose([0, 2, 1]), 1, 2);
  const [x1, y1, x2, y2] = split(regions, 2, 4);
  const along = (at: Tensor, from: Tensor, to: Tensor): Tensor => logicalAnd(at.greater(from), at.less(to));
  return logicalAnd(along(x, x1, x2), along(y, y1, y2))
    .cast("float32")
    .max(1)
    .greater(0);
}

/**
 * The `owner` of `matchBoxes` for a few of the candidates, [n, k, 4] → [n, k] (int64): where most are not learnt from, the index of the largest
 * IoU, the slowest pass over all, is spared.
 */
export function nearestObjects(candidates: Tensor, { boxes, labels }: ObjectRows): Tensor {
  const objects = where(areObjects(labels), boxes, 0);
  return argMax(boxOverlap(candidates.unsqueeze(1), objects.unsqueeze(2)), 1);
}
