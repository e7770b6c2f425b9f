import type { Losses } from "../../model/capabilities.ts";
import { grad, type Tensor, uniform, where } from "../../tensor/index.ts";
import { equationOf, type SymbolicPoint } from "../path/gaussian.ts";
import { dual } from "../path/scalar.ts";
import {
  changeOf,
  convertPrediction,
  type Prediction,
  type PredictionOptions,
  predictionTarget,
} from "./prediction.ts";

/**
 * Weights of the squared error at a noise level, as multiples of the error of ε:
 *
 * - noise: 1, the simple loss (Ho et al. 2020, equation 14); of x₀ it is SNR = α² / σ²
 * - v: 1 + 1 / SNR for α² + σ² = 1, the plain error of v (Salimans and Ho 2022, section 4, "SNR + 1")
 * - truncated-snr: max(1, 1 / SNR), of x₀ max(SNR, 1) (Salimans and Ho 2022, section 4)
 * - min-snr: min(1, γ / SNR), of x₀ min(SNR, γ) (Hang et al. 2023, "Efficient diffusion training via min-SNR weighting")
 * - likelihood: g² / σ², of the score g²; half of it integrates to a bound on the log-likelihood (Song, Durkan, Murray and
 *   Ermon 2021, "Maximum likelihood training of score-based diffusion models", theorem 1)
 * - velocity: the plain error of the velocity (Lipman et al. 2022, equation 5)
 * - edm: (r² + s²) / (r s)² of the error of x₀ with r = σ / α, the plain error of F (Karras et al. 2022, table 1)
 */
export const WEIGHTINGS = [
  "noise",
  "v",
  "truncated-snr",
  "min-snr",
  "likelihood",
  "velocity",
  "edm",
] as const;

export type Weighting = (typeof WEIGHTINGS)[number];

export interface WeightingOptions extends PredictionOptions {
  /** γ of `min-snr`; default: 5. */
  readonly gamma?: number;
}

/**
 * The factor of the squared error of a network that predicts `prediction`, so that its loss has a weighting: whatever is
 * predicted, the loss is then the same function of the denoiser. For numbers and for tensors.
 */
export const lossWeight = dual(
  ["alpha", "sigma", "alphaRate", "sigmaRate"],
  (point, prediction: Prediction, weighting: Weighting, { gamma = 5, ...options }: WeightingOptions = {}) => {
    /** The squared error of another prediction as a multiple of this one's. */
    const errorOf = (other: Prediction) =>
      prediction === other
        ? point.sigma.mul(0).add(1)
        : changeOf(point, prediction, other, options).output.square();
    switch (weighting) {
      case "noise":
      case "v":
      case "velocity":
      case "edm":
        return { weight: errorOf(weighting) };
      case "truncated-snr":
        return { weight: errorOf("noise").maximum(errorOf("data")) };
      case "min-snr":
        return { weight: errorOf("noise").minimum(errorOf("data").mul(gamma)) };
      case "likelihood":
        return { weight: equationOf(point).diffusionSquared.mul(errorOf("score")) };
    }
  },
);

/** What a network predicts of a state, in its own form of prediction. */
export interface Predicted {
  /** Of the state's shape. */
  readonly output: Tensor;
  /** v of learned variances, of the state's shape: 0 is the least and 1 the largest. */
  readonly variance?: Tensor;
}

/** Noisy data of a batch while a loss is traced, in model units. */
export interface NoisyBatch {
  /** x₀, [n, …]. */
  readonly data: Tensor;
  /** ε, [n, …]. */
  readonly noise: Tensor;
  /** t, [n]. */
  readonly time: Tensor;
  /** The point of the process at t, [n, 1, …]. */
  readonly point: SymbolicPoint;
  /** x_t, [n, …]. */
  readonly state: Tensor;
  /** The network at t. */
  readonly predict: (state: Tensor) => Predicted;
}

/** What a network is fitted by. */
export type Objective = (batch: NoisyBatch) => Losses;

/** Weightings that are the plain squared error of a prediction. */
const PLAIN: Readonly<Partial<Record<Weighting, Prediction>>> = {
  noise: "noise",
  v: "v",
  velocity: "velocity",
  edm: "edm",
};

/** What a network that predicts `prediction` is fitted to on a batch. */
function targetOf(
  { data, noise, point }: Pick<NoisyBatch, "data" | "noise" | "point">,
  prediction: Prediction,
  options: PredictionOptions = {},
): Tensor {
  if (prediction === "noise") return noise;
  if (prediction === "data") return data;
  const parts = predictionTarget(point, prediction, options);
  return data.mul(parts.data).add(noise.mul(parts.noise));
}

/** Mean over all but the first axis, [n, …] → [n]. */
export function meanOfRows(x: Tensor): Tensor {
  return x.mean(x.shape.slice(1).map((_, axis) => axis + 1));
}

/** The squared error of a network's output, weighed, averaged over components: [n]. */
function weighedError(
  { point }: Pick<NoisyBatch, "point">,
  error: Tensor,
  prediction: Prediction,
  weighting: Weighting,
  options: WeightingOptions,
): Tensor {
  const rows = meanOfRows(error.square());
  if (PLAIN[weighting] === prediction) return rows;
  return rows.mul(lossWeight(point, prediction, weighting, options).weight.reshape([-1]));
}

/**
 * Denoising score matching in all its forms: the mean squared error of a network that predicts `prediction`, weighed by
 * `weighting` (Vincent 2011; Ho et al. 2020, equation 14; Song et al. 2021, equation 7; Liu et al. 2022, equation 1; Karras
 * et al. 2022, equation 2). Averaged over components.
 */
export function denoisingLoss(
  prediction: Prediction,
  weighting: Weighting,
  options: WeightingOptions = {},
): Objective {
  return (batch) => {
    const error = batch.predict(batch.state).output.sub(targetOf(batch, prediction, options));
    return { total: weighedError(batch, error, prediction, weighting, options).mean() };
  };
}

/**
 * Sliced score matching at all noise levels (Song, Garg, Shi and Ermon 2019, "Sliced score matching", equation 8; Song et al.
 * 2021, equation 19): E σ² [½ ‖s‖² + vᵀ (∂s/∂x) v], divided by the number of components, with a probe v of signs. Nothing of
 * the data that was noised is seen but x_t. Needs second derivatives of the network.
 */
export function slicedLoss(prediction: Prediction, options: PredictionOptions = {}): Objective {
  return ({ state, point, predict }) => {
    const score = convertPrediction(state, predict(state).output, point, {
      ...options,
      from: prediction,
      to: "score",
    });
    const probe = where(uniform(state.shape).less(0.5), -1, 1);
    const [product] = grad(score.mul(probe).sum(), [state]);
    const each = score.square().mul(0.5).add(product.mul(probe)).mul(point.sigma.square());
    return { total: meanOfRows(each).mean() };
  };
}
