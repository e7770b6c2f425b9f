import { OptionError } from "../errors.ts";
import type { NoiseLevel } from "./noise-level.ts";
import type { SolverRow, SolverTable } from "./solver-table.ts";

export interface RepaintOptions {
  /** r, how often each stretch of steps is gone; 1 is once, without a way back. */
  readonly resamplings: number;
  /** j, steps of a stretch. */
  readonly jump: number;
}

/** A sampler that goes back and forth, and the level at which each row leaves the state. */
export interface RepaintPlan {
  readonly table: SolverTable;
  readonly levels: readonly NoiseLevel[];
}

/** A row followed by noise that raises the state from one level to a noisier one, x_t = k x_s + √(σ_t² − k² σ_s²) z. */
function raised(row: SolverRow, from: NoiseLevel, to: NoiseLevel): SolverRow {
  const kept = to.alpha / from.alpha;
  const added = Math.max(0, to.sigma ** 2 - (kept * from.sigma) ** 2);
  return {
    ...row,
    next: to.time,
    a: kept * row.a,
    b: kept * row.b,
    s: Math.hypot(kept * row.s, Math.sqrt(added)),
  };
}

/**
 * The steps of RePaint (Lugmayr et al. 2022, "RePaint: Inpainting using denoising diffusion probabilistic models", algorithm 1):
 * steps of a sampler, after each of which known elements are to be put back at the level reached, α y + σ z with new z
 * (equation 8a). That alone lets the unknown elements see known ones that say little, since they are noisy; so every stretch
 * of j steps is gone r times, with noise in between that leads back to its beginning, until both parts agree (section 4.2).
 *
 * Known elements that are put back before noise is added are, after it, as if put back there with new noise. So the noise is
 * part of the row before it, and no evaluation is spent on the way back.
 * @param levels from noise to data
 * @param descent rows of these levels, one a step, without memory: `ddpm`, or `ddim`
 * @throws OptionError where r or j is not a whole number from 1 on, or rows are not one a step
 */
export function repaint(
  levels: readonly NoiseLevel[],
  descent: SolverTable,
  { resamplings, jump }: RepaintOptions,
): RepaintPlan {
  for (const [name, value] of Object.entries({ resamplings, jump })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new OptionError(`option ${name}: must be a whole number from 1 on, not ${value}`);
  }
  const steps = levels.length - 1;
  if (descent.rows.length !== steps || descent.rows.some(({ c, range }) => c !== 0 || range !== 0)) {
    throw new OptionError("repaint: takes a sampler of one row a step, without memory or learned variance");
  }
  const rows: SolverRow[] = [];
  const reached: NoiseLevel[] = [];
  for (let start = 0; start < steps; start += jump) {
    const end = Math.min(start + jump, steps);
    const [top, bottom] = [levels[start], levels[end]];
    if (top === undefined || bottom === undefined) break;
    for (let turn = 1; turn <= resamplings; turn++) {
      const stretch = descent.rows.slice(start, end);
      const last = stretch.at(-1);
      const isLastTurn = turn === resamplings;
      if (!isLastTurn && last !== undefined) stretch[stretch.length - 1] = raised(last, bottom, top);
      rows.push(...stretch);
      reached.push(...levels.slice(start + 1, end), isLastTurn ? bottom : top);
    }
  }
  return { table: { rows, deviation: descent.deviation }, levels: reached };
}
