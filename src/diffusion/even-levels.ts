import { OptionError } from "../errors.ts";
import { type NoiseLevel, thenClean } from "./noise-level.ts";
import { isContinuous } from "./sampler-levels.ts";
import type { DiscreteSchedule } from "./schedule.ts";
import { type SolverSubject, samplerEnds } from "./solver-subject.ts";
import { selectSteps } from "./time-steps.ts";

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
 * @param noisiest the angle to begin at; that of noise unless told
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
