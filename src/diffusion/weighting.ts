import { equationOf } from "./gaussian-path.ts";
import { changeOf, type Prediction, type PredictionOptions } from "./prediction.ts";
import { dual } from "./scalar.ts";

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
  /** γ of `min-snr`; 5 unless told. */
  readonly gamma?: number;
}

/**
 * The factor of the squared error of a network that says `prediction`, so that its loss has a weighting: whatever is
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
