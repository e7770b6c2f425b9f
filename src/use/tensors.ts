import type { ExportedPort } from "../model/exported.ts";

/** Types of inputs and outputs. */
export type TensorType = ExportedPort["type"];

/** Values of an input or output, row-major. */
export interface Values {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array | Uint8Array | readonly string[];
}

const ARRAYS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array } as const;

/** Numbers or texts as values of a type. */
export function valuesOf(
  type: TensorType,
  cells: ArrayLike<number | string>,
  shape: readonly number[] = [cells.length],
): Values {
  if (type === "string") return { type, shape, data: Array.from(cells, String) };
  if (type === "int64") {
    return { type, shape, data: BigInt64Array.from(Array.from(cells, (cell) => BigInt(cell))) };
  }
  return { type, shape, data: ARRAYS[type].from(cells as ArrayLike<number>) };
}

/** Values as numbers. */
export function numbersOf({ data }: Values): ArrayLike<number> {
  return data instanceof BigInt64Array || Array.isArray(data)
    ? Array.from<bigint | string, number>(data, Number)
    : (data as Float32Array | Float64Array | Uint8Array);
}

/** How many numbers an array of a shape has. */
export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, side) => product * side, 1);
