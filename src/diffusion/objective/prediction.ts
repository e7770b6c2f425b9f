import type { Tensor } from "../../tensor/index.ts";
import { dual, type Quantities, type Scalar } from "../path/scalar.ts";

/**
 * What a network may predict of x = α x₀ + σ ε. Each is a fixed combination of x₀ and ε:
 *
 * - noise: ε (Ho et al. 2020)
 * - data: x₀
 * - v: α ε − σ x₀ (Salimans and Ho 2022, "Progressive distillation", appendix D)
 * - score: ∇ log p(x), whose expectation is that of −ε / σ (Vincent 2011; Song et al. 2021)
 * - velocity: α′ x₀ + σ′ ε, the time derivative of x (Lipman et al. 2022, "Flow matching")
 * - edm: the network F within D(x) = c_skip x + c_out F(c_in x; c_noise) (Karras et al. 2022, equation 7)
 */
export const PREDICTIONS = ["noise", "data", "v", "score", "velocity", "edm"] as const;

export type Prediction = (typeof PREDICTIONS)[number];

/** What predictions depend on at a noise level; the rates matter to `velocity` alone. */
export type PredictionPoint<T> = Quantities<"alpha" | "sigma" | "alphaRate" | "sigmaRate", T>;

export interface PredictionOptions {
  /** Deviation of the data, for `edm`; default: 0.5. */
  readonly dataDeviation?: number;
}

/** The deviation of images on [−1, 1] that EDM takes. */
const DATA_DEVIATION = 0.5;

const POINT = ["alpha", "sigma", "alphaRate", "sigmaRate"] as const;

/** A prediction as a combination of x₀ and ε. */
type Parts<T> = Quantities<"data" | "noise", T>;

/** Deviation of x for data of a given one. */
function deviationOf<T extends Scalar<T>>(alpha: T, sigma: T, dataDeviation: number): T {
  return alpha.mul(dataDeviation).square().add(sigma.square()).sqrt();
}

function partsOf<T extends Scalar<T>>(
  { alpha, sigma, alphaRate, sigmaRate }: PredictionPoint<T>,
  prediction: Prediction,
  dataDeviation: number,
): Parts<T> {
  const zero = sigma.mul(0);
  switch (prediction) {
    case "noise":
      return { data: zero, noise: zero.add(1) };
    case "data":
      return { data: zero.add(1), noise: zero };
    case "v":
      return { data: sigma.neg(), noise: alpha };
    case "score":
      return { data: zero, noise: sigma.pow(-1).neg() };
    case "velocity":
      return { data: alphaRate, noise: sigmaRate };
    case "edm": {
      // F = (x₀ − c_skip x / α) / c_out with c_skip = s² / (r² + s²), c_out = r s / √(r² + s²), r = σ / α.
      const deviation = deviationOf(alpha, sigma, dataDeviation);
      return {
        data: sigma.div(deviation).div(dataDeviation),
        noise: alpha.div(deviation).mul(-dataDeviation),
      };
    }
  }
}

/**
 * What a network that predicts `prediction` is fitted to: its target is data · x₀ + noise · ε. For numbers and for tensors.
 */
export const predictionTarget = dual(
  POINT,
  (point, prediction: Prediction, { dataDeviation = DATA_DEVIATION }: PredictionOptions = {}) =>
    partsOf(point, prediction, dataDeviation),
);

/** `predictionChange` over any scalar. */
export function changeOf<T extends Scalar<T>>(
  point: PredictionPoint<T>,
  from: Prediction,
  to: Prediction,
  { dataDeviation = DATA_DEVIATION }: PredictionOptions = {},
): Quantities<"state" | "output", T> {
  const { alpha, sigma } = point;
  const known = partsOf(point, from, dataDeviation);
  const wanted = partsOf(point, to, dataDeviation);
  // From x = α x₀ + σ ε and known = a x₀ + b ε: a system of two equations for x₀ and ε.
  const determinant = alpha.mul(known.noise).sub(sigma.mul(known.data));
  return {
    state: wanted.data.mul(known.noise).sub(known.data.mul(wanted.noise)).div(determinant),
    output: alpha.mul(wanted.noise).sub(sigma.mul(wanted.data)).div(determinant),
  };
}

/**
 * How one prediction is had from another and from x: to = state · x + output · from. Where `from` does not determine `to`
 * (noise, where there is no data in x), the coefficients are not finite. For numbers and for tensors.
 */
export const predictionChange = dual(POINT, changeOf);

/** Changes a network's output into another prediction; α, σ and the rates broadcast to x. */
export function convertPrediction(
  x: Tensor,
  output: Tensor,
  point: PredictionPoint<Tensor>,
  { from, to, ...options }: { readonly from: Prediction; readonly to: Prediction } & PredictionOptions,
): Tensor {
  if (from === to) return output;
  const change = predictionChange(point, from, to, options);
  return x.mul(change.state).add(output.mul(change.output));
}

/**
 * How EDM's network is called: with c_in · x and the number c_noise (Karras et al. 2022, table 1), here for any α. For
 * numbers and for tensors.
 */
export const edmInput = dual(
  ["alpha", "sigma"],
  ({ alpha, sigma }, { dataDeviation = DATA_DEVIATION }: PredictionOptions = {}) => ({
    scale: deviationOf(alpha, sigma, dataDeviation).pow(-1),
    noiseCondition: sigma.div(alpha).log().mul(0.25),
  }),
);
