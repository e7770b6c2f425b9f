import type { Tensor } from "../tensor/index.ts";

/**
 * log p(x) of zeros and ones where `logits` are log p(1) − log p(0), element by element: log σ(logit) of a one and
 * log σ(−logit) of a zero, each without the cancellation of x · logit − log(1 + e^logit).
 */
export function bernoulliLogProb(logits: Tensor, x: Tensor): Tensor {
  return x.mul(-2).add(1).mul(logits).softplus().neg();
}
