import { SolverError } from "../../errors.ts";

/** A smooth function and its gradient, which it writes. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  /** The largest entry of the gradient at which the minimum counts as found; default: 1e-6. */
  readonly tolerance?: number;
  /** Default: 1,000. */
  readonly iterations?: number;
  /** Pairs of changes that the curvature is known from; default: 10. */
  readonly memory?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** Whether the gradient is within the tolerance, or as small as rounding lets it get. */
  readonly converged: boolean;
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
};

const largest = (values: Float64Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** A change of x, and that of the gradient. */
interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly rho: number;
}

/** −H g by the two loops of L-BFGS (Nocedal and Wright 2006, "Numerical optimization", algorithm 7.4). */
function direction(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const q = gradient.map((value) => -value);
  const alphas: number[] = [];
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    for (let i = 0; i < q.length; i++) q[i] = (q[i] ?? 0) - alpha * (y[i] ?? 0);
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < q.length; i++) q[i] = (q[i] ?? 0) * scale;
  }
  for (const { s, y, rho } of pairs) {
    const change = (alphas.pop() ?? 0) - rho * dot(y, q);
    for (let i = 0; i < q.length; i++) q[i] = (q[i] ?? 0) + change * (s[i] ?? 0);
  }
  return q;
}

/** Armijo's and the weak Wolfe condition. */
const DECREASE = 1e-4;
const CURVATURE = 0.9;
const MOST_TRIALS = 50;

/**
 * The minimum of a smooth function in float64 by L-BFGS (Liu and Nocedal 1989), whose steps fulfil the weak Wolfe conditions by bisection (Lewis and
 * Overton 2013, section 2).
 * @throws SolverError where the function is not finite at the start
 */
export function lbfgs(
  objective: Objective,
  start: Float64Array,
  { tolerance = 1e-6, iterations = 1000, memory = 10 }: LbfgsOptions = {},
): Minimum {
  let x = start.slice();
  let gradient: Float64Array = new Float64Array(x.length);
  let value = objective(x, gradient);
  if (!Number.isFinite(value)) throw new SolverError(`lbfgs: the function is ${value} at the start`);
  const pairs: Pair[] = [];
  for (let iteration = 0; iteration < iterations; iteration++) {
    if (largest(gradient) <= tolerance) return { x, value, iterations: iteration, converged: true };
    let d = direction(gradient, pairs);
    let slope = dot(d, gradient);
    if (!(slope < 0)) {
      pairs.length = 0;
      d = direction(gradient, pairs);
      slope = dot(d, gradient);
    }
    let step = pairs.length === 0 ? Math.min(1, 1 / Math.sqrt(-slope)) : 1;
    let [low, high] = [0, Number.POSITIVE_INFINITY];
    let next = x;
    let nextGradient = new Float64Array(x.length);
    let nextValue = value;
    let found = false;
    for (let trial = 0; trial < MOST_TRIALS && !found; trial++) {
      next = x.map((entry, i) => entry + step * (d[i] ?? 0));
      nextGradient = new Float64Array(x.length);
      nextValue = objective(next, nextGradient);
      if (!(nextValue <= value + DECREASE * step * slope)) high = step;
      else if (dot(nextGradient, d) < CURVATURE * slope) low = step;
      else found = true;
      if (!found) step = Number.isFinite(high) ? (low + high) / 2 : 2 * step;
    }
    // Where no step is better by more than rounding, this is the minimum as far as float64 goes.
    if (!found && !(nextValue < value)) return { x, value, iterations: iteration, converged: true };
    const s = next.map((entry, i) => entry - (x[i] ?? 0));
    const y = nextGradient.map((entry, i) => entry - (gradient[i] ?? 0));
    const sy = dot(s, y);
    if (sy > 1e-14 * dot(y, y)) {
      pairs.push({ s, y, rho: 1 / sy });
      if (pairs.length > memory) pairs.shift();
    }
    [x, gradient, value] = [next, nextGradient, nextValue];
  }
  return { x, value, iterations, converged: largest(gradient) <= tolerance };
}
