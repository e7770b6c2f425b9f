import { OptionError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { checkCount, comparableRows, forEachRow, type Rows } from "./rows.ts";

/** For each row of one set, its nearest row of another. */
export interface Nearest {
  /** Euclidean distances. */
  readonly distances: Float64Array;
  /** Rows of the other set; the first among equally near ones. */
  readonly rows: Uint32Array;
}

/** The nearest row of `others` to each row. */
export function nearestRows(rows: Rows, others: Rows): Nearest {
  const distances = new Float64Array(rows.count);
  const positions = new Uint32Array(rows.count);
  forEachRow(rows, others, "squaredDistance", (i, values) => {
    let [lowest, position] = [Number.POSITIVE_INFINITY, 0];
    for (let j = 0; j < values.length; j++) {
      const value = values[j] ?? 0;
      if (value < lowest) [lowest, position] = [value, j];
    }
    distances[i] = Math.sqrt(lowest);
    positions[i] = position;
  });
  return { distances, rows: positions };
}

/** For each row of one set, its nearest rows of another, the nearest first. */
export interface NearestRows {
  readonly k: number;
  /** [count, k]: Euclidean distances. */
  readonly distances: Float64Array;
  /** [count, k]: rows of the other set; of equally near ones the first. */
  readonly rows: Uint32Array;
}

/**
 * The k nearest rows of `others` to each row, exactly: all pairs are looked at, a block at a time.
 * @param isSame where both sets are the same one: a row is no neighbor of itself
 * @throws OptionError where there are not k of them
 */
export function kNearestRows(rows: Rows, others: Rows, k: number, isSame = false): NearestRows {
  checkCount("nearest rows", "neighbors", k, 1);
  const there = others.count - (isSame ? 1 : 0);
  if (there < k) {
    throw new OptionError(
      `nearest rows: ${k} neighbors are asked for, and there are ${there}; ask for fewer`,
    );
  }
  const distances = new Float64Array(rows.count * k);
  const positions = new Uint32Array(rows.count * k);
  forEachNearest(rows, others, k, isSame, (i, squares, places) => {
    for (let n = 0; n < k; n++) distances[i * k + n] = Math.sqrt(squares[n] ?? 0);
    positions.set(places, i * k);
  });
  return { k, distances, rows: positions };
}

/** Calls `use` with the squared distances and the places of the k nearest of `others` to each row, in arrays that are overwritten later. */
function forEachNearest(
  rows: Rows,
  others: Rows,
  k: number,
  isSame: boolean,
  use: (row: number, squares: Float64Array, places: Uint32Array) => void,
): void {
  const squares = new Float64Array(k);
  const places = new Uint32Array(k);
  forEachRow(rows, others, "squaredDistance", (i, values) => {
    squares.fill(Number.POSITIVE_INFINITY);
    let farthest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < values.length; j++) {
      const value = values[j] ?? 0;
      if (value >= farthest || (isSame && j === i)) continue;
      // Kept in ascending order: k is small.
      let position = k - 1;
      for (; position > 0 && (squares[position - 1] ?? 0) > value; position--) {
        squares[position] = squares[position - 1] ?? 0;
        places[position] = places[position - 1] ?? 0;
      }
      squares[position] = value;
      places[position] = j;
      farthest = squares[k - 1] ?? 0;
    }
    use(i, squares, places);
  });
}

/** Squared distance of each row to its k-th nearest among the other rows of the set; 1 ≤ k < count. */
function neighborRadii(rows: Rows, k: number): Float64Array {
  const radii = new Float64Array(rows.count);
  forEachNearest(rows, rows, k, true, (i, squares) => {
    radii[i] = squares[k - 1] ?? 0;
  });
  return radii;
}

export interface ManifoldOptions {
  /** k: the ball around a sample reaches to its k-th nearest neighbor in its own set. */
  readonly neighbors?: number;
}

/** Shares between 0 and 1. */
export interface PrecisionRecall {
  /** Share of generated samples that lie within the balls of the real ones: fidelity. */
  readonly precision: number;
  /** Share of real samples that lie within the balls of the generated ones: diversity. */
  readonly recall: number;
}

