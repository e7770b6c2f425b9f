import { GradientError, InverseError, OptionError } from "../../errors.ts";
import type { InpaintOptions } from "../../model/capabilities.ts";
import { continuousKind, type DataInfo, drawClass } from "../../model/data-info.ts";
import { type IncompleteRow, incompleteRows } from "../../model/sampling.ts";
import type { Feeds, Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, grad, int64, type NdArray, type Tensor, where } from "../../tensor/index.ts";
import type { Base } from "../densities/bases.ts";
import type { Conditioning } from "../densities/conditioning.ts";
import { BYTE_LEVELS } from "../images/dequantize.ts";
import { hamiltonianMonteCarlo, type LogDensity } from "./hamiltonian.ts";
import { columnLeaps, imageSpace, plainSpace, quantileScale, type Space } from "./space.ts";

/** A sample to complete, and how that is done. */
export interface Row extends IncompleteRow {
  readonly label: number | undefined;
  readonly way: "none" | "exact" | "iterated";
}

/** What decides how a model can complete samples. */
export interface Completing {
  readonly conditioning: Conditioning;
  /** Elements in an order in which later ones can be drawn given earlier ones, where there is one. */
  readonly triangularOrder?: readonly number[] | undefined;
  readonly base?: Pick<Base, "dependent">;
}

/** A flow as a completion needs it. */
export interface CompletableFlow extends Completing {
  readonly base: Base;
  /** Length of a code. */
  readonly dimensions: number;
  /** [n, …sample] → [n, D]. */
  encode(x: Tensor, label?: Tensor): Tensor;
  /** [n, D] → [n, …sample], in data units. */
  decode(z: Tensor, context?: Tensor): Tensor;
  /** Log-density in nats of continuous data: [n, …sample] → [n]. */
  continuousLogProb(x: Tensor, label?: Tensor): Tensor;
}

/**
 * Checks what is to be completed and decides how each sample is: not at all, exactly, or by iteration.
 * @throws OptionError
 */
export function readRows(model: Completing, data: DataInfo, options: InpaintOptions): readonly Row[] {
  const { exact, label } = options;
  const rows = incompleteRows(options, data.sampleShape);
  const size = elementCount(data.sampleShape);
  const count = rows.length;
  const { classes } = model.conditioning;
  const labels = typeof label === "number" ? new Array<number>(count).fill(label) : label;
  if (labels !== undefined && labels.length !== count) {
    throw new OptionError(`inpaint: ${labels.length} labels were given for ${count} samples`);
  }
  for (const value of labels ?? []) {
    if (Number.isInteger(value) && value >= 0 && value < classes) continue;
    throw new OptionError(
      classes === 0
        ? "option label: this model is not conditional on classes"
        : `option label: must be a class from 0 to ${classes - 1}, not ${value}`,
    );
  }
  const modeled = model.conditioning.targetPlaces();
  const order = model.triangularOrder?.map((element) => modeled[element] ?? element);
  // The density of a mixture of classes is triangular in no order.
  const triangular =
    order !== undefined && model.base?.dependent !== true && (classes === 0 || label !== undefined);
  return rows.map((row): Row => {
    const { index, known: mask } = row;
    const unknown = modeled.filter((place) => mask[place] !== 1);
    if (unknown.length + mask.reduce((sum, value) => sum + Number(value === 1), 0) !== size) {
      throw new OptionError(
        `inpaint: sample ${index} lacks values that the model is conditioned on; they must be known`,
      );
    }
    const before = triangular ? order.findIndex((place) => mask[place] !== 1) : -1;
    const prefix = before >= 0 && order?.slice(before).every((place) => mask[place] !== 1) === true;
    const way = unknown.length === 0 ? "none" : prefix && exact !== false ? "exact" : "iterated";
    return { ...row, label: labels?.[index], way };
  });
}

/** Chains, and numbers in them, of one batch. */
const PART_CHAINS = 2048;
const PART_ELEMENTS = 1 << 18;
/** Draws of the flow from which scales are read off, at least. */
const SCALE_DRAWS = 64;
/**
 * Default iterations, leapfrog steps of each, and the power of the density that chains begin with: in many dimensions
 * a flat density leads far away from where the mass is.
 */
const COURSE = {
  image: { iterations: 80, leapfrogs: 12, startPower: 0.5 },
  points: { iterations: 80, leapfrogs: 8, startPower: 0.3 },
  table: { iterations: 80, leapfrogs: 8, startPower: 0.3 },
} as const;

/** What the program of `decodeDraws` runs on. */
type DrawFeeds = Feeds<"x" | "known?" | "noise" | "label?", NdArray>;

/**
 * Completions of partly known samples, from the conditional density of a flow p(x_unknown | x_known) ∝ p(x).
 *
 * Where the flow is triangular in an order and the known elements come first in it, exactly and in one pass: the codes
 * of the known elements depend on these alone, so that the other codes are drawn from the base and all are inverted.
 * Elsewhere by Hamiltonian Monte Carlo over the unknown elements on the exact log-density, all chains (samples × draws)
 * in one batch. Known bytes are dequantized with noise that is drawn once for each chain.
 *
 * @throws OptionError where shapes do not fit, given columns are unknown, or `exact` is asked and there is no such way
 */
