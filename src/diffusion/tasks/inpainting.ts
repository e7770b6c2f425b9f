import { OptionError } from "../../errors.ts";
import type { InpaintMethod, InpaintOptions } from "../../model/capabilities.ts";
import { type IncompleteRow, incompleteRows } from "../../model/sampling.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray, where } from "../../tensor/index.ts";
import type { Condition } from "../objective/condition.ts";
import type { NoiseLevel } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { evenSamplerLevels } from "../solver/levels.ts";
import { ddim, ddpm } from "../solver/samplers.ts";
import { inParts, normalRows, partLimit, runTable } from "../solver/session.ts";
import type { SolverRow, SolverTable } from "../solver/table.ts";

export interface RepaintOptions {
  /** r, how often each stretch of steps is sampled; 1 is once, without a return to its start. */
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
 * (equation 8a). That alone lets the unknown elements see known ones that hold little information, since they are
 * noisy; so every stretch of j steps is sampled r times, with noise in between that leads back to its beginning, until both
 * parts agree (section 4.2).
 *
 * Known elements that are put back before noise is added are, after it, as if put back there with new noise. So the noise is
 * part of the row before it, and no evaluation is spent on the return.
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

/** Steps, and how often each is taken, by default. */
const USUAL: Readonly<Record<InpaintMethod, { readonly steps: number; readonly resamplings: number }>> = {
  repaint: { steps: 50, resamplings: 10 },
  projection: { steps: 25, resamplings: 1 },
};

/** Stretches into which the steps are divided. */
const STRETCHES = 25;

/** One completion to make. */
interface Chain extends IncompleteRow {
  readonly random: Random;
  readonly label: number | undefined;
}

/** Completions to make at once, in model units. */
interface Work {
  readonly model: DiffusionCore;
  readonly session: Session;
  readonly plan: RepaintPlan;
  readonly randoms: readonly Random[];
  readonly condition: Condition;
  /** [n, …sampleShape]: the sample where it is known and 0 elsewhere, and 1 where it is. */
  readonly held: NdArray<"float32">;
  readonly known: NdArray<"float32">;
  readonly report: (share: number) => void;
}

/**
 * Completions of partly known samples. Two methods:
 *
 * - repaint: ancestral steps, after each of which known elements are put back with new noise, and stretches of them gone
 *   several times; see `repaint`. The more resamplings there are, the closer the draws come to the conditional distribution.
 * - projection: the probability flow by steps of DDIM, with the denoiser's estimate of known elements replaced by what they
 *   are (Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model", equation 13, for a
 *   mask): they follow the straight path from their own noise. A sketch in few steps; with resamplings, closer.
 *
 * Without a class, a conditional model completes under any class.
 * @throws OptionError where shapes do not fit, a class is not the model's, or an exact draw is asked for
 */
export async function inpaintDiffusion(
  model: DiffusionCore,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const {
    method = "repaint",
    resamplings = USUAL[method].resamplings,
    steps = USUAL[method].steps,
    ...general
  } = options;
  if (options.exact === true) {
    throw new OptionError("there is no exact conditional draw from a diffusion model; leave out exact");
  }
  const rows = incompleteRows({ ...general, steps }, model.data.sampleShape);
  const labels = labelsOf(model, options.label, rows.length);
  const random = new Random(options.seed).split("inpaint");
  const chains = rows.flatMap((row) =>
    Array.from({ length: options.draws }, (_, draw): Chain => {
      const own = random.split(row.index).split(draw);
      const [drawn] = model.condition.knowsAny ? [] : (model.condition.draw([own], undefined) ?? []);
      return { ...row, random: own, label: labels?.[row.index] ?? drawn };
    }),
  );
  const { sampleShape } = model.data;
  const isTold = chains.some(({ label }) => label !== undefined);
  const plan = planOf(model, method, { steps, resamplings });
  const drawn = await inParts(
    chains.length,
    { limit: partLimit(model.data), shape: sampleShape },
    async (positions, report) => {
      const own = positions.flatMap((at) => chains[at] ?? []);
      const end = await (method === "repaint" ? putBack : project)({
        model,
        session,
        plan,
        randoms: own.map(({ random }) => random),
        condition: { clip: false, ...(isTold && { labels: own.map(({ label }) => label ?? 0) }) },
        ...knownOf(model, own),
        report,
      });
      return model.units.arrayToData(end);
    },
    options.onProgress,
  );
  // What is known comes back as it was given, whatever model units make of it.
  const size = elementCount(sampleShape);
  for (const [c, { x, known }] of chains.entries()) {
    for (let i = 0; i < size; i++) if (known[i] === 1) drawn.data[c * size + i] = x[i] ?? 0;
  }
  return float32(drawn.data, [rows.length, options.draws, ...sampleShape]);
}

/** @throws OptionError where there is not a class for each sample, or one is not the model's */
function labelsOf(
  { condition }: DiffusionCore,
  label: InpaintOptions["label"],
  count: number,
): readonly number[] | undefined {
  const labels = typeof label === "number" ? new Array<number>(count).fill(label) : label;
  if (labels === undefined) return undefined;
  if (labels.length !== count) {
    throw new OptionError(`inpaint: ${labels.length} labels were given for ${count} samples`);
  }
  for (const own of labels) condition.check(own);
  return labels;
}

function knownOf(
  { data: { sampleShape }, units }: DiffusionCore,
  chains: readonly Chain[],
): Pick<Work, "held" | "known"> {
  const size = elementCount(sampleShape);
  const [held, known] = [new Float32Array(chains.length * size), new Float32Array(chains.length * size)];
  for (const [c, chain] of chains.entries()) {
    for (let i = 0; i < size; i++) {
      // What stands in unknown places may be no number.
      if (chain.known[i] !== 1) continue;
      known[c * size + i] = 1;
      held[c * size + i] = chain.x[i] ?? 0;
    }
  }
  const shape = [chains.length, ...sampleShape];
  return { held: units.arrayToModel(float32(held, shape)), known: float32(known, shape) };
}

function planOf(
  { data, subject }: DiffusionCore,
  method: InpaintMethod,
  { steps, resamplings }: { readonly steps: number; readonly resamplings: number },
): RepaintPlan {
  const levels = evenSamplerLevels(subject, steps);
  // Images lie on thin sheets, beside which the upper variance would leave noise; numbers fill space, whose spread the lower
  // one takes away, the more the more often steps are repeated.
  const variance = data.kind === "image" ? "lower" : "upper";
  const descent = method === "repaint" ? ddpm(levels, { variance }) : ddim(levels);
  const jump = Math.max(1, Math.round((levels.length - 1) / STRETCHES));
  return repaint(levels, descent, { resamplings, jump });
}

/** Follows a plan with known elements put back after each row, at its level with new noise. */
function putBack({ model, session, plan, randoms, condition, held, known, report }: Work) {
  const { sampleShape } = model.data;
  const compiled = session.compiled(
    model,
    "put back what is known",
    ["x", "known", "held", "noise", "alpha", "sigma"],
    ({ x, known: mask, held: own, noise, alpha, sigma }) => ({
      x: where(mask.greater(0.5), own.mul(alpha).add(noise.mul(sigma)), x),
    }),
  );
  const steps = { kind: "table", table: plan.table } as const;
  return model.follow(session, steps, model.startOf(steps, randoms), condition, {
    noise: (row) => normalRows(randoms, sampleShape, row),
    onRow: async (x, done) => {
      const { alpha = 1, sigma = 0 } = plan.levels[done - 1] ?? {};
      const noise = normalRows(randoms, sampleShape, `known ${done}`);
      const level = { alpha: float32([alpha], []), sigma: float32([sigma], []) };
      return (await compiled.runValues({ x, known, held, noise, ...level })).x;
    },
    onProgress: report,
  });
}

/** Follows a plan with known elements of the denoiser's estimate held. */
function project({ model, session, plan: { table }, randoms, condition, held, known, report }: Work) {
  const { name, inputs, denoiser } = model.denoiser(condition, randoms.length);
  return runTable(
    session,
    table,
    (x, time, { known: mask, held: own, ...given }) => {
      const { denoised } = denoiser(x, time, given);
      return { denoised: mask && own ? where(mask.greater(0.5), own, denoised) : denoised };
    },
    {
      name: `${name}, held where known`,
      owner: model,
      inputs: { ...inputs, known, held },
      start: model.startOf({ kind: "table", table }, randoms),
      noise: (row) => normalRows(randoms, model.data.sampleShape, row),
      onRow: (_, done) => {
        report(done / table.rows.length);
        return undefined;
      },
    },
  );
}
