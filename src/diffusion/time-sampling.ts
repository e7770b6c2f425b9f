import { normal, type Tensor, uniform } from "../tensor/index.ts";
import type { GaussianPath } from "./gaussian-path.ts";

/** Distributions of the training time on (0, 1). */
export const TIME_SAMPLINGS = ["uniform", "logit-normal", "mode"] as const;

export type TimeSampling = (typeof TIME_SAMPLINGS)[number];

export interface TimeSamplingOptions {
  /** logit-normal: mean of logit t; 0, symmetric, unless told; larger values favour noise. */
  readonly mean?: number;
  /** logit-normal: deviation of logit t; 1 unless told. */
  readonly deviation?: number;
  /** mode: s, from −1 to 2 / (π − 2) ≈ 1.75; above 0 favours the middle, below the ends. 1.29 unless told. */
  readonly scale?: number;
}

/** Of the best model with `mode` in Esser et al. 2024, table 1. */
const MODE_SCALE = 1.29;

/** The range of s in which the map of `mode` is monotone. */
export const MODE_SCALES = { least: -1, largest: 2 / (Math.PI - 2) } as const;

/**
 * Training times, shape [count].
 *
 * - uniform: every time is equally likely.
 * - logit-normal: t = sigmoid(mean + deviation · normal), which favours the middle of the path where the velocity is
 *   hardest to predict (Esser et al. 2024, "Scaling Rectified Flow Transformers", equation 19).
 * - mode: t = 1 − u − s (cos²(π u / 2) − 1 + u) of a uniform u (equation 20), which has tails towards both ends.
 */
export function sampleTimes(
  sampling: TimeSampling,
  count: number,
  { mean = 0, deviation = 1, scale = MODE_SCALE }: TimeSamplingOptions = {},
): Tensor {
  switch (sampling) {
    case "uniform":
      return uniform([count]);
    case "logit-normal":
      return normal([count]).mul(deviation).add(mean).sigmoid();
    case "mode": {
      const u = uniform([count]);
      const squaredCosine = u.mul(Math.PI).cos().add(1).mul(0.5);
      return u.neg().add(1).sub(squaredCosine.sub(1).add(u).mul(scale));
    }
  }
}

/**
 * Training times at which log(σ / α) is uniform between its values at two times, shape [count]. The density of such a time is
 * proportional to g² / σ² = (d / dt) log(σ² / α²), the weight of `likelihood`: importance sampling that makes its variance
 * least (Song, Durkan, Murray and Ermon 2021, section 5.1; Kingma et al. 2021, section 5.1).
 */
export function logRatioTimes(path: GaussianPath, count: number, from: number, to: number): Tensor {
  const [low, high] = [from, to].map((time) => {
    const { alpha, sigma } = path.at(time);
    return Math.log(sigma / alpha);
  }) as [number, number];
  return path.symbolicTimeOf(
    uniform([count])
      .mul(high - low)
      .add(low)
      .exp(),
  );
}

/**
 * Training times at which log(σ / α) is normal, shape [count] (Karras et al. 2022, table 1: mean −1.2, deviation 1.2). They may lie
 * beyond 0 and 1 where the formulas of the path go on.
 */
export function logNormalTimes(path: GaussianPath, count: number, mean: number, deviation: number): Tensor {
  return path.symbolicTimeOf(normal([count]).mul(deviation).add(mean).exp());
}

/** Steps 1 … T of a chain as times t / T, all equally likely, shape [count]. */
export function stepTimes(steps: number, count: number): Tensor {
  return uniform([count])
    .mul(steps)
    .floor()
    .add(1)
    .mul(1 / steps);
}