export async function inpaintFlow(
  model: CompletableFlow,
  data: DataInfo,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const rows = readRows(model, data, options);
  const { draws } = options;
  const size = elementCount(data.sampleShape);
  const result = new Float32Array(rows.length * draws * size);
  const groups: Record<Row["way"], Row[]> = { none: [], exact: [], iterated: [] };
  for (const row of rows) groups[row.way].push(row);
  if (options.exact === true && groups.iterated.length > 0) {
    throw new OptionError(
      model.triangularOrder === undefined
        ? "there is no exact conditional draw from this model: it is not autoregressive in one order"
        : `there is no exact conditional draw for sample ${groups.iterated[0]?.index}: its known elements do not come first in the model's order`,
    );
  }
  const random = new Random(options.seed).split("inpaint");
  const work = { model, data, session, options };
  const limit = Math.max(1, Math.floor(Math.min(PART_CHAINS, PART_ELEMENTS / size) / draws));
  let done = groups.none.length;
  for (const way of ["exact", "iterated"] as const) {
    for (let first = 0; first < groups[way].length; first += limit) {
      const part = groups[way].slice(first, first + limit);
      const chains = part.flatMap((row) =>
        Array.from({ length: draws }, (_, draw) => ({ ...row, random: random.split(row.index).split(draw) })),
      );
      const report = (share: number): void =>
        options.onProgress?.((done + share * part.length) / rows.length);
      const drawn = way === "exact" ? await drawExactly(work, chains) : await iterate(work, chains, report);
      part.forEach(({ index }, i) => {
        result.set(drawn.subarray(i * draws * size, (i + 1) * draws * size), index * draws * size);
      });
      done += part.length;
      options.onProgress?.(done / rows.length);
    }
  }
  // What is known comes back as it was given, whatever its way through float32.
  for (const { index, x, known } of rows) {
    for (let draw = 0; draw < draws; draw++) {
      const offset = (index * draws + draw) * size;
      for (let i = 0; i < size; i++) if (known[i] === 1) result[offset + i] = x[i] ?? 0;
    }
  }
  return float32(result, [rows.length, draws, ...data.sampleShape]);
}

interface Chain extends Row {
  readonly random: Random;
}

interface Work {
  readonly model: CompletableFlow;
  readonly data: DataInfo;
  readonly session: Session;
  readonly options: InpaintOptions;
}

/** Samples of all chains as the flow sees them: known bytes dequantized, zero where nothing is known. */
function pasted({ data }: Work, chains: readonly Chain[]): Float32Array {
  const size = elementCount(data.sampleShape);
  const result = new Float32Array(chains.length * size);
  const noise = new Float32Array(size);
  for (const [c, { x, known, random }] of chains.entries()) {
    if (data.kind === "image") random.split("dequantise").fillUniform(noise);
    for (let i = 0; i < size; i++) {
      if (known[i] === 1) result[c * size + i] = (x[i] ?? 0) + (noise[i] ?? 0);
    }
  }
  return result;
}

/** Classes of chains as feeds, where the density is that of one class each. */
function labels(
  { model, data, options }: Work,
  chains: readonly Chain[],
  drawn: boolean,
): { readonly label?: NdArray } {
  if (model.conditioning.classes === 0) return {};
  if (options.label === undefined && !drawn) return {};
  const values = chains.map(({ label, random }) => label ?? drawClass(data, random.split("label").uniform()));
  return { label: int64(values, [chains.length]) };
}

/** The same chains with up to a quarter more, whose results are not used, so that few shapes are compiled. */
function padded(chains: readonly Chain[], least = 1): readonly Chain[] {
  const wanted = Math.max(chains.length, least);
  const grain = Math.max(1, 2 ** (Math.floor(Math.log2(wanted)) - 2));
  const count = Math.ceil(wanted / grain) * grain;
  return Array.from({ length: count }, (_, i) => {
    const chain = chains[i % chains.length] as Chain;
    return i < chains.length ? chain : { ...chain, random: chain.random.split("more").split(i) };
  });
}

/** Noise of the base for each chain, [chains, noiseSize]. */
function baseNoise({ base, dimensions }: CompletableFlow, chains: readonly Chain[]): NdArray<"float32"> {
  const size = base.noiseSize(dimensions);
  const noise = new Float32Array(chains.length * size);
  for (const [c, { random }] of chains.entries()) {
    base.drawNoise(noise.subarray(c * size, (c + 1) * size), random.split("start"));
  }
  return float32(noise, [chains.length, size]);
}

/**
 * Draws of the flow in data units, under codes that are drawn in full or, with `known`, those of x where it is known:
 * for a triangular flow whose known elements come first, draws of the exact conditional.
 */
