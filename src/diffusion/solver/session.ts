import type { DataInfo } from "../../model/data-info.ts";
import { disposeValue, type RuntimeValue, readValue, type Session } from "../../program/index.ts";
import type { Random } from "../../random.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import {
  constant,
  elementCount,
  float32,
  gather,
  type NdArray,
  split,
  type Tensor,
  whileLoop,
} from "../../tensor/index.ts";
import {
  type Denoised,
  hasMemory,
  isStochastic,
  ROW_COLUMNS,
  type RowNoise,
  rowArray,
  type SolverTable,
  withoutNoise,
} from "./table.ts";

/** Pixels, or rows of vectors, that are integrated at once. */
const PART_PIXELS = 128 * 28 * 28;
const PART_ROWS = 8192;

/** How many samples of some data are integrated at once. */
export function partLimit({ kind, sampleShape }: Pick<DataInfo, "kind" | "sampleShape">): number {
  if (kind !== "image") return PART_ROWS;
  return Math.max(1, Math.floor(PART_PIXELS / elementCount(sampleShape.slice(1))));
}

/** Makes results for the rows at some positions, one after the other: [positions, …]. */
export type RowsPart = (
  positions: readonly number[],
  /** Reports the share of this part that is done. */
  report: (share: number) => void,
) => Promise<NdArray<"float32">>;

/**
 * Does `count` rows in parts of equal size, at most `limit` each, so that one compiled program serves all of them: the last is
 * filled up with its last row and cut.
 * @param shape of a row's result
 */
export async function inParts(
  count: number,
  { limit, shape }: { readonly limit: number; readonly shape: readonly number[] },
  part: RowsPart,
  onProgress?: (share: number) => void,
): Promise<NdArray<"float32">> {
  const size = elementCount(shape);
  const data = new Float32Array(count * size);
  const parts = Math.ceil(count / limit);
  const rows = parts === 0 ? 0 : Math.ceil(count / parts);
  for (let k = 0; k < parts; k++) {
    const first = k * rows;
    const positions = Array.from({ length: rows }, (_, i) => Math.min(first + i, count - 1));
    const done = await part(positions, (share) => onProgress?.((k + share) / parts));
    data.set(done.data.subarray(0, Math.min(rows, count - first) * size), first * size);
    onProgress?.((k + 1) / parts);
  }
  return float32(data, [count, ...shape]);
}

/** The rows of an array [n, …] at some positions. */
export function rowsAt(
  { data, shape }: NdArray<"float32">,
  positions: readonly number[],
): NdArray<"float32"> {
  const size = elementCount(shape.slice(1));
  const picked = new Float32Array(positions.length * size);
  for (const [i, at] of positions.entries()) picked.set(data.subarray(at * size, (at + 1) * size), i * size);
  return float32(picked, [positions.length, ...shape.slice(1)]);
}

/** An array times a number. */
export function scaled({ data, shape }: NdArray<"float32">, factor: number): NdArray<"float32"> {
  return float32(factor === 1 ? data : data.map((value) => factor * value), shape);
}

/**
 * A denoiser inside a graph: x [n, …] and times [n] to an estimate of x₀. Guidance, classes and clipping are its own
 * affair; what it needs beside x and time is in `inputs`.
 */
export type SymbolicDenoiser = (
  x: Tensor,
  time: Tensor,
  inputs: Readonly<Record<string, Tensor>>,
) => Denoised<Tensor>;

/** State and memory, of the same shape. */
interface Registers {
  readonly x: Tensor;
  readonly memory: Tensor;
}

/** One row in a graph. @param entries the row's numbers, [columns] */
function stepGraph(
  { x, memory }: Registers,
  entries: Tensor,
  noise: Tensor | undefined,
  denoise: (x: Tensor, time: Tensor) => Denoised<Tensor>,
): Registers {
  const columns = split(entries, 0, ROW_COLUMNS.length);
  const of = (column: (typeof ROW_COLUMNS)[number]): Tensor => inputAt(columns, ROW_COLUMNS.indexOf(column));
  const { denoised, variance } = denoise(x, of("time").broadcastTo([x.shape[0] ?? 1]));
  const mean = x
    .mul(of("a"))
    .add(denoised.mul(of("b")))
    .add(memory.mul(of("c")));
  const deviation = variance === undefined ? of("s") : variance.mul(of("range")).exp().mul(of("s"));
  return {
    x: noise === undefined ? mean : mean.add(noise.mul(deviation)),
    memory: x.mul(of("e")).add(denoised.mul(of("f"))),
  };
}

export interface RunTableOptions {
  /**
   * Names the denoiser in the session, which compiles it once: the same name of an owner must stand for the same denoiser. Tables of
   * different methods, paths and lengths share it.
   */
  readonly name: string;
  /** What the name belongs to; default: the denoiser. */
  readonly owner?: object;
  /** The state at the time of the first row, [n, …]. */
  readonly start: NdArray<"float32"> | RuntimeValue;
  /** What the denoiser is given beside state and time. */
  readonly inputs?: Readonly<Record<string, NdArray | RuntimeValue>>;
  /** Noise of the rows that draw some. */
  readonly noise?: RowNoise;
  /**
   * Called after each row with the state, which stays where the runtime keeps it unless it is read, and the number of
   * rows that are done. What it returns takes the place of the state, and is the run's from then on: how known parts of a
   * sample are held.
   */
  readonly onRow?: (
    x: RuntimeValue,
    done: number,
  ) => Promise<NdArray<"float32"> | RuntimeValue | undefined> | undefined;
}

