import { zeros } from "../nn/initialisers.ts";
import type { LinearOptions } from "../nn/linear.ts";
import type { Tensor } from "../tensor/index.ts";

/**
 * log p(x) of zeros and ones where `logits` are log p(1) − log p(0), element by element: log σ(logit) of a one and
 * log σ(−logit) of a zero, each without the cancellation of x · logit − log(1 + e^logit).
 */
export function bernoulliLogProb(logits: Tensor, x: Tensor): Tensor {
  return x.mul(2).sub(1).mul(logits).logSigmoid();
}

/**
 * Layers that tell logits begin at zero: both values equally likely, whatever the elements before. Small sets are then
 * not fitted away from the noise of random weights, most of which no gradient ever removes.
 */
export const AT_REST = { initialiseWeight: zeros, initialiseBias: zeros } satisfies LinearOptions;
