import { constant, float32, gather, stopGradient, type Tensor, where } from "../tensor/index.ts";
import type { ReverseVariance } from "./ddpm-sampler.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { meanOfRows, type NoisyBatch, type Objective } from "./objective.ts";
import { convertPrediction, type Prediction } from "./prediction.ts";
import type { DiscreteSchedule } from "./schedule.ts";
import { stepShare } from "./transition.ts";
import { type Decoder, decodingVariances } from "./variational-bound.ts";

/** What a term of the bound is made of, in a graph. */
export interface SymbolicTerm {
  /** x₀, [n, …]. */
  readonly data: Tensor;
  /** The estimate of x₀, [n, …]. */
  readonly denoised: Tensor;
  /** v of learned variances, [n, …]. */
  readonly variance?: Tensor | undefined;
  /** The step t of 1 … T of each sample, [n], int64. */
  readonly step: Tensor;
}

/** The terms L_0 … L_{T−1} of DDPM's bound in a graph, by a gather from numbers of the chain in float64. */
export class VariationalTerms {
  readonly schedule: DiscreteSchedule;
  private readonly kind: ReverseVariance;
  private readonly decoder: Decoder;
  private readonly numbers: Readonly<Record<"scale" | "lower" | "upper", Tensor>>;

  constructor(schedule: DiscreteSchedule, kind: ReverseVariance, decoder: Decoder) {
    this.schedule = schedule;
    this.kind = kind;
    this.decoder = decoder;
    const table = (entry: (level: NoiseLevel, next: NoiseLevel) => number, first: number): Tensor => {
      const rows = Array.from({ length: schedule.steps }, (_, i) =>
        i === 0 ? first : entry(schedule.level(i + 1), schedule.level(i)),
      );
      return constant(float32(rows, [rows.length]));
    };
    const decoding = decodingVariances(schedule);
    const renewed = (level: NoiseLevel, next: NoiseLevel): number => stepShare(level, next).renewed;
    this.numbers = {
      // Of x₀ in the mean of q(x_{t−1} | x_t, x₀); the decoder's mean is the estimate itself.
      scale: table((level, next) => next.alpha * renewed(level, next), 1),
      lower: table(
        (level, next) => Math.log(renewed(level, next) * next.sigma ** 2),
        Math.log(decoding.lower),
      ),
      upper: table(
        (level, next) => Math.log(renewed(level, next) * level.sigma ** 2),
        Math.log(decoding.upper),
      ),
    };
  }

  /**
   * L_{t−1} of each sample in nats, averaged over its components, [n]: the divergence of the step's reverse from the posterior
   * for t ≥ 2 (Ho et al. 2020, equation 8; Nichol and Dhariwal 2021, equation 4), −log p(x₀ | x_1) for t = 1.
   */
  termOf({ data, denoised, variance, step }: SymbolicTerm): Tensor {
    const rows = step.shape[0] ?? 1;
    const index = step.sub(1);
    const of = (name: keyof VariationalTerms["numbers"]): Tensor =>
      gather(this.numbers[name], index).reshape([rows, ...data.shape.slice(1).map(() => 1)]);
    const [scale, lower, upper] = [of("scale"), of("lower"), of("upper")];
    const logVariance =
      this.kind === "upper"
        ? upper
        : this.kind === "lower" || variance === undefined
          ? lower
          : lower.add(upper.sub(lower).mul(variance));
    const error = data.sub(denoised).mul(scale);
    const scaled = error.square().mul(logVariance.neg().exp());
    const change = lower.sub(logVariance);
    // ½ (Δ² / v + w / v − 1 − log(w / v)) with the variance w of the posterior.
    const divergence = scaled.add(change.expm1()).sub(change).mul(0.5);
    const first = this.decoded(data, error, scaled, logVariance);
    return where(step.lessEqual(1), meanOfRows(first), meanOfRows(divergence));
  }

  /** −log p(x₀ | x_1), in nats. */
  private decoded(data: Tensor, error: Tensor, scaled: Tensor, logVariance: Tensor): Tensor {
    const density = scaled.add(logVariance.add(Math.log(2 * Math.PI))).mul(0.5);
    if (this.decoder === "gaussian") return density;
    const half = 1 / (this.decoder.cells - 1);
    const rate = logVariance.mul(-0.5).exp().mul(Math.SQRT1_2);
    const below = (edge: Tensor): Tensor => edge.mul(rate).erf();
    const high = where(data.greater(1 - half), 1, below(error.add(half)));
    const low = where(data.less(-1 + half), -1, below(error.sub(half)));
    const mass = high.sub(low).mul(0.5);
    // Where the mass of a cell is lost in rounding its density takes the place, which also has a gradient.
    const safe = mass.maximum(LEAST_MASS);
    return where(mass.greater(LEAST_MASS), safe.log().neg(), density.sub(Math.log(2 * half)));
  }
}

/** The mass of a cell below which float32 has lost it. */
const LEAST_MASS = 1e-5;

/** The step of each time t / T of a batch, [n], int64. */
function stepsOf(time: Tensor, { steps }: DiscreteSchedule): Tensor {
  return time.mul(steps).round().cast("int64");
}

/** L_{t−1} of a batch at its times. */
function termsOf(
  terms: VariationalTerms,
  prediction: Prediction,
  { data, state, point, time, predict }: NoisyBatch,
  fixMean: boolean,
): Tensor {
  const { output, variance } = predict(state);
  const denoised = convertPrediction(state, output, point, { from: prediction, to: "data" });
  return terms.termOf({
    data,
    denoised: fixMean ? stopGradient(denoised) : denoised,
    variance,
    step: stepsOf(time, terms.schedule),
  });
}

/** The bound itself, T E_t L_{t−1} in nats a component: L_T has no parameters (Ho et al. 2020, equation 5). */
export function variationalLoss(terms: VariationalTerms, prediction: Prediction): Objective {
  return (batch) => ({ total: termsOf(terms, prediction, batch, false).mean().mul(terms.schedule.steps) });
}

/** λ of the hybrid loss. */
const HYBRID_SHARE = 0.001;

/**
 * The hybrid loss (Nichol and Dhariwal 2021, equation 16): a loss for the mean, and 0.001 times the bound for the variance
 * alone, with the mean fixed there.
 */
export function hybridLoss(terms: VariationalTerms, prediction: Prediction, mean: Objective): Objective {
  return (batch) => {
    const said = batch.predict(batch.state);
    // One evaluation for both.
    const known = { ...batch, predict: () => said };
    const { total: simple } = mean(known);
    const bound = termsOf(terms, prediction, known, true).mean().mul(terms.schedule.steps);
    return { total: simple.add(bound.mul(HYBRID_SHARE)), simple, bound };
  };
}