/**
 * Runs a table on a session: one compiled program a row, with the state kept in the runtime. All tables without noise
 * share one program, and all with noise another.
 * @returns the state after the last row
 * @throws OptionError where the table draws noise and is given none
 */
export async function runTable(
  session: Session,
  table: SolverTable,
  denoiser: SymbolicDenoiser,
  { name, owner = denoiser, start, inputs = {}, noise = withoutNoise, onRow }: RunTableOptions,
): Promise<NdArray<"float32">> {
  const stochastic = isStochastic(table);
  const step = session.compiled(
    owner,
    `${name}: ${stochastic ? "step with noise" : "step"}`,
    ["state", "kept", "row", "noise?", "..."],
    ({ state, kept, row, noise: drawn, ...given }) => {
      const registers: Registers = { x: state, memory: kept };
      const own = Object.fromEntries(
        Object.entries(given).map(([key, value]) => [key.slice(OWN.length), value]),
      );
      return { ...stepGraph(registers, row, drawn, (x, time) => denoiser(x, time, own)) };
    },
  );
  const own = Object.fromEntries(Object.entries(inputs).map(([key, value]) => [`${OWN}${key}`, value]));
  let x: NdArray<"float32"> | RuntimeValue = start;
  let memory: NdArray | RuntimeValue = start;
  for (const [i, entry] of table.rows.entries()) {
    const row = rowArray([entry]);
    const next = await step.runValues({
      state: x,
      kept: memory,
      row: { ...row, shape: [ROW_COLUMNS.length] },
      // A row without noise in a table with it still has the input.
      ...(stochastic && {
        noise: entry.s === 0 ? float32(new Float32Array(elementCount(x.shape)), x.shape) : noise(i),
      }),
      ...own,
    });
    for (const old of new Set([x, memory])) if (old !== start) disposeValue(old);
    [x, memory] = [next.x, next.memory];
    const replaced = await onRow?.(next.x, i + 1);
    if (replaced !== undefined && replaced !== x) {
      next.x.dispose();
      x = replaced;
    }
  }
  if (memory !== start) disposeValue(memory);
  return (await readValue(x)) as NdArray<"float32">;
}

/** Stands before the names of the denoiser's own inputs, which may then be any. */
const OWN = "own.";

/** Steps of a loop inside a graph that are done: from `first` on, before `last`, int64 scalars. */
export interface StepRange {
  readonly first: Tensor;
  readonly last: Tensor;
}

/** The number of a round among all steps. */
export const rowOf = (round: Tensor, range: StepRange | undefined): Tensor =>
  range === undefined ? round : round.add(range.first);

/** Whether a round of a range has a next one. */
export const hasNext = (round: Tensor, range: StepRange): Tensor =>
  rowOf(round, range).add(1).less(range.last);

/**
 * A whole sampler in one graph: a loop over the rows of a table, which is a constant of the graph. Exported, it takes
 * noise and returns samples.
 * @param start the state at the time of the first row, [n, …]
 * @param noise [rows, n, …], where the table draws some; of a range, its rows alone
 * @param range the rows that are done (default: all); the first of them must not read the memory
 * @throws OptionError where the table draws noise and is given none
 */
export function samplerGraph(
  table: SolverTable,
  denoiser: (x: Tensor, time: Tensor) => Denoised<Tensor>,
  start: Tensor,
  noise?: Tensor,
  range?: StepRange,
): Tensor {
  const { rows } = table;
  if (noise === undefined && isStochastic(table)) withoutNoise(rows.findIndex(({ s }) => s !== 0));
  const entries = constant(rowArray(rows));
  const stepOf = (x: Tensor, memory: Tensor, step: Tensor) => {
    const drawn = noise === undefined ? undefined : gather(noise, step, 0);
    return stepGraph({ x, memory }, gather(entries, rowOf(step, range), 0), drawn, denoiser);
  };
  const options = { maximum: rows.length };
  if (!hasMemory(table)) {
    const [end] = whileLoop(
      [start],
      ([x], step) => ({ state: [stepOf(x, x, step).x], ...(range && { again: hasNext(step, range) }) }),
      options,
    );
    return end;
  }
  const [end] = whileLoop(
    [start, start],
    ([x, memory], step) => {
      const next = stepOf(x, memory, step);
      return { state: [next.x, next.memory], ...(range && { again: hasNext(step, range) }) };
    },
    options,
  );
  return end;
}

/**
 * Standard normal numbers for some samples, each from a generator of its own, so that a sample is the same whatever others
 * are drawn with it: [randoms, …shape].
 * @param label names one draw of a sample among others
 */
export function normalRows(
  randoms: readonly Random[],
  shape: readonly number[],
  label: string | number,
): NdArray<"float32"> {
  const size = elementCount(shape);
  const data = new Float32Array(randoms.length * size);
  randoms.forEach((random, i) => {
    random.split(label).fillNormal(data.subarray(i * size, (i + 1) * size));
  });
  return float32(data, [randoms.length, ...shape]);
}
