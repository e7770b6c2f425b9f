import { OptionError } from "../errors.ts";
import { ddpm, type ReverseVariance } from "./ddpm-sampler.ts";
import type { NoiseLevel } from "./noise-level.ts";
import type { SolverRow, SolverTable } from "./solver-table.ts";

export interface RepaintOptions {
  /** r, how often each stretch of steps is gone; 1 is plain replacement. */
  readonly resamplings: number;
  /** j, steps of a stretch. */
  readonly jump: number;
  /** Of the steps; lower unless told, which the more repetitions there are takes the more of the spread of data away. */
  readonly variance?: Exclude<ReverseVariance, "learned">;
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
 * ancestral steps of DDPM, after each of which known elements are to be put back at the level reached, α y + σ z with new z
 * (equation 8a). That alone lets the unknown elements see known ones that say little, since they are noisy; so every stretch
 * of j steps is gone r times, with noise in between that leads back to its beginning, until both parts agree (section 4.2).
 *
 * Known elements that are put back before noise is added are, after it, as if put back there with new noise. So the noise is
 * part of the row before it, and no evaluation is spent on the way back.
 * @param levels from noise to data
 * @throws OptionError where r or j is not a whole number from 1 on, and as `ddpm`
 */
export function repaint(levels: readonly NoiseLevel[], { resamplings, jump }: RepaintOptions): RepaintPlan {
  for (const [name, value] of Object.entries({ resamplings, jump })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new OptionError(`option ${name}: must be a whole number from 1 on, not ${value}`);
  }
  const descent = ddpm(levels, { variance });
  const rows: SolverRow[] = [];
  const reached: NoiseLevel[] = [];
  for (let start = 0; start < descent.rows.length; start += jump) {
    const end = Math.min(start + jump, descent.rows.length);
    const [top, bottom] = [levels[start], levels[end]];
    if (top === undefined || bottom === undefined) break;
    for (let turn = 1; turn <= resamplings; turn++) {
      const steps = descent.rows.slice(start, end);
      const last = steps.at(-1);
      const isLastTurn = turn === resamplings;
      if (!isLastTurn && last !== undefined) steps[steps.length - 1] = raised(last, bottom, top);
      rows.push(...steps);
      reached.push(...levels.slice(start + 1, end), isLastTurn ? bottom : top);
    }
  }
  return { table: { rows, deviation: descent.deviation }, levels: reached };
}
