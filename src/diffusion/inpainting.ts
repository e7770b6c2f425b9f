import { OptionError } from "../errors.ts";
import { type IncompleteRow, incompleteRows } from "../nn/incomplete.ts";
import type { InpaintOptions } from "../nn/model.ts";
import type { RuntimeValue } from "../program/runtime.ts";
import type { Session } from "../program/session.ts";
import { Random } from "../random.ts";
import { elementCount, float32, type NdArray, type Tensor, where } from "../tensor/index.ts";
import { angularFlow } from "./angular-flow.ts";
import type { Condition } from "./condition.ts";
import type { DiffusionModel } from "./diffusion-model.ts";
import { evenSamplerLevels } from "./even-levels.ts";
import type { NoiseLevel } from "./noise-level.ts";
import { inParts, partLimit } from "./parts.ts";
import { repaint } from "./repaint.ts";
import { normalRows, runTable } from "./solver-session.ts";

/** Steps and, of RePaint, how often each is taken, unless told. */
const REPAINT = { steps: 50, resamplings: 10 } as const;
const PROJECTION = { steps: 25 } as const;

/** Stretches into which RePaint divides its steps. */
const STRETCHES = 25;

/** One completion to make. */
interface Chain extends IncompleteRow {
  readonly random: Random;
  readonly label: number | undefined;
}

/** Completions to make at once, in model units. */
interface Work {
  readonly model: DiffusionModel;
  readonly session: Session;
  readonly options: InpaintOptions;
  readonly chains: readonly Chain[];
  readonly condition: Condition;
  /** [n, …sampleShape]: the sample where it is known and 0 elsewhere, and 1 where it is. */
  readonly held: NdArray<"float32">;
  readonly known: NdArray<"float32">;
  readonly report: (share: number) => void;
}

/**
 * Completions of partly known samples. Two ways:
 *
 * - repaint: ancestral steps, forth and back; see `repaint`. Draws from the conditional distribution, the more closely the more
 *   resamplings there are.
 * - projection: the probability flow, with the denoiser's estimate of known elements replaced by what they are (Wang et al. 2023,
 *   "Zero-shot image restoration using denoising diffusion null-space model", equation 13, for a mask), so that they follow
 *   their own straight way to noise. Needs no gradient and few steps; its draws are of less spread than the
 *   conditional distribution.
 *
 * Without a class, a conditional model completes under any class.
 * @throws OptionError where shapes do not fit, a class is not the model's, or an exact way is asked for
 */
export async function inpaintDiffusion(
  model: DiffusionModel,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const { method = "repaint", resamplings, ...general } = options;
  if (options.exact === true) {
    throw new OptionError("there is no exact conditional draw from a diffusion model; leave out exact");
  }
  if (method === "projection" && resamplings !== undefined) {
    throw new OptionError("option resamplings: is of repaint, and the method is projection; leave it out");
  }
  const rows = incompleteRows(general, model.data.sampleShape);
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
  const drawn = await inParts(
    chains.length,
    { limit: partLimit(model.data), shape: sampleShape },
    async (positions, report) => {
      const own = positions.flatMap((at) => chains[at] ?? []);
      const work: Work = {
        model,
        session,
        options,
        chains: own,
        condition: { clip: false, ...(isTold && { labels: own.map(({ label }) => label ?? 0) }) },
        ...knownOf(model, own),
        report,
      };
      const end = method === "repaint" ? await resample(work) : await project(work);
      return model.units.arrayToData(end);
    },
    options.onProgress,
  );
  // What is known comes back as it was given, whatever its way through model units.
  const size = elementCount(sampleShape);
  for (const [c, { x, known }] of chains.entries()) {
    for (let i = 0; i < size; i++) if (known[i] === 1) drawn.data[c * size + i] = x[i] ?? 0;
  }
  return float32(drawn.data, [rows.length, options.draws, ...sampleShape]);
}

/** @throws OptionError where there is not a class for each sample, or one is not the model's */
function labelsOf(
  { condition }: DiffusionModel,
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
  { data: { sampleShape }, units }: DiffusionModel,
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

/** RePaint. */
async function resample({ model, session, options, chains, condition, held, known, report }: Work) {
  const { steps = REPAINT.steps, resamplings = REPAINT.resamplings } = options;
  const { sampleShape } = model.data;
  const levels = evenSamplerLevels(model.subject, steps);
  const plan = repaint(levels, {
    resamplings,
    jump: Math.max(1, Math.round((levels.length - 1) / STRETCHES)),
    // Images lie on thin sheets, where the upper variance would leave noise; numbers fill space.
    variance: model.data.kind === "image" ? "lower" : "upper",
  });
  const randoms = chains.map(({ random }) => random);
  const putBack = session.compiled<string, "x">("put back what is known", (inputs) => {
    const {
      x,
      known: mask,
      held: own,
      noise,
      alpha,
      sigma,
    } = inputs as Record<string, Tensor> & {
      readonly [name in "x" | "known" | "held" | "noise" | "alpha" | "sigma"]: Tensor;
    };
    return { x: where(mask.greater(0.5), own.mul(alpha).add(noise.mul(sigma)), x) };
  });
  const at = async (x: NdArray<"float32"> | RuntimeValue, level: NoiseLevel | undefined, row: number) => {
    const { alpha = 1, sigma = 0 } = level ?? {};
    const noise = normalRows(randoms, sampleShape, `known ${row}`);
    const told = { alpha: float32([alpha], []), sigma: float32([sigma], []) };
    return (await putBack.runValues({ x, known, held, noise, ...told })).x;
  };
  const start = model.startOf({ kind: "table", table: plan.table }, randoms);
  return model.follow(session, { kind: "table", table: plan.table }, start, condition, {
    noise: (row) => normalRows(randoms, sampleShape, row),
    onRow: (x, done) => at(x, plan.levels[done - 1], done),
    onProgress: report,
  });
}

/** The probability flow with known elements of the estimate held. */
async function project({ model, session, options, chains, condition, held, known, report }: Work) {
  const { steps = PROJECTION.steps } = options;
  const table = angularFlow(evenSamplerLevels(model.subject, steps));
  const { name, inputs, denoiser } = model.denoiser(condition, chains.length);
  return runTable(
    session,
    table,
    (x, time, { known: mask, held: own, ...given }) => {
      const { denoised } = denoiser(x, time, given);
      return { denoised: mask && own ? where(mask.greater(0.5), own, denoised) : denoised };
    },
    {
      name: `${name}, held where known`,
      inputs: { ...inputs, known, held },
      start: model.startOf(
        { kind: "table", table },
        chains.map(({ random }) => random),
      ),
      onRow: (_, done) => {
        report(done / table.rows.length);
        return undefined;
      },
    },
  );
}
