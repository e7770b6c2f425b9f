import { disposeValue, type Value } from "../program/runtime.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { VectorStretch, VectorUpdate } from "./vector-update.ts";

/** A step: its learning rate, and its number, 1 for the first from which the optimizer counts. */
export interface StepAt {
  readonly learningRate: number;
  readonly number: number;
}

/** What a graph is told of a step. */
export function scalarsOf({ learningRate, number }: StepAt): Record<string, NdArray> {
  return { learningRate: float32([learningRate], []), step: float32([number], []) };
}

/** The numbers of a value, which the runtime may own: they are to be used before it is freed. */
export function numbersOf(value: Value): Float32Array {
  return (value.kind === "runtime" ? value.view() : value).data as Float32Array;
}

/**
 * Updates vectors by the mean of the gradients of parts, each an array a parameter or one of all, which are freed.
 * @param stretch of the vectors that the gradients are of; default: all of them
 * @returns the norm of the gradient before clipping
 */
export function updateBy(
  update: VectorUpdate,
  parts: readonly (readonly Value[])[],
  { learningRate, number }: StepAt,
  stretch?: VectorStretch,
): number {
  const arrays = parts.map((values) => values.map(numbersOf));
  const norm = update.update(arrays, learningRate, number, stretch);
  for (const value of parts.flat()) disposeValue(value);
  return norm;
}
