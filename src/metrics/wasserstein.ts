import { OptionError } from "../errors.ts";
import { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";
import { checkCount, comparableRows, forEachRow, type Rows } from "./rows.ts";
import { assign, type Shipment, transport } from "./transport.ts";

export interface Wasserstein1dOptions {
  /** The power p of the distance, at least 1 (default: 1). */
  readonly order?: number;
  /** Masses of the values of the first set, in any unit (default: all alike). */
  readonly weightsX?: ArrayLike<number>;
  /** Masses of the values of the second set, in any unit (default: all alike). */
  readonly weightsY?: ArrayLike<number>;
}

/**
 * The Wasserstein distance of order p between two sets of numbers, exactly: W_p = (∫₀¹ |F⁻¹(q) − G⁻¹(q)|ᵖ dq)^(1/p) with
 * the quantile functions F⁻¹ and G⁻¹ (Peyré and Cuturi 2019, "Computational optimal transport", remark 2.30). The sets
 * may differ in size and their values in mass. In units of the data.
 * @throws OptionError where a set is empty, a value is not finite, or masses do not fit
 */
export function wasserstein1d(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  { order = 1, weightsX, weightsY }: Wasserstein1dOptions = {},
): number {
  if (!(order >= 1)) throw new OptionError(`wasserstein1d: order ${order} must be at least 1`);
  if (x.length === 0 || y.length === 0) {
    throw new OptionError("wasserstein1d: needs at least one value in each set");
  }
  const masses = massesOf("wasserstein1d", [x.length, weightsX], [y.length, weightsY]);
  const [a, b] = [sorted(x, masses[0]), sorted(y, masses[1])];
  return quantileDistance(a, b, order) ** (1 / order);
}

/**
 * Masses of two sets with the same total. Where no weights are given they are whole numbers, so that equal quantiles
 * meet exactly.
 * @throws OptionError where weights are negative, not finite, all zero, or not as many as the values
 */
function massesOf(
  metric: string,
  first: readonly [number, ArrayLike<number> | undefined],
  second: readonly [number, ArrayLike<number> | undefined],
): readonly [Float64Array, Float64Array] {
  if (first[1] === undefined && second[1] === undefined) {
    const [n, m] = [first[0], second[0]];
    const shared = commonDivisor(n, m);
    return [new Float64Array(n).fill(m / shared), new Float64Array(m).fill(n / shared)];
  }
  const normalized = ([count, weights]: readonly [number, ArrayLike<number> | undefined]): Float64Array => {
    if (weights === undefined) return new Float64Array(count).fill(1 / count);
    if (weights.length !== count) {
      throw new OptionError(`${metric}: ${weights.length} weights do not belong to ${count} samples`);
    }
    const masses = Float64Array.from(weights);
    const bad = masses.findIndex((mass) => !(mass >= 0) || mass === Number.POSITIVE_INFINITY);
    if (bad >= 0) throw new OptionError(`${metric}: weight ${bad} is ${masses[bad]}; it must be 0 or more`);
    const total = masses.reduce((sum, mass) => sum + mass, 0);
    if (total === 0) throw new OptionError(`${metric}: all weights are 0`);
    return masses.map((mass) => mass / total);
  };
  return [normalized(first), normalized(second)];
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Values in ascending order, each with its mass. */
interface Sorted {
  readonly values: Float64Array;
  readonly masses: Float64Array;
}

function sorted(values: ArrayLike<number>, masses: Float64Array): Sorted {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i);
  order.sort((i, j) => (values[i] ?? 0) - (values[j] ?? 0));
  const ordered = Float64Array.from(order, (i) => values[i] ?? 0);
  const bad = ordered.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new OptionError(`wasserstein1d: value ${order[bad]} is ${ordered[bad]}, which has no distance`);
  return { values: ordered, masses: Float64Array.from(order, (i) => masses[i] ?? 0) };
}

/** ∫₀¹ |F⁻¹(q) − G⁻¹(q)|ᵖ dq, exactly: both quantile functions are steps. */
function quantileDistance(a: Sorted, b: Sorted, order: number): number {
  let [i, j, total, moved] = [0, 0, 0, 0];
  let [leftA, leftB] = [a.masses[0] ?? 0, b.masses[0] ?? 0];
  while (i < a.values.length && j < b.values.length) {
    const mass = Math.min(leftA, leftB);
    const distance = Math.abs((a.values[i] ?? 0) - (b.values[j] ?? 0));
    total += mass * (order === 1 ? distance : order === 2 ? distance * distance : distance ** order);
    moved += mass;
    leftA -= mass;
    leftB -= mass;
    if (leftA <= 0) leftA = a.masses[++i] ?? 0;
    if (leftB <= 0) leftB = b.masses[++j] ?? 0;
  }
  return total / moved;
}

export interface SlicedWassersteinOptions {
  /** Number of random directions. */
  readonly projections?: number;
  /** Seed of the directions. */
  readonly seed?: number;
}

/**
 * Sliced 2-Wasserstein distance between two sets of samples, [n, …] and [m, …]: the root of the mean, over random unit
 * directions θ, of the squared one-dimensional distance W₂²(θ·x, θ·y) between the projected sets. In units of the
 * data; 0 for equal sets. Rabin, Peyré, Delon and Bernot 2011, "Wasserstein barycenter and its application to texture
 * mixing".
 * @throws OptionError where the samples of the sets differ in size or are not finite, or a set is empty
 */
export function slicedWasserstein(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  { projections = 128, seed = 0 }: SlicedWassersteinOptions = {},
): number {
  const [left, right] = comparableRows("slicedWasserstein", x, y);
  checkCount("slicedWasserstein", "projections", projections, 1);
  const [massesX, massesY] = massesOf("slicedWasserstein", [left.count, undefined], [right.count, undefined]);
  let total = 0;
  for (let k = 0; k < projections; k++) {
    const direction = new Float64Array(left.size);
    new Random(seed).split(k).fillNormal(direction);
    const length = Math.hypot(...direction);
    const unit = direction.map((value) => value / length);
    const a = { values: project(left, unit), masses: massesX };
    const b = { values: project(right, unit), masses: massesY };
    total += quantileDistance(a, b, 2);
  }
  return Math.sqrt(total / projections);
}

/** Projections of all rows on a direction, sorted. */
function project({ data, count, size }: Rows, direction: Float64Array): Float64Array {
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let dot = 0;
    for (let k = 0; k < size; k++) dot += (data[i * size + k] ?? 0) * (direction[k] ?? 0);
    values[i] = dot;
  }
  return values.sort();
}

