import { OptionError } from "../errors.ts";
import { normalTail } from "../metrics/tails.ts";
import type { Random } from "../random.ts";
import type { NdArray } from "../tensor/index.ts";
import type { ReverseVariance } from "./ddpm-sampler.ts";
import type { NoiseLevel } from "./noise-level.ts";
import type { DiscreteSchedule } from "./schedule.ts";
import type { Denoiser } from "./solver-table.ts";
import { stepShare } from "./transition.ts";

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
 * How data is decoded from x_1: as a Gaussian density, or as one of a number of equal cells whose centres go from −1 to 1
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
  /** lower unless told. */
  readonly variance?: ReverseVariance;
  /** gaussian unless told. */
  readonly decoder?: Decoder;
  /** Draws of x_t for each step and sample; 1 unless told. */
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
