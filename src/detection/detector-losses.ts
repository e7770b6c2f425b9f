import type { Tensor } from "../tensor/index.ts";

/** Binary cross entropy of logits with targets of 0 … 1, element by element: (1 − t) x − log σ(x). */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return targets.neg().add(1).mul(logits).sub(logits.logSigmoid());
}

export interface FocalOptions {
  /** Weight of ones; zeros have 1 − alpha. 0.25 unless told. */
  readonly alpha?: number;
  /** How much what is right already is spared; 2 unless told. */
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
 * Logit of the share of objects among places that a head starts from (Lin et al. 2017, section 3.3), so that first losses are
 * small.
 */
export const PRIOR_LOGIT = -Math.log((1 - 0.01) / 0.01);
