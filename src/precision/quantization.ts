import type { Values } from "./edit.ts";
import { axisIndex } from "./fold.ts";

// Whole numbers of 8 bits in place of floats, as ONNX Runtime's own tools choose them (its documentation: "Quantize ONNX Models"; Jacob et al. 2018,
// arXiv:1712.05877): a float is scale · (whole number − zero point).

/** The smallest and largest of values. */
export interface Range {
  readonly minimum: number;
  readonly maximum: number;
}

/** How floats of a value become whole numbers 0 … 255. */
export interface ActivationScale {
  readonly scale: number;
  /** The whole number that 0 becomes. */
  readonly zeroPoint: number;
}

/** Whole numbers that weights become go from minus this to this. */
export const WEIGHT_LEVELS = {
  /** Where they stand for floats alone. */
  stored: 127,
  /**
   * Where products are made of them: a processor without VNNI sums two products of bytes in 16 bits, which 127 · 255 · 2 would overflow. With 64 all
   * processors make the same sums (ONNX Runtime's `reduce_range`).
   */
  multiplied: 64,
} as const;

/** The scale of activations, which has 0 among its numbers exactly. */
export function activationScale({ minimum, maximum }: Range): ActivationScale {
  const [least, most] = [Math.min(0, minimum), Math.max(0, maximum)];
  // Everything is 0, or so near to it that 32 bits have no scale for it.
  const scale = Math.fround((most - least) / 255);
  if (scale < 2 ** -126) return { scale: 1, zeroPoint: 0 };
  return { scale, zeroPoint: Math.max(0, Math.min(255, roundToEven(-least / scale))) };
}

/** The nearest whole number, of two equally near ones the even one, as ONNX rounds. */
export function roundToEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** Weights as whole numbers, a scale for each output. */
export interface QuantizedWeights {
  readonly values: Int8Array;
  /** By index along the axis. */
  readonly scales: Float32Array;
}

/** Weights as whole numbers −levels … levels, 0 for 0. @param axis along which the outputs lie */
export function quantizedWeights({ data, shape }: Values, axis: number, levels: number): QuantizedWeights {
  const channel = axisIndex(shape, axis);
  const largest = new Float32Array(shape[axis] ?? 1);
  for (const [i, value] of data.entries()) {
    largest[channel(i)] = Math.max(largest[channel(i)] ?? 0, Math.abs(value));
  }
  const scales = largest.map((value) => {
    const scale = Math.fround(value / levels);
    return scale < 2 ** -126 ? 1 : scale;
  });
  const values = Int8Array.from(data, (value, i) =>
    Math.max(-levels, Math.min(levels, roundToEven(value / (scales[channel(i)] ?? 1)))),
  );
  return { values, scales };
}

/** The largest whole number of 32 bits. */
const LARGEST_INT = 2 ** 31 - 1;

/** A bias as whole numbers of 32 bits, in units of the products that it is added to; undefined where one would be too large. */
export function quantizedBias(
  bias: Float32Array,
  input: number,
  weights: Float32Array,
): { readonly values: Int32Array; readonly scales: Float32Array } | undefined {
  const scales = weights.map((scale) => scale * input);
  const values = Array.from(bias, (value, i) => roundToEven(value / (scales[i] ?? 1)));
  const fit = values.every((value) => Math.abs(value) <= LARGEST_INT);
  return fit && scales.every((scale) => scale >= 2 ** -126)
    ? { values: Int32Array.from(values), scales }
    : undefined;
}
