import { OptionError } from "../errors.ts";
import { type NoiseLevel, type NoiseLevels, ratioOf, startingDeviation } from "./noise-level.ts";
import { cleanRow, row, type SolverRow, type SolverTable, tableOf } from "./solver-table.ts";

export interface Churn {
  /** S_churn: how much noise is added over all steps; 0 for none. */
  readonly amount: number;
  /** S_tmin and S_tmax: the ratios σ / α between which noise is added; everywhere unless told. */
  readonly least?: number;
  readonly largest?: number;
  /** S_noise: deviation of the noise that is added; 1 unless told. */
  readonly noise?: number;
  /** Where the levels come from: a step with churn begins at one of its own. */
  readonly levels: NoiseLevels;
}

export interface EdmOptions {
  /** 2, Heun's method, unless told; 1 is Euler's. */
  readonly order?: 1 | 2;
  readonly churn?: Churn;
}

/** γ of a step is at most this, so that no more new noise is added than there is already. */
const LARGEST_GAMMA = Math.SQRT2 - 1;

/**
 * The sampler of EDM (Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", algorithms 1
 * and 2): Heun's method for dx̃/dσ̃ = (x̃ − D) / σ̃, where x̃ = x / α and σ̃ = σ / α for paths that scale the data. Noise may be
 * added before each step ("churn", algorithm 2). Two evaluations a step, one in the step to clean data.
 *
 * The noise of a step is added at the end of the step before it, and for the first step the sampler begins with more noise:
 * the same distribution, with no evaluation of its own.
 * @param levels from noise to data; without churn, from data to noise too
 * @throws OptionError where a churn is negative or encodes, and as `checkLevels`; of second order also where the first level
 *   is pure noise, at which σ̃ is infinite
 */
export function edm(levels: readonly NoiseLevel[], { order = 2, churn }: EdmOptions = {}): SolverTable {
  if (order !== 1 && order !== 2) throw new OptionError(`order: must be 1 or 2, not ${order}`);
  const raised = churn === undefined ? levels : levels.map((level, i) => churned(churn, levels, level, i));
  const table = tableOf("edm", levels, (level, next, i) => {
    const start = raised[i] ?? level;
    const rows = order === 1 || next.sigma === 0 ? [eulerRow(start, next)] : heunRows(start, next);
    return churn === undefined ? rows : addNoise(rows, next, raised[i + 1] ?? next, churn);
  });
  const [first, raisedFirst] = [levels[0], raised[0]];
  if (churn === undefined || first === undefined || raisedFirst === undefined) return table;
  const scale = raisedFirst.alpha / first.alpha;
  return {
    ...table,
    deviation: Math.hypot(scale * startingDeviation(first), churnDeviation(first, raisedFirst, churn)),
  };
}

/** The level t̂ at which a step begins (algorithm 2, lines 4 and 5). */
function churned(
  { amount, least = 0, largest = Number.POSITIVE_INFINITY, levels: source }: Churn,
  levels: readonly NoiseLevel[],
  level: NoiseLevel,
  index: number,
): NoiseLevel {
  if (!(amount >= 0)) throw new OptionError(`churn: must be 0 or more, not ${amount}`);
  const steps = levels.length - 1;
  const ratio = ratioOf(level);
  const gamma = Math.min(amount / steps, LARGEST_GAMMA);
  const stays = index === steps || gamma === 0 || ratio < least || ratio > largest || level.alpha === 0;
  if (stays) return level;
  if (ratioOf(levels[index + 1]) > ratio) {
    throw new OptionError("churn: encoding, from data to noise, is deterministic; leave churn out");
  }
  const raised = source.levelAt(ratio * (1 + gamma));
  // A discrete schedule has nothing noisier than its last step.
  return ratioOf(raised) > ratio ? raised : level;
}

/** Deviation of the noise that raises a level to another (line 6), in units of the state. */
function churnDeviation(level: NoiseLevel, raised: NoiseLevel, { noise = 1 }: Churn): number {
  const [low, high] = [ratioOf(level), ratioOf(raised)];
  return low === high ? 0 : noise * raised.alpha * Math.sqrt((high - low) * (high + low));
}

/** Raises the state that the last row ends with to a noisier level. */
function addNoise(
  rows: readonly SolverRow[],
  level: NoiseLevel,
  raised: NoiseLevel,
  churn: Churn,
): readonly SolverRow[] {
  const last = rows.at(-1);
  if (raised === level || last === undefined) return rows;
  const scale = raised.alpha / level.alpha;
  return [
    ...rows.slice(0, -1),
    {
      ...last,
      next: raised.time,
      a: last.a * scale,
      b: last.b * scale,
      c: last.c * scale,
      s: churnDeviation(level, raised, churn),
    },
  ];
}

/** x̃ + (σ̃′ − σ̃) (x̃ − D) / σ̃ in units of the state. */
function eulerRow(level: NoiseLevel, next: NoiseLevel): SolverRow {
  if (next.sigma === 0) return cleanRow(level, next);
  const kept = next.sigma / level.sigma;
  return row({ time: level.time, next: next.time, a: kept, b: next.alpha - kept * level.alpha });
}

function heunRows(level: NoiseLevel, next: NoiseLevel): readonly SolverRow[] {
  const halfGrowth = (ratioOf(next) / ratioOf(level) - 1) / 2;
  const halfBack = (1 - ratioOf(level) / ratioOf(next)) / 2;
  return [
    // The memory holds the step with half of its length; the slope at the end brings the other half.
    {
      ...eulerRow(level, next),
      e: (next.alpha / level.alpha) * (1 + halfGrowth),
      f: -next.alpha * halfGrowth,
    },
    row({
      time: next.time,
      next: next.time,
      a: halfBack,
      b: -next.alpha * halfBack,
      c: 1,
    }),
  ];
}
