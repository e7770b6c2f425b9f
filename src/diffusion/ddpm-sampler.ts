import { OptionError } from "../errors.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { cleanRow, row, type SolverTable, tableOf } from "./solver-table.ts";
import { stepShare } from "./transition.ts";

/**
 * Variances of the reverse chain (Ho et al. 2020, section 3.2; Nichol and Dhariwal 2021, equation 15):
 *
 * - lower: β̃_t, that of the posterior q(x_s | x_t, x₀), right for data of a single point
 * - upper: β_t, that of q(x_t | x_s), right for data that is standard normal
 * - learned: exp(v log β_t + (1 − v) log β̃_t), v in [0, 1] told by the network for each element
 */
export const REVERSE_VARIANCES = ["lower", "upper", "learned"] as const;

export type ReverseVariance = (typeof REVERSE_VARIANCES)[number];

export interface DdpmOptions {
  /** lower unless told. */
  readonly variance?: ReverseVariance;
}

/**
 * Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2): x_s is drawn from a Gaussian with the mean of q(x_s | x_t, x₀ = D),
 *
 *     μ = √ᾱ_s β_t / (1 − ᾱ_t) D + √α_t (1 − ᾱ_s) / (1 − ᾱ_t) x_t                                     (equation 7)
 *
 * and one of the variances above; no noise is added in the last step. Written for any Gaussian path, on which it is the
 * ancestral sampling of Song et al. 2021, appendix F, and for any sub-sequence of levels.
 * @param levels from noise to data
 * @throws OptionError where levels go from data to noise, and as `checkLevels`
 */
export function ddpm(levels: readonly NoiseLevel[], { variance = "lower" }: DdpmOptions = {}): SolverTable {
  return tableOf("ddpm", levels, (t, s) => {
    if (s.sigma === 0) return [cleanRow(t, s)];
    const { kept, renewed } = stepShare(t, s);
    if (renewed < 0) {
      throw new OptionError("ddpm: levels must go from noise to data; encode with ddim or probability flow");
    }
    const scale = Math.sqrt(renewed);
    return [
      row({
        time: t.time,
        next: s.time,
        a: kept * (s.sigma / t.sigma),
        b: s.alpha * renewed,
        s: scale * (variance === "upper" ? t.sigma : s.sigma),
        range: variance === "learned" ? Math.log(t.sigma / s.sigma) : 0,
      }),
    ];
  });
}
