import { OptionError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { assign } from "./assignment.ts";
import { forEachRow } from "./pairs.ts";
import { comparableRows, type Rows } from "./samples.ts";
import { type Shipment, transport } from "./transport.ts";
import { massesOf } from "./wasserstein.ts";

export interface OptimalTransportOptions {
  /** The power p of the distance, at least 1; 2 unless told. */
  readonly order?: number;
  /** Masses of the samples of the first set, in any unit; all alike unless told. */
  readonly weightsX?: ArrayLike<number>;
  /** Masses of the samples of the second set, in any unit; all alike unless told. */
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
