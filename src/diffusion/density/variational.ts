import { OptionError } from "../../errors.ts";
import { normalTail } from "../../metrics/roc.ts";
import type { Random } from "../../random.ts";
import { stopGradient } from "../../tensor/index.operations.ts";
import { constant, float32, gather, type NdArray, type Tensor, where } from "../../tensor/index.ts";
import { meanOfRows, type NoisyBatch, type Objective } from "../objective/objective.ts";
import { convertPrediction, type Prediction } from "../objective/prediction.ts";
import type { NoiseLevel } from "../path/noise-level.ts";
import type { DiscreteSchedule } from "../path/schedule.ts";
import { type ReverseVariance, stepShare } from "../solver/samplers.ts";
import type { Denoiser } from "../solver/table.ts";

/** KL(N(m₁, v₁) ‖ N(m₂, v₂)) of two one-dimensional Gaussians, from (m₁ − m₂)² and the variances, nats. */
export function gaussianKl(squaredDistance: number, first: number, second: number): number {
  const ratio = first / second;
  return (squaredDistance / second + (ratio - 1 - Math.log(ratio))) / 2;
}

/** KL(q(x_T | x₀) ‖ N(0, I)) of one sample, nats: L_T (Ho et al. 2020, equation 5). */
export function priorTerm(x: ArrayLike<number>, { alpha, sigma }: NoiseLevel): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += gaussianKl((alpha * (x[i] ?? 0)) ** 2, sigma * sigma, 1);
  return total;
}

/** What the term of one step is computed from. */
export interface StepTerm {
  /** x₀ and the estimate of it, [d]. */
  readonly x: ArrayLike<number>;
  readonly denoised: ArrayLike<number>;
  /** v in [0, 1] of learned variances, [d]. */
  readonly variance?: ArrayLike<number>;
}

/** The variance of a step of the reverse chain, and the largest and least it may have. */
export interface StepVariances {
  readonly lower: number;
  readonly upper: number;
}

/** v interpolates the logarithm (Nichol and Dhariwal 2021, equation 15). */
function varianceOf({ lower, upper }: StepVariances, kind: ReverseVariance, v = 0): number {
  if (kind === "upper") return upper;
  return kind === "lower" ? lower : Math.exp(v * Math.log(upper) + (1 - v) * Math.log(lower));
}

/**
 * KL(q(x_s | x_t, x₀) ‖ p(x_s | x_t)) of one sample, nats: L_{t−1} with s = t − 1 (Ho et al. 2020, equations 5 to 8), between
 * any two levels of which s has some noise. With the lower variance it is SNR-weighted squared error alone.
 */
export function stepTerm(
  { x, denoised, variance }: StepTerm,
  t: NoiseLevel,
  s: NoiseLevel,
  kind: ReverseVariance,
): number {
  const { renewed } = stepShare(t, s);
  const variances = { lower: renewed * s.sigma ** 2, upper: renewed * t.sigma ** 2 };
  const scale = s.alpha * renewed;
  let total = 0;
  for (let i = 0; i < x.length; i++) {
    const distance = scale * ((x[i] ?? 0) - (denoised[i] ?? 0));
    total += gaussianKl(distance * distance, variances.lower, varianceOf(variances, kind, variance?.[i]));
  }
  return total;
}

/**
 * How data is decoded from x_1: as a Gaussian density, or as one of a number of equal cells whose centers go from −1 to 1
 * (Ho et al. 2020, equation 13: 256 for bytes), the outer ones unbounded.
 */
export type Decoder = "gaussian" | { readonly cells: number };

/** The variances of the decoder. The lower one would be 0; that of step 2 is taken (Nichol and Dhariwal 2021). */
export function decodingVariances(schedule: DiscreteSchedule): StepVariances {
  const [first, second] = [schedule.level(1), schedule.level(2)];
  return { lower: stepShare(second, first).renewed * first.sigma ** 2, upper: first.sigma ** 2 };
}

/** −log p(x₀ | x_1) of one sample, nats: L_0. The mean is the estimate; `variances` of the decoder as for a step. */
export function decoderTerm(
  { x, denoised, variance }: StepTerm,
  variances: StepVariances,
  kind: ReverseVariance,
  decoder: Decoder,
): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) {
    const value = x[i] ?? 0;
    const own = varianceOf(variances, kind, variance?.[i]);
    const distance = value - (denoised[i] ?? 0);
    if (decoder === "gaussian") {
      total += (Math.log(2 * Math.PI * own) + (distance * distance) / own) / 2;
      continue;
    }
    const half = 1 / (decoder.cells - 1);
    const deviation = Math.sqrt(own);
    const low = value < -1 + half ? Number.NEGATIVE_INFINITY : (distance - half) / deviation;
    const high = value > 1 - half ? Number.POSITIVE_INFINITY : (distance + half) / deviation;
    total -= logNormalMass(low, high);
  }
  return total;
}

