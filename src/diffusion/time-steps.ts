import { OptionError } from "../errors.ts";

/**
 * Ways to choose some steps of a chain of T, after Lin et al. 2024, "Common diffusion noise schedules and sample steps are
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

/** Halves go to the even neighbour, as in NumPy, whose users made the lists that networks are compared with. */
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
