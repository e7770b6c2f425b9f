import { OptionError } from "../../errors.ts";
import { float32, type NdArray } from "../../tensor/index.ts";
import { checkLevels, type NoiseLevel, startingDeviation } from "../path/noise-level.ts";

/**
 * One row of a sampler: the denoiser D, an estimate of x₀, is evaluated once at the state x and a time, then state and
 * memory change to fixed combinations of what they were,
 *
 *     x ← a x + b D + c m + s z        m ← e x + f D
 *
 * with standard normal z. Where the denoiser also predicts a number v for each element (learned variances), the deviation
 * is s · exp(v · range) in place of s.
 */
export interface SolverRow {
  /** When the denoiser is evaluated: the level at which x is before the row. */
  readonly time: number;
  /** The level at which x is after the row; the time of the row that follows. */
  readonly next: number;
  /** Of x in the next x. */
  readonly a: number;
  /** Of D in the next x. */
  readonly b: number;
  /** Of the memory in the next x. */
  readonly c: number;
  /** Deviation of the noise in the next x. */
  readonly s: number;
  /** Of x in the next memory. */
  readonly e: number;
  /** Of D in the next memory. */
  readonly f: number;
  /** Logarithm of the largest noise deviation over s, for learned variances; 0 otherwise. */
  readonly range: number;
}

/** A sampler as data: whatever the method, the path, the number of steps, one program runs its rows one by one. */
export interface SolverTable {
  readonly rows: readonly SolverRow[];
  /** Deviation of the noise that the first row begins with, where samples are made from nothing. */
  readonly deviation: number;
}

/** A row; what is not given is 0. */
export function row(entries: Pick<SolverRow, "time" | "next"> & Partial<SolverRow>): SolverRow {
  return { a: 0, b: 0, c: 0, s: 0, e: 0, f: 0, range: 0, ...entries };
}

/** A row to clean data, whatever the method: the estimate is the sample. */
export function cleanRow({ time }: NoiseLevel, next: NoiseLevel): SolverRow {
  return row({ time, next: next.time, b: next.alpha });
}

/**
 * The table of a method that makes the rows of a step from the level before it and the level after it.
 * @param solver named in errors
 * @throws OptionError as `checkLevels`
 */
export function tableOf<Level extends NoiseLevel>(
  solver: string,
  levels: readonly Level[],
  step: (from: Level, to: Level, index: number) => readonly SolverRow[],
): SolverTable {
  checkLevels(solver, levels);
  const [first] = levels;
  const rows = levels.slice(1).flatMap((to, i) => step(levels[i] ?? to, to, i));
  const broken = rows.find((entry) => !Object.values(entry).every(Number.isFinite));
  if (first === undefined || broken !== undefined) {
    throw new OptionError(
      `${solver}: the step from time ${broken?.time} to ${broken?.next} has no finite coefficients; begin below time 1, where there is some data, and end above 0`,
    );
  }
  return { rows, deviation: startingDeviation(first) };
}

/** Whether a table draws noise. */
export function isStochastic({ rows }: SolverTable): boolean {
  return rows.some(({ s }) => s !== 0);
}

/** Whether a table reads its memory. */
export function hasMemory({ rows }: SolverTable): boolean {
  return rows.some(({ c }) => c !== 0);
}

/** The most rows of a method's step that are looked for. */
const MOST_STEP_ROWS = 4;

/** Of how many rows a step is that reads no memory of the step before it, as 2 of Heun's method; undefined where all hang together. */
export function rowsOfStep({ rows }: SolverTable): number | undefined {
  const sizes = Array.from({ length: MOST_STEP_ROWS }, (_, i) => i + 1);
  return sizes.find((size) => rows.every(({ c }, i) => i % size !== 0 || c === 0));
}

/** The order of a row's numbers in an array. */
export const ROW_COLUMNS = ["time", "a", "b", "c", "s", "e", "f", "range"] as const;

/** Rows as an array [rows, columns], as programs take them. */
export function rowArray(rows: readonly SolverRow[]): NdArray<"float32"> {
  return float32(
    rows.flatMap((entry) => ROW_COLUMNS.map((column) => entry[column])),
    [rows.length, ROW_COLUMNS.length],
  );
}

/** What a denoiser predicts of a state [n, …]. */
export interface Denoised<T> {
  /** E[x₀ | x], of the state's shape. */
  readonly denoised: T;
  /** v of the noise deviation s · exp(v · range), of the state's shape; default: 0. */
  readonly variance?: T;
}

/** A denoiser in float64. It must not change the state. */
export type Denoiser = (x: NdArray<"float64">, time: number) => Denoised<NdArray<"float64">>;

/** The noise z of a row, of the state's shape. */
export type RowNoise = (index: number) => NdArray<"float32">;

export interface InterpretOptions {
  /** Noise of the rows that draw some. */
  readonly noise?: RowNoise;
  /** Sees the state after each row. */
  readonly onRow?: (x: NdArray<"float64">, index: number) => void;
}

/**
 * Runs a table in plain float64: the meaning of a table, for tests and for reading. A session runs the same rows by
 * `runTable`.
 * @param start the state at the time of the first row, [n, …]
 * @throws OptionError where the table draws noise and is given none
 */
export function interpretTable(
  { rows }: SolverTable,
  denoiser: Denoiser,
  start: NdArray<"float64">,
  { noise, onRow }: InterpretOptions = {},
): NdArray<"float64"> {
  let x = start.data;
  let memory = start.data;
  const state = (data: Float64Array): NdArray<"float64"> => ({ ...start, data });
  rows.forEach(({ time, a, b, c, s, e, f, range }, index) => {
    const { denoised, variance } = denoiser(state(x), time);
    const z = s === 0 ? undefined : (noise ?? withoutNoise)(index).data;
    const next = new Float64Array(x.length);
    const kept = new Float64Array(x.length);
    for (let i = 0; i < next.length; i++) {
      const [old, estimate] = [x[i] ?? 0, denoised.data[i] ?? 0];
      const deviation = s * Math.exp(range * (variance?.data[i] ?? 0));
      next[i] = a * old + b * estimate + c * (memory[i] ?? 0) + deviation * (z?.[i] ?? 0);
      kept[i] = e * old + f * estimate;
    }
    [x, memory] = [next, kept];
    onRow?.(state(x), index);
  });
  return state(x);
}

/** Stands for the noise of a caller who gave none. */
export function withoutNoise(index: number): never {
  throw new OptionError(`noise: row ${index} of the sampler draws some, but no noise was given`);
}