async function decodeDraws(
  { model, data, session }: Work,
  feeds: DrawFeeds,
  keep: "nothing" | "known",
): Promise<Float32Array> {
  const isImage = data.kind === "image";
  const program = session.compiled(
    model,
    `inpaint-${keep}`,
    ["x", "known?", "noise", "label?"],
    ({ x, known, noise, label }) => {
      const { context } = model.conditioning.divide(x, label);
      let z = model.base.fromNoise(noise);
      if (known !== undefined) {
        // `encode` places bytes in the middle of their interval; these have their noise already.
        const code = model.encode(isImage ? x.sub(0.5) : x, label);
        const held = model.conditioning.divide(known, label).target.reshape(z.shape);
        z = where(held.greater(0.5), code, z);
      }
      return { drawn: model.decode(z, context) };
    },
  );
  const { drawn } = await program.run(feeds);
  return drawn.data as Float32Array;
}

async function drawExactly(work: Work, chains: readonly Chain[]): Promise<Float32Array> {
  const all = padded(chains);
  const { sampleShape } = work.data;
  const known = new Float32Array(all.flatMap((chain) => [...chain.known]));
  const feeds = {
    x: float32(pasted(work, all), [all.length, ...sampleShape]),
    known: float32(known, [all.length, ...sampleShape]),
    noise: baseNoise(work.model, all),
    ...labels(work, all, true),
  };
  return decodeDraws(work, feeds, "known");
}

/** Draws of the flow, as states of chains; of a flow that cannot be inverted, draws about as wide as data. */
async function startingStates(work: Work, chains: readonly Chain[], space: Space): Promise<Float64Array> {
  const { model, data } = work;
  const isImage = data.kind === "image";
  try {
    const drawn = await decodeDraws(
      work,
      {
        x: float32(pasted(work, chains), [chains.length, ...data.sampleShape]),
        noise: baseNoise(model, chains),
        ...labels(work, chains, true),
      },
      "nothing",
    );
    return Float64Array.from(drawn, (value) => space.fromData(value + (isImage ? 0.5 : 0)));
  } catch (error) {
    if (!(error instanceof InverseError)) throw error;
    const size = elementCount(data.sampleShape);
    const states = new Float64Array(chains.length * size);
    for (const [c, { random }] of chains.entries()) {
      random.split("start").fillNormal(states.subarray(c * size, (c + 1) * size));
    }
    return states;
  }
}

/** @throws GradientError where the log-density is found by an iteration that has no derivative */
function gradientOf(logDensity: Tensor, x: Tensor): Tensor {
  try {
    return grad(logDensity.sum(), [x])[0];
  } catch (error) {
    if (!(error instanceof GradientError)) throw error;
    throw new GradientError(
      `this model's log-density has no gradient (it is found by iteration), which Hamiltonian Monte Carlo needs: ${error.message}`,
      { cause: error },
    );
  }
}

/** Hamiltonian Monte Carlo over the unknown elements of all chains. */
async function iterate(
  work: Work,
  wanted: readonly Chain[],
  report: (share: number) => void,
): Promise<Float32Array> {
  const { model, data, session, options } = work;
  const chains = padded(wanted);
  const shape = [chains.length, ...data.sampleShape];
  const size = elementCount(data.sampleShape);
  const space: Space = data.kind === "image" ? imageSpace(BYTE_LEVELS) : plainSpace;
  const values = pasted(work, chains);
  const movable = Uint8Array.from(values, (_, i) =>
    Number(chains[Math.floor(i / size)]?.known[i % size] !== 1),
  );

  // Chains start at draws of the flow, of which enough are made to see the scale of each element.
  const pool = padded(chains, SCALE_DRAWS);
  const starts = await startingStates(work, pool, space);
  const { center, scale } = quantileScale(starts, size);

  const density = session.compiled(model, "inpaint-density", ["x", "label?"], ({ x, label }) => {
    const logDensity = model.continuousLogProb(x, label);
    return { logDensity, gradient: gradientOf(logDensity, x) };
  });
  const classes = labels(work, chains, false);
  // Log-densities that are estimated (a trace by random probes) are so with the same numbers throughout.
  const probes = new Random(options.seed).split("probes");
  const logDensity: LogDensity = async (states) => {
    for (let i = 0; i < values.length; i++) if (movable[i] === 1) values[i] = space.toData(states[i] ?? 0);
    const at = await density.run({ x: float32(values, shape), ...classes }, { random: probes });
    return space.pullBack(states, movable, size, {
      logDensity: at.logDensity.data as Float32Array,
      gradient: at.gradient.data as Float32Array,
    });
  };
  const course = COURSE[continuousKind(data)];
  const iterations = options.steps ?? course.iterations;
  const { states } = await hamiltonianMonteCarlo(logDensity, starts.subarray(0, chains.length * size), {
    dimensions: size,
    randoms: chains.map(({ random }) => random.split("chain")),
    groupSize: options.draws,
    movable,
    scale,
    iterations,
    leapfrogs: course.leapfrogs,
    startPower: course.startPower,
    ...(data.kind !== "image" && { jump: columnLeaps(data, movable, { center, scale }) }),
    onIteration: (iteration) => report((iteration + 1) / iterations),
  });
  // As `decode` has it, images are placed so that rounding gives the byte.
  const shift = data.kind === "image" ? -0.5 : 0;
  return Float32Array.from(states, (value) => space.toData(value) + shift);
}
