import { OptionError } from "../errors.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { cleanRow, row, type SolverTable, tableOf } from "./solver-table.ts";
import { stepShare } from "./transition.ts";

export interface DdimOptions {
  /** η in [0, 1]: 0, the default, is deterministic, 1 has the variances of DDPM. */
  readonly eta?: number;
}

/**
 * DDIM (Song, Meng and Ermon 2021, "Denoising diffusion implicit models", equations 12 and 16):
 *
 *     x_s = α_s D + √(σ_s² − σ̂²) ε̂ + σ̂ z,  ε̂ = (x_t − α_t D) / σ_t,  σ̂² = η² (σ_s² / σ_t²) (σ_t² − (α_t / α_s)² σ_s²)
 *
 * with α = √ᾱ and σ = √(1 − ᾱ) for DDPM's chain, and for any other Gaussian path with the path's own. Levels may be any
 * sub-sequence of those a network was trained on. With η = 0 a list from data to noise encodes: it is the inverse up to
 * the error of the steps (section 4.3). On the straight path η = 0 is Euler's method.
 * @param levels from noise to data, or from data to noise
 * @throws OptionError where η is not in [0, 1] or noise is asked for while encoding, and as `checkLevels`
 */
export function ddim(levels: readonly NoiseLevel[], { eta = 0 }: DdimOptions = {}): SolverTable {
  if (!(eta >= 0 && eta <= 1)) throw new OptionError(`eta: must be in [0, 1], not ${eta}`);
  return tableOf("ddim", levels, (t, s) => {
    if (s.sigma === 0) return [cleanRow(t, s)];
    const { kept, renewed } = stepShare(t, s);
    if (eta > 0 && renewed < 0) {
      throw new OptionError("eta: encoding, from data to noise, is deterministic; leave eta at 0");
    }
    // 1 − η² renewed, written so that it loses no digits where nearly all noise is new.
    const remaining = eta === 0 ? 1 : 1 - eta * eta + eta * eta * kept * kept;
    const direction = (s.sigma / t.sigma) * Math.sqrt(remaining);
    return [
      row({
        time: t.time,
        next: s.time,
        a: direction,
        b: s.alpha - direction * t.alpha,
        s: eta === 0 ? 0 : eta * s.sigma * Math.sqrt(renewed),
      }),
    ];
  });
}