export interface OptimalTransportOptions {
  /** The power p of the distance, at least 1 (default: 2). */
  readonly order?: number;
  /** Masses of the samples of the first set, in any unit (default: all alike). */
  readonly weightsX?: ArrayLike<number>;
  /** Masses of the samples of the second set, in any unit (default: all alike). */
  readonly weightsY?: ArrayLike<number>;
}

export interface OptimalTransport {
  /** The Wasserstein distance W_p, in units of the data. */
  readonly distance: number;
  /** Which mass goes where; the masses sum to 1. */
  readonly plan: readonly Shipment[];
}

/** Pairs of samples that a problem may have: beyond, it would take minutes. */
const MOST_PAIRS = 4_000_000;

/**
 * Exact optimal transport between two small sets of samples, [n, …] and [m, …]: the plan π that moves the mass of one to
 * that of the other at the least cost Σ πᵢⱼ |xᵢ − yⱼ|ᵖ, and the Wasserstein distance W_p = cost^(1/p) (Peyré and Cuturi
 * 2019, "Computational optimal transport", sections 2.3 and 2.4; Euclidean distances). Equal sizes without weights are an
 * assignment problem: a second for 1,000 samples. Otherwise it is a flow problem, some times slower.
 *
 * Between samples of the same distribution in d dimensions it is not near 0 but falls slowly, as n^(−1/d): compare it with
 * the distance between two halves of the data.
 * @throws OptionError where the samples differ in size or are not finite, there are too many of them, or weights do not fit
 */
export function optimalTransport(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  { order = 2, weightsX, weightsY }: OptimalTransportOptions = {},
): OptimalTransport {
  const [left, right] = comparableRows("optimalTransport", x, y);
  if (!(order >= 1)) throw new OptionError(`optimalTransport: order ${order} must be at least 1`);
  if (left.count * right.count > MOST_PAIRS) {
    throw new OptionError(
      `optimalTransport: ${left.count} and ${right.count} samples are too many for an exact plan; give at most ${Math.sqrt(MOST_PAIRS)} each, or use slicedWasserstein`,
    );
  }
  const cost = costs(left, right, order);
  const plan = cheapest(cost, left.count, right.count, weightsX, weightsY);
  const total = plan.reduce(
    (sum, { from, to, mass }) => sum + mass * (cost[from * right.count + to] ?? 0),
    0,
  );
  return { distance: total ** (1 / order), plan };
}

function costs(left: Rows, right: Rows, order: number): Float64Array {
  const cost = new Float64Array(left.count * right.count);
  forEachRow(left, right, "squaredDistance", (i, values) => {
    cost.set(order === 2 ? values : values.map((squared) => squared ** (order / 2)), i * right.count);
  });
  return cost;
}

function cheapest(
  cost: Float64Array,
  n: number,
  m: number,
  weightsX: ArrayLike<number> | undefined,
  weightsY: ArrayLike<number> | undefined,
): readonly Shipment[] {
  if (n === m && weightsX === undefined && weightsY === undefined) {
    const { columns } = assign(cost, n, n);
    return Array.from(columns, (to, from) => ({ from, to, mass: 1 / n }));
  }
  const [supply, demand] = massesOf("optimalTransport", [n, weightsX], [m, weightsY]);
  const plan = transport(cost, supply, demand);
  const total = plan.reduce((sum, { mass }) => sum + mass, 0);
  return plan.map(({ from, to, mass }) => ({ from, to, mass: mass / total }));
}
