import { DataError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { elementCount } from "../../tensor/array.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

const DESCRIPTORS = { float32: "<f4", float64: "<f8", int64: "<i8", bool: "|b1" } as const;

const ITEM_SIZES: ReadonlyMap<string, number> = new Map([
  ["<f4", 4],
  ["<f8", 8],
  ["<i8", 8],
  ["|b1", 1],
  ["|u1", 1],
]);

/** The beginning of an .npy file of that type and shape, behind which its values stand in C order. */
export function npyHeader(dtype: NdArray["dtype"], shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${DESCRIPTORS[dtype]}', 'fortran_order': False, 'shape': (${sides}), }`;
  // The header with the 10 bytes before it fills whole blocks of 64 and ends in a newline.
  const header = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length);
  bytes.set([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  return bytes;
}

/** An array in NumPy's `.npy` format, version 1.0 (NEP 1): row-major, little-endian. */
export function encodeNpy(array: NdArray): Uint8Array<ArrayBuffer> {
  const header = npyHeader(array.dtype, array.shape);
  const values = new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength);
  const bytes = new Uint8Array(header.length + values.length);
  bytes.set(header);
  bytes.set(values, header.length);
  return bytes;
}

/** What the beginning of an `.npy` file says. */
export interface NpyHeader {
  /** Where the values begin. */
  readonly start: number;
  readonly shape: readonly number[];
  readonly descriptor: string;
  /** Bytes of a value. */
  readonly itemSize: number;
}

/**
 * Reads the header of an array in `.npy` format, versions 1 to 3.
 * @param bytes the beginning of the file, or all of it
 * @param where names the file in error messages
 * @throws DataError where the bytes do not begin as such a file, or its values are of another type than is read here
 */
export function readNpyHeader(bytes: Uint8Array, where = "npy data"): NpyHeader {
  const broken = (what: string) => new DataError(`${where}: not a readable .npy file: ${what}`);
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte))
    throw broken("it does not begin like one");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6] ?? 0;
  if (version < 1 || version > 3 || bytes.length < 12) throw broken(`unknown version ${version}`);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + length > bytes.length) throw broken("it ends within its header");
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const descriptor = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1];
  const dimensions = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(header)?.[1];
  if (descriptor === undefined || dimensions === undefined) throw broken("its header cannot be read");
  if (!/'fortran_order'\s*:\s*False/.test(header)) throw broken("it is in Fortran order; save it in C order");
  const itemSize = ITEM_SIZES.get(descriptor);
  if (itemSize === undefined) {
    throw broken(
      `element type ${descriptor} is not supported; save it as float32, float64, int64, bool or uint8`,
    );
  }
  const shape = dimensions.split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]));
  return { start: start + length, shape, descriptor, itemSize };
}

/**
 * Reads an array in `.npy` format, versions 1 to 3, of float32, float64, int64 or bool; bytes (`uint8`) become float32.
 * @param where names the file in error messages
 * @throws DataError where the bytes are no such file, or are not as long as their header states.
 */
export function decodeNpy(bytes: Uint8Array, where = "npy data"): NdArray {
  const broken = (what: string) => new DataError(`${where}: not a readable .npy file: ${what}`);
  const { start, shape, descriptor, itemSize } = readNpyHeader(bytes, where);
  const expected = elementCount(shape) * itemSize;
  const found = bytes.length - start;
  if (!Number.isSafeInteger(expected)) throw broken(`shape (${shape}) has more elements than can be counted`);
  if (found !== expected) throw broken(`shape (${shape}) takes ${expected} bytes, the file has ${found}`);
  // A copy, since the file's bytes need not be aligned to the elements; the slice of a Node Buffer would share memory.
  const values = Uint8Array.prototype.slice.call(bytes, start).buffer;
  switch (descriptor) {
    case "<f4":
      return { dtype: "float32", shape, data: new Float32Array(values) };
    case "<f8":
      return { dtype: "float64", shape, data: new Float64Array(values) };
    case "<i8":
      return { dtype: "int64", shape, data: new BigInt64Array(values) };
    case "|b1":
      return { dtype: "bool", shape, data: new Uint8Array(values) };
    default:
      return { dtype: "float32", shape, data: Float32Array.from(new Uint8Array(values)) };
  }
}
