import { OptionError } from "../errors.ts";
import { stochasticEquation } from "./gaussian-path.ts";
import type { PathPoint } from "./noise-level.ts";
import { cleanRow, row, type SolverTable, tableOf } from "./solver-table.ts";

export interface ReverseSdeOptions {
  /** 1, the default, for the reverse of the path's own equation; less for less noise, 0 for the probability flow. */
  readonly noiseScale?: number;
}

/**
 * Euler–Maruyama steps of the reverse-time equation (Anderson 1982; Song et al. 2021, equation 6)
 *
 *     dx = [f x − ½ (1 + λ²) g² ∇log p_t(x)] dt + λ g dw̄,   ∇log p_t(x) = (α D − x) / σ²
 *
 * whose marginals are those of the path for every λ ≥ 0 (Huang, Lim and Courville 2021, "A variational perspective on
 * diffusion-based generative models and score matching", section 4). A last step to clean data takes D itself.
 * @param points from noise to data, all with some data (α > 0)
 * @throws OptionError where the noise scale is negative or the points go from data to noise, and as `checkLevels`
 */
export function reverseSde(
  points: readonly PathPoint[],
  { noiseScale = 1 }: ReverseSdeOptions = {},
): SolverTable {
  if (!(noiseScale >= 0)) throw new OptionError(`noise scale: must be 0 or more, not ${noiseScale}`);
  return tableOf("reverse SDE", points, (from, to) => {
    if (to.sigma === 0) return [cleanRow(from, to)];
    const step = to.time - from.time;
    if (step >= 0) {
      throw new OptionError(
        "reverse SDE: points must go from noise to data; encode with ddim or probability flow",
      );
    }
    const { alpha, sigma, time } = from;
    const { drift, diffusionSquared } = stochasticEquation(from);
    const pull = ((1 + noiseScale ** 2) * diffusionSquared) / (2 * sigma * sigma);
    return [
      row({
        time,
        next: to.time,
        a: 1 + step * (drift + pull),
        b: -step * pull * alpha,
        s: noiseScale * Math.sqrt(-step * diffusionSquared),
      }),
    ];
  });
}
