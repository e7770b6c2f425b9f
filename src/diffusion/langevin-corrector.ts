import { OptionError } from "../errors.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { hasMemory, row, type SolverTable } from "./solver-table.ts";

export interface LangevinOptions {
  /** r, the ratio of the length of a Langevin step to that of its noise; 0.16 unless told (Song et al. 2021, appendix G). */
  readonly ratio?: number;
  /** M, corrector steps at each level; 1 unless told. */
  readonly steps?: number;
}

/**
 * Predictor–corrector sampling (Song et al. 2021, algorithms 4 and 5): after each step of a predictor, Langevin steps at the
 * level that is reached,
 *
 *     x ← x + ε ∇log p(x) + √(2 ε) z,   ∇log p(x) = (α D − x) / σ²,   ε = 2 r² σ².
 *
 * In the paper ε = 2 (r ‖z‖ / ‖∇log p(x)‖)² with norms averaged over the batch. Here the norms are replaced by the roots of
 * the mean squares of z and of ∇log p(x | x₀) = −ε / σ, what the score is fitted to: √n and √n / σ for n numbers. Then a
 * sample does not depend on those that are drawn with it, and a corrector is a row like any other. Each step evaluates
 * once.
 * @param predictor a table with one row for each step between two of the levels
 * @param levels those that the predictor was made of
 * @throws OptionError where the predictor has several rows a step or uses its memory, or an option is not acceptable
 */
export function withLangevinCorrector(
  predictor: SolverTable,
  levels: readonly NoiseLevel[],
  { ratio = 0.16, steps = 1 }: LangevinOptions = {},
): SolverTable {
  if (!(ratio > 0 && ratio < 0.5)) throw new OptionError(`ratio: must be between 0 and 0.5, not ${ratio}`);
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`corrector steps: must be a whole number from 1 on, not ${steps}`);
  }
  const { rows } = predictor;
  if (rows.length !== levels.length - 1 || hasMemory(predictor)) {
    throw new OptionError(
      "corrector: the predictor must make each step in one row and without memory: ddpm, ddim, reverse SDE or Euler's method",
    );
  }
  const share = 2 * ratio * ratio;
  return {
    ...predictor,
    rows: rows.flatMap((predicted, i) => {
      const level = levels[i + 1];
      if (level === undefined || level.sigma === 0) return [predicted];
      const corrected = row({
        time: level.time,
        next: level.time,
        a: 1 - share,
        b: share * level.alpha,
        s: Math.sqrt(2 * share) * level.sigma,
      });
      return [predicted, ...new Array<typeof corrected>(steps).fill(corrected)];
    }),
  };
}
