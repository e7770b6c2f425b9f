import { append } from "../append.ts";
import type { Tensor } from "../tensor/index.ts";
import { type ButcherTableau, evenTimes } from "./solver.ts";

/** The velocities of the parts of a state at a time, each of its part's shape. */
export type SymbolicVelocity = (state: readonly Tensor[], time: number) => readonly Tensor[];

export interface UnrolledOptions {
  readonly method: ButcherTableau;
  /** Steps of equal length. */
  readonly steps: number;
  readonly from: number;
  readonly to: number;
}

/** Time of a stage. One at the end of a step is the next step's first time itself, not a rounding of it. */
function stageTime(node: number, time: number, next: number): number {
  return node === 1 ? next : time + node * (next - time);
}

/**
 * The distinct times at which `integrateUnrolled` asks for velocities, so that what depends on time alone can be
 * computed for all of them at once.
 * @throws OptionError where steps is not a positive integer
 */
export function stageTimes({ method, steps, from, to }: UnrolledOptions): readonly number[] {
  const times = evenTimes(steps, from, to);
  const stages = times
    .slice(1)
    .flatMap((next, i) => method.nodes.map((node) => stageTime(node, times[i] ?? from, next)));
  return [...new Set(stages)];
}

/**
 * Integrates dx/dt = velocity(x, t) by a fixed-step Runge–Kutta method inside a graph: all steps are written out, so
 * that the result can be differentiated and compiled like any other tensor. Gradients are those of the discrete steps
 * ("discretise, then optimize"), exact for the numbers that are computed, at the memory of all stages.
 * @param initial the parts of the state; a part that the velocity does not read is a plain integral over time
 * @returns the parts at time `to`
 * @throws OptionError where steps is not a positive integer
 */
export function integrateUnrolled(
  velocity: SymbolicVelocity,
  initial: readonly Tensor[],
  { method, steps, from, to }: UnrolledOptions,
): readonly Tensor[] {
  const times = evenTimes(steps, from, to);
  return times
    .slice(1)
    .reduce((state, next, i) => unrolledStep(method, velocity, state, times[i] ?? from, next), initial);
}

function unrolledStep(
  { nodes, stages, weights }: ButcherTableau,
  velocity: SymbolicVelocity,
  state: readonly Tensor[],
  time: number,
  next: number,
): readonly Tensor[] {
  const step = next - time;
  const known: (readonly Tensor[])[] = [];
  nodes.forEach((node, i) => {
    known.push(velocity(advance(state, known, stages[i] ?? [], step), stageTime(node, time, next)));
  });
  return advance(state, known, weights, step);
}

/** state + step · Σᵢ coefficientᵢ · velocityᵢ, part by part. */
function advance(
  state: readonly Tensor[],
  velocities: readonly (readonly Tensor[])[],
  coefficients: readonly number[],
  step: number,
): readonly Tensor[] {
  // Velocities of the same coefficient are added before they are scaled: fewer operations.
  const groups = new Map<number, number[]>();
  coefficients.forEach((coefficient, i) => {
    if (coefficient !== 0) append(groups, coefficient, i);
  });
  return state.map((part, k) => {
    const scaled = [...groups].map(([coefficient, members]) =>
      members
        .flatMap((i) => velocities[i]?.[k] ?? [])
        .reduce((total, term) => total.add(term))
        .mul(coefficient * step),
    );
    return scaled.reduce((total, term) => total.add(term), part);
  });
}
