import { ELEMENT_BYTES, type StoredType } from "./elements.ts";

// Values of a pickle of PyTorch, and the names of operations that make others.

/** What stands in a pickle of PyTorch. Texts are strings, whole numbers beyond 2^53 are bigints. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickledList
  | PickledDict
  | PickledTensor
  | PickledStorage
  | PickledGlobal;

/** A list or a tuple. It may hold itself. */
export interface PickledList {
  readonly kind: "list" | "tuple";
  readonly items: Pickled[];
}

/** A dictionary. It may hold itself. */
export interface PickledDict {
  readonly kind: "dict";
  readonly entries: Map<string | number | bigint | boolean | null, Pickled>;
}

/** Numbers in the file, of one type, that tensors are views of. */
export interface PickledStorage {
  readonly kind: "storage";
  readonly key: string;
  readonly dtype: StoredType;
  /** Number of elements. */
  readonly count: number;
}

/** A view of a storage, whose every element lies in it; in elements, not bytes. */
export interface PickledTensor {
  readonly kind: "tensor";
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** One of the few names that a pickle may use. */
export interface PickledGlobal {
  readonly kind: "global";
  readonly name: string;
  readonly dtype?: StoredType;
}

/** Axes of a tensor at most, as in PyTorch. */
const MOST_AXES = 64;

/** Bytes of a storage. */
export function byteCount({ dtype, count }: PickledStorage): number {
  return count * ELEMENT_BYTES[dtype];
}

function hasKind(value: Pickled | undefined, ...kinds: readonly string[]): boolean {
  return typeof value === "object" && value !== null && kinds.includes(value.kind);
}

export function isDict(value: Pickled | undefined): value is PickledDict {
  return hasKind(value, "dict");
}

export function isList(value: Pickled | undefined): value is PickledList {
  return hasKind(value, "list", "tuple");
}

export function isTensor(value: Pickled | undefined): value is PickledTensor {
  return hasKind(value, "tensor");
}

export function isStorage(value: Pickled | undefined): value is PickledStorage {
  return hasKind(value, "storage");
}

export function isGlobal(value: Pickled | undefined): value is PickledGlobal {
  return hasKind(value, "global");
}

/** Lengths or strides, copied: a list may still change. Undefined where they are none, or too many. */
export function sizesOf(value: Pickled | undefined): readonly number[] | undefined {
  if (!isList(value) || value.items.length > MOST_AXES) return undefined;
  const sizes = value.items.filter(isSize);
  return sizes.length === value.items.length ? sizes : undefined;
}

/** A length or a stride. */
export function isSize(value: Pickled | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Names of operations that are not run here, for messages. */
export const OTHER_OPERATIONS: Readonly<Record<number, string>> = {
  48: "POP",
  49: "POP_MARK",
  50: "DUP",
  66: "BINBYTES",
  67: "SHORT_BINBYTES",
  70: "FLOAT",
  73: "INT",
  76: "LONG",
  80: "PERSID",
  83: "STRING",
  86: "UNICODE",
  100: "DICT",
  103: "GET",
  105: "INST",
  108: "LIST",
  111: "OBJ",
  112: "PUT",
  129: "NEWOBJ",
  130: "EXT1",
  131: "EXT2",
  132: "EXT4",
  142: "BINBYTES8",
  143: "ADDITEMS",
  144: "FROZENSET",
  145: "EMPTY_SET",
  146: "NEWOBJ_EX",
  150: "BYTEARRAY8",
  151: "NEXT_BUFFER",
  152: "READONLY_BUFFER",
};
