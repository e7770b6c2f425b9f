import { OptionError } from "../../errors.ts";
import { dual } from "./scalar.ts";

/** A location on the path from data to noise, x = α x₀ + σ ε: all that most solvers need to know of a path. */
export interface NoiseLevel {
  /** What a network is given: 0 is data, 1 is noise. */
  readonly time: number;
  /** Scale of the data. */
  readonly alpha: number;
  /** Deviation of the noise. */
  readonly sigma: number;
}

/** A noise level with the derivatives α′ and σ′ by time, which differential equations are made of. */
export interface PathPoint extends NoiseLevel {
  readonly alphaRate: number;
  readonly sigmaRate: number;
}

/** Noise levels by time and by ratio: a continuous path, or a discrete schedule. */
export interface NoiseLevels<Level extends NoiseLevel = NoiseLevel> {
  /** The level at a time in [0, 1]. */
  at(time: number): Level;
  /** The level at which σ / α is `ratio`. */
  levelAt(ratio: number): Level;
}

/** Data itself. A list of levels that ends here ends in the denoised estimate. */
export const CLEAN: PathPoint = { time: 0, alpha: 1, sigma: 0, alphaRate: 0, sigmaRate: 0 };

/**
 * The signal-to-noise ratio α² / σ² and its logarithm (Kingma et al. 2021, "Variational diffusion models", equation 2;
 * half the logarithm is the λ of DPM-Solver). For numbers and for tensors.
 */
export const signalToNoise = dual(["alpha", "sigma"], ({ alpha, sigma }) => {
  const ratio = alpha.div(sigma);
  return { snr: ratio.square(), logSnr: ratio.log().mul(2) };
});

/** Deviation of x at a level for data of unit variance, √(α² + σ²): what a sampler that starts there scales noise by. */
export function startingDeviation({ alpha, sigma }: NoiseLevel): number {
  return Math.hypot(alpha, sigma);
}

/** Levels at the times of a list. @throws OptionError as `at` does */
export function levelsOf<Level extends NoiseLevel>(
  levels: NoiseLevels<Level>,
  times: readonly number[],
): readonly Level[] {
  return times.map((time) => levels.at(time));
}

/** The list with clean data as its last level, unless that is so already. */
export function thenClean<Level extends NoiseLevel>(
  levels: readonly Level[],
): readonly (Level | PathPoint)[] {
  return levels.at(-1)?.sigma === 0 ? levels : [...levels, CLEAN];
}

/**
 * The levels of a sampler in the order of encoding, from data to noise: those with some noise, the least noisy first, which
 * data is taken to be at.
 */
export function towardsNoise<Level extends NoiseLevel>(levels: readonly Level[]): readonly Level[] {
  return levels.filter(({ sigma }) => sigma > 0).reverse();
}

export interface KarrasOptions {
  /** Least and largest σ / α. */
  readonly least: number;
  readonly largest: number;
  /** Larger: more of the steps at little noise; default: 7. */
  readonly rho?: number;
}

/**
 * The ratios σ_i = (σ_max^{1/ρ} + i / (N − 1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ, i = 0 … N − 1, from noise to data (Karras et al.
 * 2022, equation 5).
 * @throws OptionError where count is not a whole number from 1 on or the bounds are not in order
 */
export function karrasRatios(count: number, { least, largest, rho = 7 }: KarrasOptions): readonly number[] {
  if (!Number.isInteger(count) || count < 1) {
    throw new OptionError(`steps: must be a whole number from 1 on, not ${count}`);
  }
  if (!(least > 0 && least < largest && Number.isFinite(largest))) {
    throw new OptionError(
      `Karras schedule: least ${least} and largest ${largest} must be above 0 and in order`,
    );
  }
  if (!(rho > 0)) throw new OptionError(`Karras schedule: rho must be above 0, not ${rho}`);
  const [low, high] = [least ** (1 / rho), largest ** (1 / rho)];
  return Array.from({ length: count }, (_, i) =>
    // The ends themselves, not roundings of them: a discrete schedule has nothing beyond.
    i === 0 ? largest : i === count - 1 ? least : (high + (i / (count - 1)) * (low - high)) ** rho,
  );
}

/** Levels at Karras's ratios, and clean data after them: N evaluations. @throws OptionError as `karrasRatios` */
export function karrasLevels<Level extends NoiseLevel>(
  levels: NoiseLevels<Level>,
  steps: number,
  options: KarrasOptions,
): readonly (Level | PathPoint)[] {
  return thenClean(karrasRatios(steps, options).map((ratio) => levels.levelAt(ratio)));
}

/**
 * Levels at ratios σ / α that are evenly spaced in their logarithm, from the largest to the least, and clean data after
 * them: N evaluations (Lu et al. 2022, "DPM-Solver", section 3.3).
 * @throws OptionError as `karrasRatios`
 */
export function logSnrLevels<Level extends NoiseLevel>(
  levels: NoiseLevels<Level>,
  steps: number,
  bounds: Pick<KarrasOptions, "least" | "largest">,
): readonly (Level | PathPoint)[] {
  const [first, last] = karrasRatios(2, bounds).map(Math.log) as [number, number];
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`steps: must be a whole number from 1 on, not ${steps}`);
  }
  const ratios = Array.from({ length: steps }, (_, i) =>
    i === 0
      ? bounds.largest
      : i === steps - 1
        ? bounds.least
        : Math.exp(first + ((last - first) * i) / (steps - 1)),
  );
  return thenClean(ratios.map((ratio) => levels.levelAt(ratio)));
}

/**
 * Times moved towards noise by a factor, t ↦ s t / (1 + (s − 1) t), as suits larger images (Esser et al. 2024, "Scaling
 * Rectified Flow Transformers", equation 23).
 * @throws OptionError where the factor is not above 0
 */
export function shiftedTimes(times: readonly number[], factor: number): readonly number[] {
  if (!(factor > 0)) throw new OptionError(`shift: must be above 0, not ${factor}`);
  return times.map((t) => (factor * t) / (1 + (factor - 1) * t));
}

/**
 * Checks a list of levels before a solver reads it.
 * @throws OptionError that names the level at fault, where there are fewer than two, a level that is left is clean or not
 *   finite, or the list turns back
 */
export function checkLevels(solver: string, levels: readonly NoiseLevel[]): void {
  if (levels.length < 2) throw new OptionError(`${solver}: needs at least two noise levels`);
  const increasing = ratioOf(levels[1]) > ratioOf(levels[0]);
  levels.forEach((level, i) => {
    const { alpha, sigma, time } = level;
    if (
      !(Number.isFinite(alpha) && Number.isFinite(sigma) && alpha >= 0 && sigma >= 0 && alpha + sigma > 0)
    ) {
      throw new OptionError(
        `${solver}: level ${i} has alpha ${alpha} and sigma ${sigma}, which is no noise level`,
      );
    }
    if (sigma === 0 && i < levels.length - 1) {
      throw new OptionError(
        `${solver}: level ${i} (time ${time}) is clean data; a step must begin with some noise, say at time 0.001`,
      );
    }
    const previous = levels[i - 1];
    if (previous === undefined) return;
    const [before, now] = [ratioOf(previous), ratioOf(level)];
    if (before === now || now > before !== increasing) {
      throw new OptionError(
        `${solver}: levels must go from noise to data or from data to noise; level ${i} (time ${time}) stands still or turns back`,
      );
    }
  });
}

/** σ / α: infinite for pure noise. */
export function ratioOf(level: NoiseLevel | undefined): number {
  return level === undefined ? Number.NaN : level.sigma / level.alpha;
}