/** log P(low < Z < high) of a standard normal, also far out where the probability underflows. */
function logNormalMass(low: number, high: number): number {
  // Towards the upper tail, where probabilities keep their digits.
  if (high <= 0) return logNormalMass(-high, -low);
  const mass = low >= 0 ? normalTail(low) - normalTail(high) : 1 - normalTail(-low) - normalTail(high);
  if (mass > 0) return Math.log(mass);
  // Mills' ratio: the tail beyond z is φ(z) / z to first order.
  return -(low * low) / 2 - Math.log(low * Math.sqrt(2 * Math.PI));
}

export interface VariationalBoundOptions {
  readonly schedule: DiscreteSchedule;
  readonly denoiser: Denoiser;
  /** Data, [n, …], in the units of the chain. */
  readonly x: NdArray<"float64">;
  /** Default: lower. */
  readonly variance?: ReverseVariance;
  /** Default: gaussian. */
  readonly decoder?: Decoder;
  /** Draws of x_t for each step and sample; default: 1. */
  readonly draws?: number;
  readonly random: Random;
}

/**
 * The variational bound of DDPM term by term (Ho et al. 2020, equation 5): −log p(x₀) ≤ L_0 + … + L_T in expectation over
 * draws of x_t, which are independent for each step. Nats.
 *
 * - column 0: L_0 = −log p(x₀ | x_1), with the variances of `decodingVariances`
 * - column t − 1, t = 2 … T: L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p(x_{t−1} | x_t))
 * - column T: L_T = KL(q(x_T | x₀) ‖ N(0, I))
 * @returns terms [n, T + 1]
 * @throws OptionError where the chain has one step only, draws is not a whole number from 1 on, or a decoder has fewer than
 *   two cells
 */
export function variationalBound({
  schedule,
  denoiser,
  x,
  variance: kind = "lower",
  decoder = "gaussian",
  draws = 1,
  random,
}: VariationalBoundOptions): NdArray<"float64"> {
  if (schedule.steps < 2) throw new OptionError("variational bound: the chain needs at least two steps");
  if (!Number.isInteger(draws) || draws < 1) {
    throw new OptionError(`draws: must be a whole number from 1 on, not ${draws}`);
  }
  if (decoder !== "gaussian" && !(Number.isInteger(decoder.cells) && decoder.cells >= 2)) {
    throw new OptionError(`decoder: must have at least 2 cells, not ${decoder.cells}`);
  }
  const rows = x.shape[0] ?? 0;
  const size = rows === 0 ? 0 : x.data.length / rows;
  const columns = schedule.steps + 1;
  const terms = new Float64Array(rows * columns);
  const rowOf = (array: NdArray<"float64">, i: number) => array.data.subarray(i * size, (i + 1) * size);
  for (let i = 0; i < rows; i++) {
    terms[i * columns + schedule.steps] = priorTerm(rowOf(x, i), schedule.level(schedule.steps));
  }
  const decoding = decodingVariances(schedule);
  for (let t = 1; t <= schedule.steps; t++) {
    const [level, next] = [schedule.level(t), schedule.level(t - 1)];
    for (let draw = 0; draw < draws; draw++) {
      const own = random.split(t).split(draw);
      const noisy = { ...x, data: x.data.map((value) => level.alpha * value + level.sigma * own.normal()) };
      const { denoised, variance } = denoiser(noisy, level.time);
      for (let i = 0; i < rows; i++) {
        const given = {
          x: rowOf(x, i),
          denoised: rowOf(denoised, i),
          ...(variance !== undefined && { variance: rowOf(variance, i) }),
        };
        const term =
          t === 1 ? decoderTerm(given, decoding, kind, decoder) : stepTerm(given, level, next, kind);
        const column = i * columns + t - 1;
        terms[column] = (terms[column] ?? 0) + term / draws;
      }
    }
  }
  return { dtype: "float64", shape: [rows, columns], data: terms };
}

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
    // Where the mass of a cell is lost in rounding its density stands in for it, which also has a gradient.
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
    const predicted = batch.predict(batch.state);
    // One evaluation for both.
    const known = { ...batch, predict: () => predicted };
    const { total: simple } = mean(known);
    const bound = termsOf(terms, prediction, known, true).mean().mul(terms.schedule.steps);
    return { total: simple.add(bound.mul(HYBRID_SHARE)), simple, bound };
  };
}
