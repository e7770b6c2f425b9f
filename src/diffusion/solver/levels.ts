import { OptionError } from "../../errors.ts";
import { evenTimes } from "../../ode/index.ts";
import type { Prediction } from "../objective/prediction.ts";
import { GaussianPath } from "../path/gaussian.ts";
import {
  karrasLevels,
  logSnrLevels,
  type NoiseLevel,
  type PathPoint,
  thenClean,
} from "../path/noise-level.ts";
import type { DiscreteSchedule } from "../path/schedule.ts";
import type { ReverseVariance } from "./samplers.ts";

/**
 * Rules that choose some steps of a chain of T, after Lin et al. 2024, "Common diffusion noise schedules and sample steps are
 * flawed", table 2, and DDIM. Only `trailing` and `linspace` begin at T, where training ended.
 *
 * - trailing: round(T − i T / N), i = 0 … N − 1: from T down, in equal parts.
 * - linspace: N steps, evenly from T to 1, both included; T alone where N is 1.
 * - leading: 1 + i ⌊T / N⌋: from 1 up, in equal parts; the last steps of the chain are left out.
 * - quadratic: about 1 + (T − 1) (i / (N − 1))², closer to each other at little noise (Song, Meng and Ermon 2021, "DDIM",
 *   appendix D.2, there only to 0.8 T).
 */
export const STEP_SPACINGS = ["trailing", "linspace", "leading", "quadratic"] as const;

export type StepSpacing = (typeof STEP_SPACINGS)[number];

/** Halves go to the even neighbor, as in NumPy, whose users made the lists that networks are compared with. */
function roundHalfToEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** The i-th step from data on. */
function ascendingStep(total: number, count: number, spacing: StepSpacing, i: number): number {
  switch (spacing) {
    case "trailing":
      return roundHalfToEven(total - ((count - 1 - i) * total) / count);
    case "linspace":
      return count === 1 ? total : 1 + roundHalfToEven((i * (total - 1)) / (count - 1));
    case "leading":
      return 1 + i * Math.floor(total / count);
    case "quadratic":
      return count === 1 ? total : 1 + Math.floor((total - 1) * (i / (count - 1)) ** 2);
  }
}

/**
 * Steps t of a chain 1 … T in the order of sampling, from noise to data: `count` numbers, and 0 (data) after them.
 * @throws OptionError where count is not a whole number from 1 to T
 */
export function selectSteps(
  total: number,
  count: number,
  spacing: StepSpacing = "trailing",
): readonly number[] {
  if (!Number.isInteger(count) || count < 1 || count > total) {
    throw new OptionError(`steps: must be a whole number from 1 to ${total}, not ${count}`);
  }
  const ascending = Array.from({ length: count }, (_, i) => ascendingStep(total, count, spacing, i));
  // Squares of the first few may round to the same step.
  ascending.forEach((step, i) => {
    const previous = ascending[i - 1] ?? 0;
    if (step <= previous) ascending[i] = previous + 1;
  });
  return [...ascending.reverse(), 0];
}

/**
 * A list of one's own of steps from noise to data, with 0 (data) after them.
 * @throws OptionError that names the entry that is no whole number from 1 to T, or not below the one before it
 */
export function checkedSteps(total: number, steps: readonly number[]): readonly number[] {
  if (steps.length === 0) throw new OptionError("steps: the list is empty");
  const own = steps.at(-1) === 0 ? steps.slice(0, -1) : steps;
  own.forEach((step, i) => {
    if (!Number.isInteger(step) || step < 1 || step > total) {
      throw new OptionError(`steps: entry ${i} is ${step}, no step of 1 to ${total}`);
    }
    const previous = own[i - 1];
    if (previous !== undefined && step >= previous) {
      throw new OptionError(`steps: entry ${i} is ${step}, not below the ${previous} before it`);
    }
  });
  return [...own, 0];
}

/** Where a model's noise levels come from: a path in continuous time, or a chain of steps. */
export type Process = GaussianPath | DiscreteSchedule;

/** Whether a process has differential equations. */
export function isContinuous(process: Process): process is GaussianPath {
  return process instanceof GaussianPath;
}