/**
 * Improved precision and recall of generated samples [m, …] against real ones [n, …] (Kynkäänniemi, Karras, Laine,
 * Lehtinen and Aila 2019, "Improved precision and recall metric for assessing generative models", equations 1 and 2): the
 * manifold of a set is the union of balls around its samples, each as wide as the distance to its k-th nearest neighbor
 * in the set. Default: k = 3. The paper takes features of a classifier and equal counts.
 * @throws OptionError where the samples differ in size or are not finite, or a set has no k neighbors
 */
export function precisionRecall(
  real: NdArray<"float32">,
  generated: NdArray<"float32">,
  { neighbors = 3 }: ManifoldOptions = {},
): PrecisionRecall {
  const [x, y] = setsWithNeighbors("precisionRecall", real, generated, neighbors, neighbors + 1);
  return { precision: shareWithin(y, x, neighbors), recall: shareWithin(x, y, neighbors) };
}

/** Share of `rows` within the union of balls around `centers`. */
function shareWithin(rows: Rows, centers: Rows, k: number): number {
  return (
    insideBalls(centers, rows, k).balls.reduce((sum, balls) => sum + (balls > 0 ? 1 : 0), 0) / rows.count
  );
}

export interface DensityCoverage {
  /** Mean number of real samples' balls that a generated sample lies in, over k: fidelity; may exceed 1, and is 1 on average for equal distributions. */
  readonly density: number;
  /** Share of real samples whose ball holds a generated sample: diversity, between 0 and 1. */
  readonly coverage: number;
}

/**
 * Density and coverage of generated samples [m, …] against real ones [n, …] (Naeem, Oh, Uh, Choi and Yoo 2020, "Reliable
 * fidelity and diversity metrics for generative models", section 3): as precision and recall, but only the real
 * samples have balls, so that outliers among the generated ones do not help, and density counts how many balls overlap.
 * Default: k = 5. Equal distributions of equal counts have density 1 and coverage near 1 − 2⁻ᵏ.
 * @throws OptionError as `precisionRecall`
 */
export function densityCoverage(
  real: NdArray<"float32">,
  generated: NdArray<"float32">,
  { neighbors = 5 }: ManifoldOptions = {},
): DensityCoverage {
  const [x, y] = setsWithNeighbors("densityCoverage", real, generated, neighbors, 1);
  const { balls, holds } = insideBalls(x, y, neighbors);
  return {
    density: balls.reduce((sum, count) => sum + count, 0) / (neighbors * y.count),
    coverage: holds.reduce((sum, held) => sum + held, 0) / x.count,
  };
}

function setsWithNeighbors(
  metric: string,
  real: NdArray<"float32">,
  generated: NdArray<"float32">,
  neighbors: number,
  leastGenerated: number,
): readonly [Rows, Rows] {
  checkCount(metric, "neighbors", neighbors, 1);
  const pair = comparableRows(metric, real, generated);
  const [x, y] = pair;
  if (x.count <= neighbors || y.count < leastGenerated) {
    throw new OptionError(
      `${metric}: ${neighbors} neighbors need more than ${x.count} real and ${y.count} generated samples`,
    );
  }
  return pair;
}

/** For each of `rows` the number of balls around `centers` that it lies in, and whether each ball holds any. */
function insideBalls(
  centers: Rows,
  rows: Rows,
  k: number,
): { readonly balls: Uint32Array; readonly holds: Uint8Array } {
  const radii = neighborRadii(centers, k);
  const balls = new Uint32Array(rows.count);
  const holds = new Uint8Array(centers.count);
  forEachRow(centers, rows, "squaredDistance", (i, values) => {
    const radius = radii[i] ?? 0;
    for (let j = 0; j < values.length; j++) {
      if ((values[j] ?? 0) > radius) continue;
      balls[j] = (balls[j] ?? 0) + 1;
      holds[i] = 1;
    }
  });
  return { balls, holds };
}
