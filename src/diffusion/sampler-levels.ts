import { OptionError } from "../errors.ts";
import { evenTimes } from "../ode/index.ts";
import { GaussianPath } from "./gaussian-path.ts";
import { karrasLevels, logSnrLevels, type NoiseLevel, type PathPoint, thenClean } from "./noise-level.ts";
import type { DiscreteSchedule } from "./schedule.ts";
import { type StepSpacing, selectSteps } from "./time-steps.ts";

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
 * some noise, time 0 is evaluated as well. Either way there are as many evaluations as steps.
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
