import type { NdArray } from "../tensor/array.ts";

// Elements as files of weights store them, little-endian, and the arrays that become of them.

/** Bytes of an element, by safetensors' names. */
export const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
/** Bytes of an element of the array that becomes of it. */
export const ARRAY_BYTES: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 4,
  BF16: 4,
  I64: 8,
  I32: 8,
  I16: 8,
  I8: 8,
  U8: 8,
  BOOL: 1,
};

export type StoredType = keyof typeof ELEMENT_BYTES;

/**
 * The array of stored elements. F16 and BF16 become float32, smaller integers int64.
 * @param bytes a copy, so that it begins at a multiple of the element size and nothing else refers to it
 */
export function decodeElements(
  dtype: StoredType,
  shape: readonly number[],
  bytes: Uint8Array<ArrayBuffer>,
): NdArray {
  switch (dtype) {
    case "F32":
      return { dtype: "float32", shape, data: new Float32Array(bytes.buffer) };
    case "F64":
      return { dtype: "float64", shape, data: new Float64Array(bytes.buffer) };
    case "I64":
      return { dtype: "int64", shape, data: new BigInt64Array(bytes.buffer) };
    case "I32":
      return wholes(new Int32Array(bytes.buffer), shape);
    case "I16":
      return wholes(new Int16Array(bytes.buffer), shape);
    case "I8":
      return wholes(new Int8Array(bytes.buffer), shape);
    case "U8":
      return wholes(bytes, shape);
    case "BOOL":
      return { dtype: "bool", shape, data: bytes.map((value) => (value === 0 ? 0 : 1)) };
    case "F16":
      return {
        dtype: "float32",
        shape,
        data: Float32Array.from(new Uint16Array(bytes.buffer), halfToNumber),
      };
    case "BF16": {
      // A bfloat16 is the upper half of a float32.
      const words = Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16);
      return { dtype: "float32", shape, data: new Float32Array(words.buffer) };
    }
  }
}

function wholes(values: Int32Array | Int16Array | Int8Array | Uint8Array, shape: readonly number[]): NdArray {
  const data = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i] ?? 0);
  return { dtype: "int64", shape, data };
}

/** An IEEE 754 half: sign, five bits of exponent, ten of fraction. */
function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = (half & 1023) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}
