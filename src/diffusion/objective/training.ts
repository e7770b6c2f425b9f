import { arange, gather, normal, type Tensor, uniform, where, whileLoop } from "../../tensor/index.ts";
import type { GaussianPath } from "../path/gaussian.ts";

/** Distributions of the training time on (0, 1). */
export const TIME_SAMPLINGS = ["uniform", "logit-normal", "mode"] as const;

export type TimeSampling = (typeof TIME_SAMPLINGS)[number];

export interface TimeSamplingOptions {
  /** logit-normal: mean of logit t; default: 0, symmetric; larger values favor noise. */
  readonly mean?: number;
  /** logit-normal: deviation of logit t; default: 1. */
  readonly deviation?: number;
  /** mode: s, from −1 to 2 / (π − 2) ≈ 1.75; above 0 favors the middle, below the ends; default: 1.29. */
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
 * - logit-normal: t = sigmoid(mean + deviation · normal), which favors the middle of the path where the velocity is
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

/** How noise and data of a batch are joined. */
export const COUPLINGS = ["independent", "optimal-transport"] as const;

export type Coupling = (typeof COUPLINGS)[number];

/** Passes over all pairs, and rounds at most; a pass has as many rounds as there are rows. */
const PASSES = 2;
const MOST_ROUNDS = 256;

/**
 * Noise in an order in which it lies closer to the data of a batch, [n, …]: minibatch optimal transport (Tong et al. 2023,
 * "Improving and generalizing flow-based generative models with minibatch optimal transport", section 3.2; Pooladian et al.
 * 2023, "Multisample flow matching"), here by exchanges. In round s the rows i and s − i (mod n) exchange their noise where
 * that shortens ‖x_i − ε_i‖² + ‖x_j − ε_j‖². Rounds go over all pairs, twice in batches of up to 128 rows and over a part of
 * them in batches of more than 256. What is left is a permutation, so the noise of the batch stays what it was; without a
 * pair to exchange no two straight lines cross, ⟨x_i − x_j, ε_i − ε_j⟩ ≥ 0.
 */
export function coupledNoise(data: Tensor, noise: Tensor): Tensor {
  const rows = Number(data.shape[0]);
  if (rows < 2) return noise;
  const flat = (x: Tensor): Tensor => x.reshape([rows, -1]);
  // ⟨x_i, ε_k⟩, [n · n]: all that exchanges depend on.
  const products = flat(data)
    .matmul(flat(noise).transpose())
    .reshape([rows * rows]);
  const own = arange(0, rows);
  const productOf = (data: Tensor, noise: Tensor): Tensor => gather(products, data.mul(rows).add(noise));
  const rounds = Math.min(PASSES * rows, MOST_ROUNDS);
  const [order = own] = whileLoop(
    [own],
    ([held = own], round) => {
      const rest = round.sub(own);
      // (round − i) modulo n.
      const partner = rest.sub(
        rest
          .cast("float32")
          .mul(1 / rows)
          .floor()
          .cast("int64")
          .mul(rows),
      );
      const other = gather(held, partner);
      // Sums of two commute, so that both rows of a pair decide alike.
      const after = productOf(own, other).add(productOf(partner, held));
      const before = productOf(own, held).add(productOf(partner, other));
      return { state: [where(after.greater(before), other, held)] };
    },
    { maximum: rounds },
  );
  return gather(noise, order);
}

/** Times [n] in a shape that broadcasts to states [n, …]. */
export function spreadOver(time: Tensor, x: Tensor): Tensor {
  return time.reshape([time.shape[0] ?? 1, ...x.shape.slice(1).map(() => 1)]);
}