/**
 * How the steps of a sampler lie between noise and data:
 *
 * - uniform: evenly in time; of a chain from its last step to its first
 * - trailing, leading: evenly in time, from the last step of a chain or to its first
 * - quadratic: closer to each other at little noise
 * - karras: evenly in (σ / α)^{1/7} (Karras et al. 2022, equation 5)
 * - log-snr: evenly in log(σ / α) (Lu et al. 2022, "DPM-Solver", section 3.3)
 */
export const SPACINGS = ["uniform", "trailing", "leading", "quadratic", "karras", "log-snr"] as const;

export type Spacing = (typeof SPACINGS)[number];

/** Spacings in time of a chain, as `selectSteps` calls them. */
const CHAIN_SPACINGS: Readonly<Partial<Record<Spacing, StepSpacing>>> = {
  uniform: "linspace",
  trailing: "trailing",
  leading: "leading",
  quadratic: "quadratic",
};

/** Least and largest time of a sampler on a process. */
export interface Ends {
  readonly noisy: number;
  readonly clean: number;
}

/**
 * Times of a path, next to noise first and data last. Where the path itself ends in data the last time is 0; where it keeps
 * some noise, time 0 is evaluated as well. In both cases there are as many evaluations as steps.
 */
function pathTimes(
  path: GaussianPath,
  steps: number,
  spacing: "uniform" | "quadratic",
  noisy: number,
): readonly number[] {
  const endsClean = path.at(0).sigma === 0;
  if (!endsClean && steps === 1) return [noisy];
  const shares = evenTimes(endsClean ? steps : steps - 1, 1, 0);
  return shares.map((share) => noisy * (spacing === "quadratic" ? share * share : share));
}

function pathLevels(
  path: GaussianPath,
  steps: number,
  spacing: "uniform" | "quadratic",
  noisy: number,
): readonly PathPoint[] {
  return thenClean(pathTimes(path, steps, spacing, noisy).map((time) => path.at(time)));
}

/** The ratios σ / α of the ends, between which levels are chosen by ratio. @throws OptionError where there is no largest */
function ratioBounds(process: Process, spacing: Spacing, { noisy, clean }: Ends) {
  const ratioAt = (time: number): number => {
    const { alpha, sigma } = process.at(time);
    return sigma / alpha;
  };
  const [least, largest] = [ratioAt(clean), ratioAt(noisy)];
  if (largest === Number.POSITIVE_INFINITY) {
    throw new OptionError(
      `option spacing: ${spacing} divides the ratio of noise to signal, which has no end on a chain of zero terminal SNR; ` +
        "choose trailing, uniform or quadratic",
    );
  }
  return { least, largest };
}

/**
 * The noise levels of a sampler with a number of evaluations, clean data last.
 * @throws OptionError where steps is not a whole number from 1 on, or the process does not have the spacing
 */
export function samplerLevels<P extends Process>(
  process: P,
  steps: number,
  spacing: Spacing,
  ends: Ends,
): readonly (P extends GaussianPath ? PathPoint : NoiseLevel)[];
export function samplerLevels(
  process: Process,
  steps: number,
  spacing: Spacing,
  ends: Ends,
): readonly NoiseLevel[] {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`option steps: must be a whole number from 1 on, not ${steps}`);
  }
  if (spacing === "karras") return karrasLevels(process, steps, ratioBounds(process, spacing, ends));
  if (spacing === "log-snr") return logSnrLevels(process, steps, ratioBounds(process, spacing, ends));
  if (isContinuous(process)) {
    if (spacing === "trailing" || spacing === "leading") {
      throw new OptionError(
        `option spacing: ${spacing} chooses steps of a chain, and this model is one of continuous time; choose uniform, quadratic, karras or log-snr`,
      );
    }
    return pathLevels(process, steps, spacing, ends.noisy);
  }
  return process.levels(selectSteps(process.steps, steps, CHAIN_SPACINGS[spacing]));
}

/** What a solver must know of a model. */
export interface SolverSubject {
  readonly process: Process;
  readonly prediction: Prediction;
  /** Variance of ancestral steps; `learned` where the network predicts it, by default. */
  readonly variance: ReverseVariance;
}

