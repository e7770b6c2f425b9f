import { OptionError } from "../errors.ts";
import type { DataOf, NdArray } from "../tensor/index.ts";

/** States may be float32, as networks compute, or float64. */
export type FloatType = "float32" | "float64";

/** The velocity dx/dt of a state at a time. It must not change the state, and returns an array of the same shape. */
export type Velocity<D extends FloatType> = (state: NdArray<D>, time: number) => Promise<NdArray<D>>;

/** The coefficients of an explicit Runge–Kutta method. */
export interface ButcherTableau {
  /** Stage times as shares of the step, c₁ = 0 first. */
  readonly nodes: readonly number[];
  /** Row i holds the weights a_ij, j < i, of earlier stages. */
  readonly stages: readonly (readonly number[])[];
  /** The weights b_i of the result. */
  readonly weights: readonly number[];
}

/** Euler's method, order 1. */
export const euler: ButcherTableau = { nodes: [0], stages: [[]], weights: [1] };

/** The explicit midpoint rule, order 2. */
export const midpoint: ButcherTableau = { nodes: [0, 1 / 2], stages: [[], [1 / 2]], weights: [0, 1] };

/** Heun's method (the explicit trapezoidal rule), order 2. */
export const heun: ButcherTableau = { nodes: [0, 1], stages: [[], [1]], weights: [1 / 2, 1 / 2] };

/** The classical Runge–Kutta method, order 4. */
export const rk4: ButcherTableau = {
  nodes: [0, 1 / 2, 1 / 2, 1],
  stages: [[], [1 / 2], [0, 1 / 2], [0, 0, 1]],
  weights: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
};

/** Methods with a fixed number of steps, by name. */
export const FIXED_STEP_METHODS = { euler, midpoint, heun, rk4 } as const satisfies Record<
  string,
  ButcherTableau
>;

export type FixedStepMethod = keyof typeof FIXED_STEP_METHODS;

/** state + Σ_i coefficients_i · terms_i, as a new array. */
export function addScaled<D extends FloatType>(
  state: NdArray<D>,
  coefficients: readonly number[],
  terms: readonly NdArray<D>[],
): NdArray<D> {
  const data: DataOf[FloatType] = state.data.slice();
  terms.forEach((term, i) => {
    const coefficient = coefficients[i] ?? 0;
    if (coefficient === 0) return;
    const added: DataOf[FloatType] = term.data;
    for (let k = 0; k < data.length; k++) data[k] = (data[k] ?? 0) + coefficient * (added[k] ?? 0);
  });
  return { dtype: state.dtype, shape: state.shape, data: data as DataOf[D] };
}

/** The stage velocities k_i of one Runge–Kutta step; `first` is k₁ where it is known already. */
export async function stageVelocities<D extends FloatType>(
  { nodes, stages }: ButcherTableau,
  velocity: Velocity<D>,
  state: NdArray<D>,
  time: number,
  next: number,
  first?: NdArray<D>,
): Promise<NdArray<D>[]> {
  const step = next - time;
  const known: NdArray<D>[] = first === undefined ? [] : [first];
  for (let i = known.length; i < nodes.length; i++) {
    const coefficients = (stages[i] ?? []).map((a) => a * step);
    known.push(await velocity(addScaled(state, coefficients, known), time + (nodes[i] ?? 0) * step));
  }
  return known;
}

/** One explicit Runge–Kutta step: the state at time `next`, from the state at `time`. Time may run in either direction. */
export async function rungeKuttaStep<D extends FloatType>(
  tableau: ButcherTableau,
  velocity: Velocity<D>,
  state: NdArray<D>,
  time: number,
  next: number,
): Promise<NdArray<D>> {
  const known = await stageVelocities(tableau, velocity, state, time, next);
  const coefficients = tableau.weights.map((b) => b * (next - time));
  return addScaled(state, coefficients, known);
}

/**
 * The times t_0 = from, …, t_steps = to, evenly spaced.
 * @throws OptionError where steps is not a positive integer
 */
export function evenTimes(steps: number, from = 1, to = 0): readonly number[] {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`steps: must be a whole number from 1 on, not ${steps}`);
  }
  return Array.from({ length: steps + 1 }, (_, i) => (i === steps ? to : from + ((to - from) * i) / steps));
}

/**
 * Integrates dx/dt = velocity(x, t) over a list of times with a fixed-step method.
 * @param onStep called after each step with the number of steps that are done
 */
export async function integrate<D extends FloatType>(
  tableau: ButcherTableau,
  velocity: Velocity<D>,
  state: NdArray<D>,
  times: readonly number[],
  onStep?: (done: number) => void,
): Promise<NdArray<D>> {
  let current = state;
  for (let i = 0; i + 1 < times.length; i++) {
    current = await rungeKuttaStep(tableau, velocity, current, times[i] ?? 0, times[i + 1] ?? 0);
    onStep?.(i + 1);
  }
  return current;
}
