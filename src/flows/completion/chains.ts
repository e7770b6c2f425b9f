import { InverseError } from "../../errors.ts";
import { type DataInfo, drawClass } from "../../model/data-info.ts";
import { Random } from "../../random.ts";
import { hamiltonianMonteCarlo, type LogDensity, type LogDensityAt } from "./hamiltonian.ts";
import { columnLeaps, quantileScale, type Space } from "./space.ts";

// Completions as chains over plain arrays: what runs the flow, a session or the files of an exported model, is given. The same seed makes the same
// choices with both.

/** A sample to complete, and how that is done. */
export interface CompletionRow {
  readonly index: number;
  readonly x: Float32Array;
  /** 1 where an element is known. */
  readonly known: Float32Array;
  readonly label: number | undefined;
  readonly way: "none" | "exact" | "iterated";
}

/** Rows that the flow runs on, one after the other. */
export interface ChainFeeds {
  readonly count: number;
  /** Samples as the flow sees them, bytes dequantized: [count, size]. */
  readonly x: Float32Array;
  /** Classes, where the flow is to be that of one class each. */
  readonly labels: readonly number[] | undefined;
}

/** How long chains run, and from which power of the density on. */
export interface Course {
  readonly iterations: number;
  readonly leapfrogs: number;
  readonly startPower: number;
}

/** A flow as chains take it. */
export interface ChainedFlow {
  readonly data: Pick<DataInfo, "kind" | "sampleShape" | "columns" | "classes" | "classShares">;
  /** Classes that it is conditional on; 0 for none. */
  readonly classes: number;
  /** Coordinates of the chains. */
  readonly space: Space;
  readonly course: Course;
  /** Numbers of noise of a draw of the base, and what fills them. */
  readonly noiseSize: number;
  drawNoise(target: Float32Array, random: Random): void;
  /**
   * Draws in data units, [count, size], from noise of the base, [count, noiseSize].
   * @param known where it is given, codes of what is known are those of x: [count, size]
   * @throws InverseError where the flow cannot be inverted
   */
  draw(feeds: ChainFeeds, noise: Float32Array, known?: Float32Array): Promise<Float32Array>;
  /** Log-density of continuous data, and its gradient by x. */
  logDensity(feeds: ChainFeeds): Promise<LogDensityAt>;
}

/** How rows are completed. */
export interface CompletionOptions {
  readonly draws: number;
  readonly seed: number;
  /** Default: those of the flow's course. */
  readonly iterations?: number | undefined;
  readonly onProgress?: ((share: number) => void) | undefined;
}

/** Chains, and numbers in them, of one batch. */
const PART_CHAINS = 2048;
const PART_ELEMENTS = 1 << 18;
/** Draws of the flow from which scales are read off, at least. */
const SCALE_DRAWS = 64;

const sizeOf = ({ data }: ChainedFlow): number => data.sampleShape.reduce((size, side) => size * side, 1);

/**
 * How a row can be completed.
 * @param modeled positions of the elements that the flow has a density of
 * @param order those positions in an order in which the flow is triangular; undefined where there is none
 */
export function wayOf(
  known: Float32Array,
  modeled: readonly number[],
  order: readonly number[] | undefined,
): CompletionRow["way"] {
  if (modeled.every((position) => known[position] === 1)) return "none";
  const before = order?.findIndex((position) => known[position] !== 1) ?? -1;
  const isPrefix = before >= 0 && order?.slice(before).every((position) => known[position] !== 1) === true;
  return isPrefix ? "exact" : "iterated";
}

interface Chain extends CompletionRow {
  readonly random: Random;
}

interface Work {
  readonly flow: ChainedFlow;
  readonly size: number;
  readonly options: CompletionOptions;
}

/**
 * Completions of rows, [rows, draws, size]: exactly in one pass where a row can be, otherwise by Hamiltonian Monte Carlo over its unknown
 * elements on the log-density, all chains (rows × draws) in one batch. Known bytes are dequantized with noise that is drawn once for each chain.
 */
