import { z } from "zod";
import { WeightsError } from "../errors.ts";
import { type DType, elementCount, type NdArray } from "../tensor/array.ts";
import { decodeElements, ELEMENT_BYTES, type StoredType } from "./elements.ts";

// The safetensors format (https://github.com/huggingface/safetensors#format): eight bytes with the length of a JSON
// header, the header, then the tensors' bytes, little-endian, without gaps.

/** Tensors by name, with free texts beside them. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, NdArray>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The most bytes of a header, some 100,000 tensors. The format allows ten times as many, which take half a minute to look through. */
const HEADER_LIMIT = 10_000_000;

/** What eidos reads of the format's dtypes. */
const READ: readonly StoredType[] = ["F64", "F32", "F16", "BF16", "I64", "BOOL"];

const STORED_TYPE: Readonly<Record<DType, StoredType>> = {
  float64: "F64",
  float32: "F32",
  int64: "I64",
  bool: "BOOL",
};

const METADATA = "__metadata__ must map texts to texts";

const size = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(size).max(64),
  data_offsets: z.tuple([size, size]),
});

interface Entry {
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a safetensors file. F16 and BF16 become float32. Every length and offset is checked before memory is taken, and
 * the arrays are copies that share nothing with `bytes`.
 * @param fileName named in errors
 * @throws WeightsError where the file is truncated, corrupted, or holds a dtype that eidos does not use
 */
export function readSafetensors(bytes: Uint8Array, fileName: string): Safetensors {
  const fail = (why: string): never => {
    // Names of tensors may be of any length.
    throw new WeightsError(`${fileName}: ${why.length > 500 ? `${why.slice(0, 500)}…` : why}`);
  };
  if (bytes.length < 8) fail(`${bytes.length} bytes are too few for a safetensors file`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(HEADER_LIMIT) && headerLength <= BigInt(bytes.length - 8)) {
    fail(`the header has ${headerLength} bytes, where ${HEADER_LIMIT} are read at most`);
  }
  if (headerLength > BigInt(bytes.length - 8)) {
    fail(
      `the header should have ${headerLength} bytes, the file has ${bytes.length}; truncated or no safetensors`,
    );
  }
  const dataStart = 8 + Number(headerLength);
  const header = parseHeader(bytes.subarray(8, dataStart), fail);
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => checkEntry(name, value, fail));
  checkLayout(entries, bytes.length - dataStart, fail);
  const tensors = new Map<string, NdArray>();
  for (const entry of entries) {
    // The slice of a Uint8Array copies; that of a Node Buffer, which is one too, would share memory.
    const copy = Uint8Array.prototype.slice.call(bytes, dataStart + entry.begin, dataStart + entry.end);
    tensors.set(entry.name, decodeElements(entry.dtype, entry.shape, copy));
  }
  return { tensors, metadata: checkMetadata(header.__metadata__ ?? {}, fail) };
}

function checkMetadata(value: unknown, fail: (why: string) => never): Record<string, string> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : fail(METADATA);
  const texts = entries.map(([key, text]): [string, string] => [
    key,
    typeof text === "string" ? text : fail(METADATA),
  ]);
  return Object.fromEntries(texts);
}

function parseHeader(bytes: Uint8Array, fail: (why: string) => never): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return fail("the header is not JSON; the file is corrupted or no safetensors");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("the header is not a JSON object");
  }
  return header as Record<string, unknown>;
}

function checkEntry(name: string, value: unknown, fail: (why: string) => never): Entry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return fail(`tensor ${name}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "malformed"}`);
  }
  const { dtype, shape, data_offsets } = parsed.data;
  const stored = READ.find((known) => known === dtype);
  if (stored === undefined) {
    return fail(`tensor ${name}: dtype ${dtype} is not one of ${READ.join(", ")}`);
  }
  const [begin, end] = data_offsets;
  const length = elementCount(shape) * ELEMENT_BYTES[stored];
  if (!Number.isSafeInteger(length) || end - begin !== length) {
    return fail(
      `tensor ${name}: ${dtype} [${shape}] needs ${length} bytes, its offsets are ${begin} to ${end}`,
    );
  }
  return { name, dtype: stored, shape, begin, end };
}

/** Tensors must fill the data without gap or overlap. */
function checkLayout(entries: readonly Entry[], available: number, fail: (why: string) => never): void {
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== position) {
      fail(
        `tensor ${name}: begins at byte ${begin} of the data, ${begin < position ? "inside another" : "after a gap"}`,
      );
    }
    if (end > available) {
      fail(`tensor ${name}: ends at byte ${end}, the data has ${available}; the file is truncated`);
    }
    position = end;
  }
  if (position !== available) fail(`${available - position} bytes after the last tensor belong to none`);
}

/**
 * The texts beside the tensors of a safetensors file, of which only the header is read.
 * @param read bytes of the file: from a position, so many
 * @param size bytes of the file
 * @param fileName named in errors
 * @throws WeightsError where the header is truncated or damaged
 */
export async function readSafetensorsMetadata(
  read: (position: number, length: number) => Promise<Uint8Array>,
  size: number,
  fileName: string,
): Promise<Readonly<Record<string, string>>> {
  const fail = (why: string): never => {
    throw new WeightsError(`${fileName}: ${why.length > 500 ? `${why.slice(0, 500)}…` : why}`);
  };
  if (size < 8) fail(`${size} bytes are too few for a safetensors file`);
  const first = await read(0, 8);
  const length = new DataView(first.buffer, first.byteOffset, first.byteLength).getBigUint64(0, true);
  if (length > BigInt(Math.min(HEADER_LIMIT, size - 8))) {
    fail(`the header should have ${length} bytes, the file has ${size}; truncated or no safetensors`);
  }
  return checkMetadata(parseHeader(await read(8, Number(length)), fail).__metadata__ ?? {}, fail);
}

/**
 * Writes tensors as a safetensors file that any reader of the format takes.
 * @throws WeightsError where a tensor is called `__metadata__` or has another number of elements than its shape
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, NdArray>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  // Wide elements first, so that every tensor begins at a multiple of its element size.
  const ordered = [...tensors].sort(([, a], [, b]) => bytesOf(b) - bytesOf(a));
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [["__metadata__", metadata]] : [];
  let position = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (name === "__metadata__")
      throw new WeightsError("a tensor cannot be called __metadata__ in a safetensors file");
    if (data.length !== elementCount(shape)) {
      throw new WeightsError(`tensor ${name}: ${data.length} values cannot fill shape [${shape}]`);
    }
    const end = position + data.byteLength;
    entries.push([name, { dtype: STORED_TYPE[dtype], shape, data_offsets: [position, end] }]);
    position = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // Spaces bring the data to a multiple of eight bytes.
  const headerLength = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + position);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8, 8 + headerLength);
  bytes.set(text, 8);
  let offset = 8 + headerLength;
  for (const [, { data }] of ordered) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return bytes;
}

function bytesOf({ dtype }: NdArray): number {
  return ELEMENT_BYTES[STORED_TYPE[dtype]];
}
