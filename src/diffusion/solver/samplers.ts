import { OptionError } from "../../errors.ts";
import type { Velocity } from "../../ode/index.ts";
import { predictionChange } from "../objective/prediction.ts";
import { stochasticEquation } from "../path/gaussian.ts";
import {
  type NoiseLevel,
  type NoiseLevels,
  type PathPoint,
  ratioOf,
  startingDeviation,
} from "../path/noise-level.ts";
import {
  cleanRow,
  type Denoiser,
  hasMemory,
  row,
  type SolverRow,
  type SolverTable,
  tableOf,
} from "./table.ts";

/** The step from a noise level t to a level s with less noise, given the data. */
export interface StepShare {
  /** Correlation of the noise in x_t with that in x_s: κ = (α_t σ_s) / (α_s σ_t). */
  readonly kept: number;
  /** 1 − κ²: share of the variance σ_t² that the step from s to t added, σ²_{t|s} / σ_t². Negative where s is noisier. */
  readonly renewed: number;
}

/**
 * Correlation of the noise of two levels. With it the posterior q(x_s | x_t, x₀) of DDPM (Ho et al. 2020, equations 6 and 7) on
 * any Gaussian path has the mean κ (σ_s / σ_t) x_t + α_s (1 − κ²) x₀ and the variance (1 − κ²) σ_s².
 */
export function stepShare(t: NoiseLevel, s: NoiseLevel): StepShare {
  const kept = (t.alpha * s.sigma) / (s.alpha * t.sigma);
  return { kept, renewed: (1 - kept) * (1 + kept) };
}

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

/**
 * Variances of the reverse chain (Ho et al. 2020, section 3.2; Nichol and Dhariwal 2021, equation 15):
 *
 * - lower: β̃_t, that of the posterior q(x_s | x_t, x₀), right for data of a single point
 * - upper: β_t, that of q(x_t | x_s), right for data that is standard normal
 * - learned: exp(v log β_t + (1 − v) log β̃_t), v in [0, 1] predicted by the network for each element
 */
export const REVERSE_VARIANCES = ["lower", "upper", "learned"] as const;

export type ReverseVariance = (typeof REVERSE_VARIANCES)[number];

export interface DdpmOptions {
  /** Default: lower. */
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

export interface DpmSolverOptions {
  /** Default: 2, the multistep method; 1 is DDIM. */
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

export interface Churn {
  /** S_churn: how much noise is added over all steps; 0 for none. */
  readonly amount: number;
  /** S_tmin and S_tmax: the ratios σ / α between which noise is added; default: everywhere. */
  readonly least?: number;
  readonly largest?: number;
  /** S_noise: deviation of the noise that is added; default: 1. */
  readonly noise?: number;
  /** Where the levels come from: a step with churn begins at one of its own. */
  readonly levels: NoiseLevels;
}

export interface EdmOptions {
  /** Default: 2, Heun's method; 1 is Euler's. */
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

export interface ProbabilityFlowOptions {
  /** Default: heun. */
  readonly method?: "euler" | "heun";
}

/**
 * Fixed steps of the probability-flow equation (Song et al. 2021, equation 13)
 *
 *     dx/dt = f x − ½ g² ∇log p_t(x) = α′ D + σ′ (x − α D) / σ
 *
 * by Euler's or Heun's method in time. On the straight path it is dx/dt = ε̂ − D, the flow of rectified flow and flow matching,
 * and Euler's method is theirs. Heun's method evaluates twice a step.
 * @param points from noise to data, or from data to noise
 * @throws OptionError as `checkLevels`
 */
export function probabilityFlow(
  points: readonly PathPoint[],
  { method = "heun" }: ProbabilityFlowOptions = {},
): SolverTable {
  if (method !== "euler" && method !== "heun") {
    throw new OptionError(`method: must be euler or heun, not ${method}`);
  }
  return tableOf("probability flow", points, (from, to) => {
    if (to.sigma === 0) return [cleanRow(from, to)];
    const step = to.time - from.time;
    const [here, there] = [slope(from), slope(to)];
    const euler = row({
      time: from.time,
      next: to.time,
      a: 1 + step * here.state,
      b: step * here.output,
    });
    if (method === "euler") return [euler];
    return [
      { ...euler, e: 1 + (step / 2) * here.state, f: (step / 2) * here.output },
      row({
        time: to.time,
        next: to.time,
        a: (step / 2) * there.state,
        b: (step / 2) * there.output,
        c: 1,
      }),
    ];
  });
}

/** The velocity as a combination of x (`state`) and D (`output`). */
function slope(point: PathPoint): { readonly state: number; readonly output: number } {
  return predictionChange(point, "data", "velocity");
}

/** The velocity of the probability flow of a denoiser, for the solvers of `eidos/ode`. */
export function probabilityFlowVelocity(
  path: NoiseLevels<PathPoint>,
  denoiser: Denoiser,
): Velocity<"float64"> {
  return async (x, time) => {
    const { state, output } = slope(path.at(time));
    const { data } = denoiser(x, time).denoised;
    return { ...x, data: x.data.map((value, i) => state * value + output * (data[i] ?? 0)) };
  };
}

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

export interface LangevinOptions {
  /** r, the ratio of the length of a Langevin step to that of its noise; default: 0.16 (Song et al. 2021, appendix G). */
  readonly ratio?: number;
  /** M, corrector steps at each level; default: 1. */
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