export async function completeRows(
  flow: ChainedFlow,
  rows: readonly CompletionRow[],
  options: CompletionOptions,
): Promise<Float32Array> {
  const { draws } = options;
  const size = sizeOf(flow);
  const work = { flow, size, options };
  const result = new Float32Array(rows.length * draws * size);
  const random = new Random(options.seed).split("inpaint");
  const limit = Math.max(1, Math.floor(Math.min(PART_CHAINS, PART_ELEMENTS / size) / draws));
  let done = rows.filter(({ way }) => way === "none").length;
  for (const way of ["exact", "iterated"] as const) {
    const group = rows.filter((row) => row.way === way);
    for (let first = 0; first < group.length; first += limit) {
      const part = group.slice(first, first + limit);
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
  // What is known comes back as it was given, however float32 rounds it.
  for (const { index, x, known } of rows) {
    for (let draw = 0; draw < draws; draw++) {
      const offset = (index * draws + draw) * size;
      for (let i = 0; i < size; i++) if (known[i] === 1) result[offset + i] = x[i] ?? 0;
    }
  }
  return result;
}

/** Samples of all chains as the flow sees them: known bytes dequantized, zero where nothing is known. */
function pasted({ flow, size }: Work, chains: readonly Chain[]): Float32Array {
  const result = new Float32Array(chains.length * size);
  const noise = new Float32Array(size);
  for (const [c, { x, known, random }] of chains.entries()) {
    if (flow.data.kind === "image") random.split("dequantise").fillUniform(noise);
    for (let i = 0; i < size; i++) {
      if (known[i] === 1) result[c * size + i] = (x[i] ?? 0) + (noise[i] ?? 0);
    }
  }
  return result;
}

/** Classes of chains, where the density is that of one class each. */
function labels({ flow }: Work, chains: readonly Chain[], drawn: boolean): readonly number[] | undefined {
  if (flow.classes === 0) return undefined;
  if (!drawn && chains.some(({ label }) => label === undefined)) return undefined;
  return chains.map(({ label, random }) => label ?? drawClass(flow.data, random.split("label").uniform()));
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
function baseNoise({ flow }: Work, chains: readonly Chain[]): Float32Array {
  const { noiseSize } = flow;
  const noise = new Float32Array(chains.length * noiseSize);
  for (const [c, { random }] of chains.entries()) {
    flow.drawNoise(noise.subarray(c * noiseSize, (c + 1) * noiseSize), random.split("start"));
  }
  return noise;
}

/** Draws under classes that are drawn where none is given. */
const drawnFeeds = (work: Work, chains: readonly Chain[]): ChainFeeds => ({
  count: chains.length,
  x: pasted(work, chains),
  labels: labels(work, chains, true),
});

async function drawExactly(work: Work, chains: readonly Chain[]): Promise<Float32Array> {
  const all = padded(chains);
  const known = new Float32Array(all.length * work.size);
  for (const [c, chain] of all.entries()) known.set(chain.known, c * work.size);
  return work.flow.draw(drawnFeeds(work, all), baseNoise(work, all), known);
}

/** Draws of the flow, as states of chains; of a flow that cannot be inverted, draws about as wide as data. */
async function startingStates(work: Work, chains: readonly Chain[]): Promise<Float64Array> {
  const { flow, size } = work;
  const { space, data } = flow;
  const isImage = data.kind === "image";
  try {
    const drawn = await flow.draw(drawnFeeds(work, chains), baseNoise(work, chains));
    return Float64Array.from(drawn, (value) => space.fromData(value + (isImage ? 0.5 : 0)));
  } catch (error) {
    if (!(error instanceof InverseError)) throw error;
    const states = new Float64Array(chains.length * size);
    for (const [c, { random }] of chains.entries()) {
      random.split("start").fillNormal(states.subarray(c * size, (c + 1) * size));
    }
    return states;
  }
}

/** Hamiltonian Monte Carlo over the unknown elements of all chains. */
async function iterate(
  work: Work,
  wanted: readonly Chain[],
  report: (share: number) => void,
): Promise<Float32Array> {
  const { flow, size, options } = work;
  const { data, space, course } = flow;
  const chains = padded(wanted);
  const values = pasted(work, chains);
  const movable = Uint8Array.from(values, (_, i) =>
    Number(chains[Math.floor(i / size)]?.known[i % size] !== 1),
  );

  // Chains start at draws of the flow, of which enough are made to see the scale of each element.
  const starts = await startingStates(work, padded(chains, SCALE_DRAWS));
  const { center, scale } = quantileScale(starts, size);

  const classes = labels(work, chains, false);
  const logDensity: LogDensity = async (states) => {
    for (let i = 0; i < values.length; i++) if (movable[i] === 1) values[i] = space.toData(states[i] ?? 0);
    const at = await flow.logDensity({ count: chains.length, x: values, labels: classes });
    return space.pullBack(states, movable, size, at);
  };
  const iterations = options.iterations ?? course.iterations;
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
