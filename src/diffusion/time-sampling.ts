import { normal, type Tensor, uniform } from "../tensor/index.ts";

/** Distributions of the training time on (0, 1). */
export const TIME_SAMPLINGS = ["uniform", "logit-normal"] as const;

export type TimeSampling = (typeof TIME_SAMPLINGS)[number];

export interface LogitNormal {
  /** Mean of logit t: 0 is symmetric, larger values favour noise. */
  readonly mean: number;
  /** Deviation of logit t. */
  readonly deviation: number;
}

/**
 * Training times, shape [count].
 *
 * - uniform: every time is equally likely.
 * - logit-normal: t = sigmoid(mean + deviation · normal), which favours the middle of the path where the velocity is
 *   hardest to predict (Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 19).
 */
export function sampleTimes(
  sampling: TimeSampling,
  count: number,
  { mean, deviation }: LogitNormal = { mean: 0, deviation: 1 },
): Tensor {
  switch (sampling) {
    case "uniform":
      return uniform([count]);
    case "logit-normal":
      return normal([count]).mul(deviation).add(mean).sigmoid();
  }
}
