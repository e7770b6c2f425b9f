import { OptionError } from "../../errors.ts";
import type { NoisePairs, PairOptions } from "../../model/capabilities.ts";
import type {
  CodeSolverName,
  CodeSolverOptions,
  DecodeArrayOptions,
  EncodeArrayOptions,
} from "../../model/codes.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, int64, type NdArray } from "../../tensor/index.ts";
import type { ClassCondition } from "../objective/condition.ts";
import { type NoiseLevel, startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { evenLevels, type SolverSubject } from "../solver/levels.ts";
import { ddim } from "../solver/samplers.ts";
import { inParts, normalRows, partLimit, rowsAt, scaled } from "../solver/session.ts";
import { cleanRow, row, type SolverTable, tableOf } from "../solver/table.ts";

/** A level on the unit circle: x̃ = x / ρ = cos θ x₀ + sin θ ε. */
interface Place {
  readonly angle: number;
  readonly radius: number;
}

function placeOf(level: NoiseLevel): Place {
  return { angle: Math.atan2(level.sigma, level.alpha), radius: startingDeviation(level) };
}

/** dx̃/dθ = cos θ ε̂ − sin θ D as a combination of x̃ (`state`) and D (`output`). */
function slope({ angle }: Place): { readonly state: number; readonly output: number } {
  return { state: Math.cos(angle) / Math.sin(angle), output: -1 / Math.sin(angle) };
}

/**
 * Heun's method for the probability flow by the angle θ = arctan(σ / α). In units of ρ = √(α² + σ²) every Gaussian path is
 * the quarter circle x̃ = cos θ x₀ + sin θ ε, whose flow
 *
 *     dx̃/dθ = cos θ ε̂ − sin θ D
 *
 * (Salimans and Ho 2022, "Progressive distillation for fast sampling of diffusion models", appendix D, there for DDIM) bends
 * little and is finite from data to pure noise. The same steps serve continuous paths and chains, and lead back along
 * the same path up to an error of third order. Two evaluations a step, one in the step to clean data.
 * @param levels from noise to data, or from data to noise
 * @throws OptionError as `checkLevels`
 */
export function angularFlow(levels: readonly NoiseLevel[]): SolverTable {
  return tableOf("angular flow", levels, (from, to) => {
    if (to.sigma === 0) return [cleanRow(from, to)];
    const [here, there] = [placeOf(from), placeOf(to)];
    const step = there.angle - here.angle;
    const scale = there.radius / here.radius;
    const [first, second] = [slope(here), slope(there)];
    return [
      row({
        time: from.time,
        next: to.time,
        a: scale * (1 + step * first.state),
        b: there.radius * step * first.output,
        // The memory holds half of the step; the slope at its end brings the other half.
        e: scale * (1 + (step / 2) * first.state),
        f: there.radius * (step / 2) * first.output,
      }),
      row({
        time: to.time,
        next: to.time,
        a: (step / 2) * second.state,
        b: there.radius * (step / 2) * second.output,
        c: 1,
      }),
    ];
  });
}

/** Solvers that lead to codes and back, and their steps: about 100 evaluations each, by default. */
const METHODS: Readonly<
  Record<
    CodeSolverName,
    { readonly steps: number; readonly table: (levels: readonly NoiseLevel[]) => SolverTable }
  >
> = {
  heun: { steps: 50, table: angularFlow },
  ddim: { steps: 100, table: (levels) => ddim(levels) },
};

/** A path between data and codes. */
interface CodePath {
  readonly encode: SolverTable;
  readonly decode: SolverTable;
  /** What data is multiplied by to stand at the first level, and codes to stand at the last. */
  readonly dataScale: number;
  readonly codeScale: number;
}

function codePath(subject: SolverSubject, { solver = "heun", steps }: CodeSolverOptions): CodePath {
  const { steps: usual, table } = METHODS[solver];
  const levels = evenLevels(subject, steps ?? usual).toReversed();
  const [first, last] = [levels[0], levels.at(-1)];
  return {
    encode: table(levels),
    decode: table(levels.toReversed()),
    dataScale: first?.alpha ?? 1,
    codeScale: last === undefined ? 1 : startingDeviation(last),
  };
}

/** States in model units, and under what they are followed: the class of each, or any. */
interface Followed {
  readonly rows: NdArray<"float32">;
  readonly labels: readonly number[] | undefined;
  readonly guidance?: number | undefined;
}

/** Follows a table for some rows. */
function followRows(
  model: DiffusionCore,
  session: Session,
  table: SolverTable,
  { rows, labels, guidance = 1 }: Followed,
  onProgress?: (share: number) => void,
): Promise<NdArray<"float32">> {
  const { sampleShape } = model.data;
  return inParts(
    rows.shape[0] ?? 0,
    { limit: partLimit(model.data), shape: sampleShape },
    (positions, report) =>
      model.follow(
        session,
        { kind: "table", table },
        rowsAt(rows, positions),
        { labels: labels && positions.map((at) => labels[at] ?? 0), guidance, clip: false },
        { onProgress: report },
      ),
    onProgress,
  );
}

/** @throws OptionError where a model has learnt nothing without a class and is given none, or a class is not one of its own */
function checkedLabels(
  condition: ClassCondition,
  labels: readonly number[] | undefined,
  count: number,
): readonly number[] | undefined {
  if (labels === undefined) {
    if (condition.knowsAny) return undefined;
    throw new OptionError("this model is conditional: the class of each sample or code must be given");
  }
  if (labels.length !== count)
    throw new OptionError(`${labels.length} labels were given for ${count} samples`);
  for (const label of labels) condition.check(label);
  return labels;
}

/**
 * Codes of samples by the probability flow from data to noise, deterministic (Song, Meng and Ermon 2021, "DDIM", section 4.3;
 * Song et al. 2021, section 4.3): [n, …sampleShape] in data units → [n, D], standard Gaussian for data of the model. Classes are
 * given without guidance, which would lead codes away from where data has them.
 * @throws OptionError where the model needs classes and is given none
 */
export async function encodeByFlow(
  model: DiffusionCore,
  session: Session,
  x: NdArray<"float32">,
  { label, onProgress, ...solver }: EncodeArrayOptions = {},
): Promise<NdArray<"float32">> {
  const count = x.shape[0] ?? 0;
  const { encode, dataScale, codeScale } = codePath(model.subject, solver);
  const labels = checkedLabels(model.condition, label, count);
  const rows = scaled(model.units.arrayToModel(x), dataScale);
  const end = await followRows(model, session, encode, { rows, labels }, onProgress);
  return float32(scaled(end, 1 / codeScale).data, [count, model.dimensions]);
}

/**
 * Samples from codes, the inverse of `encodeByFlow` up to the error of its steps: [n, D] → [n, …sampleShape] in data units.
 * @throws OptionError where the model needs classes and is given none
 */
export async function decodeByFlow(
  model: DiffusionCore,
  session: Session,
  z: NdArray<"float32">,
  { context, onProgress, ...solver }: DecodeArrayOptions = {},
): Promise<NdArray<"float32">> {
  const count = z.shape[0] ?? 0;
  const labels = checkedLabels(model.condition, context && labelsOf(context), count);
  const rows = float32(z.data, [count, ...model.data.sampleShape]);
  return fromCodes(model, session, { rows, labels }, { ...solver, ...(onProgress && { onProgress }) });
}

/** Samples in data units from codes in the shape of samples, [n, …sampleShape], maybe with guidance. */
async function fromCodes(
  model: DiffusionCore,
  session: Session,
  codes: Followed,
  { onProgress, ...solver }: CodeSolverOptions,
): Promise<NdArray<"float32">> {
  const { decode, dataScale, codeScale } = codePath(model.subject, solver);
  const rows = scaled(codes.rows, codeScale);
  const end = await followRows(model, session, decode, { ...codes, rows }, onProgress);
  return model.units.arrayToData(scaled(end, 1 / dataScale));
}

/**
 * The class of each code as a row of ones and zeros, [n, classes], so that paths between codes may go between classes too;
 * undefined where codes are of any class.
 * @throws OptionError where some classes are given and others are not, or a class is not one of the model's
 */
export function classContext(
  condition: ClassCondition,
  labels: readonly (number | undefined)[],
): NdArray<"float32"> | undefined {
  const given = labels.filter((label) => label !== undefined);
  if (given.length === 0) return undefined;
  checkedLabels(condition, given, labels.length);
  const data = new Float32Array(labels.length * condition.classes);
  for (const [i, label] of given.entries()) data[i * condition.classes + label] = 1;
  return float32(data, [labels.length, condition.classes]);
}

/** The class that weighs most in each row of a context. */
function labelsOf({ data, shape }: NdArray<"float32">): readonly number[] {
  const size = elementCount(shape.slice(1));
  return Array.from({ length: shape[0] ?? 0 }, (_, i) => {
    const row = data.subarray(i * size, (i + 1) * size);
    return row.reduce((best, share, k) => (share > (row[best] ?? 0) ? k : best), 0);
  });
}

/**
 * Pairs of noise and the samples that the probability flow of a model makes of it: the coupling (Z₀, Z₁) that rectification is
 * repeated on (Liu et al. 2022, algorithm 1, "reflow") and distilled (section 2.1). Noise is standard normal in model units, on
 * exploding paths too; it is returned in data units as samples are.
 */
export async function pairsByFlow(
  model: DiffusionCore,
  session: Session,
  { count, seed, guidance = 1, ...solver }: PairOptions,
): Promise<NoisePairs> {
  const { data, condition, units } = model;
  const random = new Random(seed).split("pairs");
  const randoms = Array.from({ length: count }, (_, i) => random.split(i));
  const noise = normalRows(randoms, data.sampleShape, "noise");
  const labels = condition.draw(randoms, undefined);
  const codes = { rows: noise, labels, guidance };
  return {
    x: await fromCodes(model, session, codes, solver),
    source: units.arrayToData(noise),
    ...(labels !== undefined && { label: int64(labels, [count]) }),
  };
}