/** Predictions that determine the data also where there is none left in the state. */
const TELLS_DATA_IN_NOISE: readonly Prediction[] = ["data", "v", "velocity", "edm"];

/** The ends between which a sampler works: solvers that divide by α begin where there is some data. */
export function samplerEnds({ process, prediction }: SolverSubject, dividesByAlpha = false): Ends {
  if (!isContinuous(process)) return { noisy: 1, clean: 1 / process.steps };
  const { span } = process;
  return {
    noisy: !dividesByAlpha && TELLS_DATA_IN_NOISE.includes(prediction) ? 1 : span.noisy,
    clean: process.at(0).sigma === 0 ? span.clean : 0,
  };
}

/** Where the velocity of the flow is followed to, and whether noise is left there that the estimate takes away. */
export function flowEnd({ process, prediction }: SolverSubject): {
  readonly to: number;
  readonly denoise: boolean;
} {
  const path = pathOf(process);
  if (path.at(0).sigma > 0) return { to: 0, denoise: true };
  // A network of velocities has one at time 0 too; any other divides by the noise.
  return prediction === "velocity" ? { to: 0, denoise: false } : { to: path.span.clean, denoise: true };
}

/** Where a density begins on paths that have no noise at time 0, nearer to data than samples end (Song et al. 2021, appendix D.2). */
const DENSITY_TIME = 1e-5;

/** The times between which the flow of a model is followed for a density. */
export function flowSpan(subject: SolverSubject): Ends {
  const { to, denoise } = flowEnd(subject);
  const path = pathOf(subject.process);
  return {
    noisy: samplerEnds(subject).noisy,
    clean: denoise && path.at(0).sigma === 0 ? DENSITY_TIME : to,
  };
}

export function pathOf(process: Process): GaussianPath {
  if (isContinuous(process)) return process;
  throw new OptionError("a chain of steps has no differential equation");
}

/** arctan(σ / α): 0 is data, π / 2 noise, and half of that as much noise as signal, whatever the process. */
function angleOf({ alpha, sigma }: NoiseLevel): number {
  return Math.atan2(sigma, alpha);
}

/** The last step of a chain that is not noisier than an angle; the first at least. */
function lastStepWithin(schedule: DiscreteSchedule, angle: number): number {
  for (let step = schedule.steps; step > 1; step--) {
    if (angleOf(schedule.at(step / schedule.steps)) <= angle) return step;
  }
  return 1;
}

/**
 * Noise levels with some noise, from a noisy one to the least noisy that a model serves: of a path `steps` parts evenly by the
 * angle arctan(σ / α), of a chain as many evenly spread steps, or all that there are.
 * @param noisiest the angle to begin at; default: that of noise
 * @throws OptionError where steps is not a whole number from 1 on
 */
export function evenLevels(
  subject: SolverSubject,
  steps: number,
  noisiest: number = Math.PI / 2,
): readonly NoiseLevel[] {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`option steps: must be a whole number from 1 on, not ${steps}`);
  }
  const { process } = subject;
  if (!isContinuous(process)) {
    const last = lastStepWithin(process, noisiest);
    return process.levels(selectSteps(last, Math.min(steps + 1, last), "linspace").slice(0, -1));
  }
  const ends = samplerEnds(subject);
  const [first, last] = [process.at(ends.noisy), process.at(ends.clean)];
  const to = angleOf(last);
  const from = Math.max(to, Math.min(angleOf(first), noisiest));
  return Array.from({ length: steps + 1 }, (_, i) => {
    if (i === steps) return last;
    if (i === 0 && from === angleOf(first)) return first;
    return process.levelAt(Math.tan(from + ((to - from) * i) / steps));
  });
}

/**
 * The levels of a sampler that evaluates `steps` times, one for each: as `evenLevels`, and clean data after them.
 * @throws OptionError as there
 */
export function evenSamplerLevels(
  subject: SolverSubject,
  steps: number,
  noisiest?: number,
): readonly NoiseLevel[] {
  const noisy = evenLevels(subject, Math.max(1, steps - 1), noisiest);
  return thenClean(steps === 1 ? noisy.slice(0, 1) : noisy);
}
