import { sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  gather,
  logicalAnd,
  type Tensor,
  topK,
  where,
} from "../../tensor/index.ts";
import type { Size } from "../boxes/boxes.ts";
import { boxesOfDeltas, squeezedSides } from "../boxes/decoding.ts";
import { suppressed } from "../boxes/suppressed.ts";
import { rowsAt } from "../loss/assignment.ts";

/** What a region proposal network predicts at the k anchors of a level. */
export interface AnchorPredictions {
  /** Logits of there being an object, [n, k]. */
  readonly objectness: Tensor;
  /** Deltas of its box from the anchor, [n, k, 4]. */
  readonly deltas: Tensor;
}

/** How many proposals there are. */
export interface ProposalOptions {
  /** Best anchors of a level whose boxes are looked at. */
  readonly candidates: number;
  /** Proposals of an image. */
  readonly proposals: number;
  /** Of two boxes of a level that overlap by a larger IoU than this the better one stays. */
  readonly iou: number;
  /** Boxes with a smaller side are dropped, in pixels; default: 0.001, which drops those that lie outside of the image. */
  readonly leastSide?: number;
}

/** Candidate boxes of images. */
export interface Proposals {
  /** [n, R, 4], within the image; of no area where there are fewer proposals. */
  readonly boxes: Tensor;
  /** How likely each is an object, from the best down, [n, R]; 0 where there are fewer. */
  readonly scores: Tensor;
}

/** Boxes [..., 4] cut off at the borders of an image of that size. */
export function clipped(boxes: Tensor, { width, height }: Size): Tensor {
  return boxes.maximum(0).minimum(constant(float32([width, height, width, height], [4])));
}

/**
 * Proposals from the predictions at anchors, as in torchvision: of each level the best anchors; their boxes, cut off at the borders; without
 * those that are too small; suppression in each level; the best of all levels. All shapes are fixed, so that this is a part of a training
 * step. No gradient flows through proposals (Ren et al. 2015, section 3.2).
 * @param predictions by level
 * @param anchors of each level, [k, 4]
 * @param size of the images
 */
export function proposalsOf(
  predictions: readonly AnchorPredictions[],
  anchors: readonly Tensor[],
  size: Size,
  { candidates, proposals, iou, leastSide = 1e-3 }: ProposalOptions,
): Proposals {
  const levels = predictions.map(({ objectness, deltas }, i) => {
    const own = inputAt(anchors, i);
    const count = Math.min(candidates, sizeAt("proposalsOf", own, 0));
    const { values, indices } = topK(objectness.stopGradient(), count);
    const boxes = clipped(boxesOfDeltas(rowsAt(deltas.stopGradient(), indices), gather(own, indices)), size);
    const [x1, y1, x2, y2] = squeezedSides(boxes);
    const large = logicalAnd(x2.sub(x1).greaterEqual(leastSide), y2.sub(y1).greaterEqual(leastSide));
    return { boxes, scores: where(large, values.sigmoid(), 0), count };
  });
  const all = concat(
    levels.map(({ boxes }) => boxes),
    1,
  );
  const scores = concat(
    levels.map(({ scores }) => scores),
    1,
  );
  // Suppression by class, where the class is the level: boxes of other levels have no score in it.
  const total = levels.reduce((sum, { count }) => sum + count, 0);
  const masks = new Float32Array(levels.length * total);
  let at = 0;
  for (const [level, { count }] of levels.entries()) {
    masks.fill(1, level * total + at, level * total + at + count);
    at += count;
  }
  const byLevel = scores.unsqueeze(1).mul(constant(float32(masks, [levels.length, total])));
  const kept = suppressed(all, byLevel, iou, 0, Math.min(proposals, total)).sum(1);
  const best = topK(kept, Math.min(proposals, total));
  const found = best.values.greater(0);
  return {
    boxes: where(found.unsqueeze(2), rowsAt(all, best.indices), 0),
    scores: best.values,
  };
}
