import type { Value } from "../program/runtime.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { ParameterLayout } from "./layout.ts";
import { gradientName } from "./step.ts";
import type { StepAt } from "./vector-update.ts";

/** What a graph is told of a step. */
export function scalarsOf({ learningRate, number }: StepAt): Record<string, NdArray> {
  return { learningRate: float32([learningRate], []), step: float32([number], []) };
}

/** The numbers of a value, which the runtime may own: they are to be used before it is freed. */
export function numbersOf(value: Value): Float32Array {
  return (value.kind === "runtime" ? value.view() : value).data as Float32Array;
}

/** Where a graph writes `gradient.0`, `gradient.1`, … by the parameters of a layout: one after another. */
export function gradientArrays(
  layout: ParameterLayout,
  gradient: Float32Array,
): Record<string, Float32Array> {
  const shown = [...layout.shown(gradient).values()];
  return Object.fromEntries(shown.map(({ data }, i) => [gradientName(i), data]));
}
