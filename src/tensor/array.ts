/** Element types of tensors. float64 is for checks where the runtime has kernels. */
export type DType = "float32" | "float64" | "int64" | "bool";

/** The typed array that holds values of each dtype (bool as bytes 0 and 1). */
export interface DataOf {
  readonly float32: Float32Array;
  readonly float64: Float64Array;
  readonly int64: BigInt64Array;
  readonly bool: Uint8Array;
}

/** Concrete values: row-major data with a shape. What goes into and comes out of programs, files and data sets. */
export interface NdArray<D extends DType = DType> {
  /** Always absent: separates arrays from values of a runtime (`Value` of eidos/program), whose kind is "runtime". */
  readonly kind?: undefined;
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataOf[D];
}

/** Number of elements of a concrete shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Wraps numbers as a float32 array.
 * @throws RangeError where the number of values is not that of the shape.
 */
export function float32(data: ArrayLike<number>, shape: readonly number[]): NdArray<"float32"> {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(`float32: ${data.length} values cannot fill shape [${shape}]`);
  }
  return { dtype: "float32", shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

/** Wraps integers as an int64 array; RangeError as `float32`. */
export function int64(data: ArrayLike<number>, shape: readonly number[]): NdArray<"int64"> {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(`int64: ${data.length} values cannot fill shape [${shape}]`);
  }
  return { dtype: "int64", shape, data: BigInt64Array.from(Array.from(data, (value) => BigInt(value))) };
}

const CONSTRUCTORS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, bool: Uint8Array };

/** An array of zeros. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): NdArray<D> {
  return { dtype, shape, data: new CONSTRUCTORS[dtype](elementCount(shape)) as DataOf[D] };
}
