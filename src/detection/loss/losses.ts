import { stopGradient } from "../../tensor/index.operations.ts";
import type { Tensor } from "../../tensor/index.ts";
import type { OverlapKind } from "../boxes/boxes.ts";
import { squeezedSides } from "../boxes/decoding.ts";

/** Binary cross entropy of logits with targets of 0 … 1, element by element: (1 − t) x − log σ(x). */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return targets.neg().add(1).mul(logits).sub(logits.logSigmoid());
}

export interface FocalOptions {
  /** Weight of ones; zeros have 1 − alpha. Default: 0.25. */
  readonly alpha?: number;
  /** Focusing parameter γ: down-weights easy examples; default: 2. */
  readonly gamma?: number;
}

/**
 * Focal loss (Lin et al. 2017, "Focal loss for dense object detection", equation 5) of logits with targets that are 0 or 1,
 * element by element: −α_t (1 − p_t)^γ log p_t, where p_t is the probability of the target and α_t is α for ones, 1 − α for
 * zeros.
 */
export function focalLoss(
  logits: Tensor,
  targets: Tensor,
  { alpha = 0.25, gamma = 2 }: FocalOptions = {},
): Tensor {
  // The logit of being right: p_t = σ(u), 1 − p_t = σ(−u).
  const right = logits.mul(targets.mul(2).sub(1));
  const wrong = right.neg().sigmoid();
  const spared = gamma === 2 ? wrong.square() : wrong.pow(gamma);
  const weights = targets.mul(1 - 2 * alpha).add(alpha - 1);
  return weights.mul(spared).mul(right.logSigmoid());
}

/** Number of positives or a sum of weights as a divisor: at least 1, so that a batch without objects has a loss. */
export function atLeastOne(count: Tensor): Tensor {
  return count.sum().maximum(1);
}

/**
 * Logit of the share of objects among locations that a head starts from (Lin et al. 2017, section 3.3), so that first losses are
 * small.
 */
export const PRIOR_LOGIT = -Math.log((1 - 0.01) / 0.01);

/** Keeps quotients of empty boxes finite, as in torchvision. */
const EPSILON = 1e-7;

/** The edges of boxes, without the last axis: with one of size 1, adding a number takes the runtime fifty times as long. */
interface Edges {
  readonly x1: Tensor;
  readonly y1: Tensor;
  readonly x2: Tensor;
  readonly y2: Tensor;
}

/** @throws ShapeError where the last axis is not of size 4 */
function edgesOf(name: string, boxes: Tensor): Edges {
  const [x1, y1, x2, y2] = squeezedSides(boxes, name);
  return { x1, y1, x2, y2 };
}

/**
 * How far boxes agree, while tracing and with gradients: IoU, or that less a penalty (`giou`, `diou` and `ciou` are those of
 * numbers, with the papers named there). Boxes `[…, 4]` in both, whose axes before the last broadcast: [n, 4] with [n, 4]
 * gives [n], and [n, 1, 4] with [1, m, 4] the matrix [n, m].
 *
 * Denominators are enlarged by 10⁻⁷, so that empty boxes give numbers. Boxes that do not touch have an IoU without a gradient; the
 * penalties have one. The factor α of `ciou` counts as a constant (Zheng et al. 2020, below equation 12). Where edges of both boxes
 * coincide, the gradient is that of the edges of `a`. `ciou` takes float32: there is no arc tangent of float64.
 * @throws ShapeError where the last axis is not of size 4 or the others do not broadcast
 */
export function boxOverlap(a: Tensor, b: Tensor, kind: OverlapKind = "iou"): Tensor {
  const [p, q] = [edgesOf("boxOverlap", a), edgesOf("boxOverlap", b)];
  const area = ({ x1, y1, x2, y2 }: Edges) => x2.sub(x1).mul(y2.sub(y1));
  const width = p.x2.minimum(q.x2).sub(p.x1.maximum(q.x1)).relu();
  const height = p.y2.minimum(q.y2).sub(p.y1.maximum(q.y1)).relu();
  const shared = width.mul(height);
  const union = area(p).add(area(q)).sub(shared);
  const iou = shared.div(union.add(EPSILON));
  if (kind === "iou") return iou;

  const hullWidth = p.x2.maximum(q.x2).sub(p.x1.minimum(q.x1));
  const hullHeight = p.y2.maximum(q.y2).sub(p.y1.minimum(q.y1));
  if (kind === "giou") {
    const hull = hullWidth.mul(hullHeight);
    return iou.sub(hull.sub(union).div(hull.add(EPSILON)));
  }

  const dx = p.x1.add(p.x2).sub(q.x1.add(q.x2)).mul(0.5);
  const dy = p.y1.add(p.y2).sub(q.y1.add(q.y2)).mul(0.5);
  const diagonal = hullWidth.square().add(hullHeight.square()).add(EPSILON);
  const diou = iou.sub(dx.square().add(dy.square()).div(diagonal));
  if (kind === "diou") return diou;

  const shape = ({ x1, y1, x2, y2 }: Edges) => x2.sub(x1).div(y2.sub(y1).add(EPSILON)).atan();
  const v = shape(q)
    .sub(shape(p))
    .square()
    .mul(4 / Math.PI ** 2);
  const alpha = stopGradient(v.div(v.sub(iou).add(1 + EPSILON)));
  return diou.sub(alpha.mul(v));
}

/**
 * The loss of predicted boxes, 1 − their overlap with the targets: [n] for boxes [n, 4]. 0 for equal boxes, at most 1 for `iou`, 2
 * for `giou` and `diou`, 2½ for `ciou`.
 * @throws ShapeError as `boxOverlap`
 */
export function boxLoss(predicted: Tensor, target: Tensor, kind: OverlapKind = "giou"): Tensor {
  return boxOverlap(predicted, target, kind).neg().add(1);
}
