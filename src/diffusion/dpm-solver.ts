import { OptionError } from "../errors.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { cleanRow, row, type SolverTable, tableOf } from "./solver-table.ts";

export interface DpmSolverOptions {
  /** 2, the multistep method, unless told; 1 is DDIM. */
  readonly order?: 1 | 2;
}

/**
 * DPM-Solver++ (Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling", equation 9 and algorithm 2, "2M"). With
 * λ = log(α / σ) and h = λ_t − λ_s for the step from s to t, equation 9 of first order is
 *
 *     x_t = (σ_t / σ_s) x_s − α_t (e^{−h} − 1) D_s
 *
 * and 2M has (1 + 1 / 2r) D_s − 1 / 2r D_r in place of D_s, where r is the level before s and r = (λ_s − λ_r) / h. The first
 * step is of first order; so is one from pure noise, where λ is infinite, and the last step to clean data, in which D
 * itself is the result. One evaluation a step.
 * @param levels from noise to data, or from data to noise
 * @throws OptionError as `checkLevels`
 */
export function dpmSolver(levels: readonly NoiseLevel[], { order = 2 }: DpmSolverOptions = {}): SolverTable {
  if (order !== 1 && order !== 2) throw new OptionError(`order: must be 1 or 2, not ${order}`);
  return tableOf("dpm-solver++", levels, (s, t, i) => {
    if (t.sigma === 0) return [cleanRow(s, t)];
    const before = levels[i - 1];
    const share =
      order === 1 || before === undefined ? 0 : halfLogSnrStep(s, t) / halfLogSnrStep(before, s) / 2;
    // α_t (1 − e^{−h}), which is also right for pure noise.
    const denoised = t.alpha - s.alpha * (t.sigma / s.sigma);
    return [
      row({
        time: s.time,
        next: t.time,
        a: t.sigma / s.sigma,
        b: denoised * (1 + share),
        c: -denoised * share,
        f: 1,
      }),
    ];
  });
}

/** The difference of λ from one level to another; infinite from pure noise. */
function halfLogSnrStep(from: NoiseLevel, to: NoiseLevel): number {
  return Math.log((to.alpha * from.sigma) / (to.sigma * from.alpha));
}
