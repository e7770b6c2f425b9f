import { inflateSync } from "node:zlib";
import { DataError } from "../../../errors.ts";
import { reasonOf } from "../image.node.ts";

// MATLAB's files of Level 5, as far as WIDER FACE's lists need them: cells of cells, numbers and texts. "MAT-File Format" of MathWorks
// has the format.

/** What a file holds under a name; of other kinds of values nothing is read. */
export type MatValue =
  | { readonly kind: "cells"; readonly items: readonly MatValue[] }
  /** Column after column. */
  | { readonly kind: "numbers"; readonly rows: number; readonly values: Float64Array }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "other" };

const HEADER_BYTES = 128;
const MATRIX = 14;
const COMPRESSED = 15;
const UTF8 = 16;
const UTF16 = 17;

/** Bytes that a compressed value has at most when it is unpacked. */
const MOST_BYTES = 512e6;
/** Cells within cells. */
const DEEPEST = 8;

const CELL = 1;
const CHARACTERS = 4;
/** Classes of numbers: double, single, and whole numbers of 8 to 64 bits. */
const isNumeric = (kind: number): boolean => kind >= 6 && kind <= 15;

type ReadNumber = (view: DataView, at: number, little: boolean) => number;

/** How numbers are stored, by the type of an element: bytes of each, and how one is read. */
const STORED: Readonly<Record<number, readonly [bytes: number, read: ReadNumber]>> = {
  1: [1, (view, at) => view.getInt8(at)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [2, (view, at, little) => view.getInt16(at, little)],
  4: [2, (view, at, little) => view.getUint16(at, little)],
  5: [4, (view, at, little) => view.getInt32(at, little)],
  6: [4, (view, at, little) => view.getUint32(at, little)],
  7: [4, (view, at, little) => view.getFloat32(at, little)],
  9: [8, (view, at, little) => view.getFloat64(at, little)],
  12: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  13: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};

/** An element of a file: a type and the bytes of its content. */
interface Element {
  readonly type: number;
  readonly content: Uint8Array;
  /** Where the next one begins. */
  readonly next: number;
}

/** A part of a file. */
class Part {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly little: boolean;
  private readonly file: string;

  constructor(bytes: Uint8Array, little: boolean, file: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.little = little;
    this.file = file;
  }

  of(bytes: Uint8Array): Part {
    return new Part(bytes, this.little, this.file);
  }

  fail(why: string): never {
    throw new DataError(`${this.file}: ${why}; the file is damaged, or no MAT-file of Level 5`);
  }

  element(at: number): Element {
    const { bytes, view, little } = this;
    if (at + 8 > bytes.length) this.fail(`it ends in the middle of a value`);
    const word = view.getUint32(at, little);
    // A small element has its size in the upper half of its first word, and its content in the second one.
    const small = word >>> 16;
    const [type, size, begin] =
      small > 0 ? [word & 0xffff, small, at + 4] : [word, view.getUint32(at + 4, little), at + 8];
    if (small > 4) this.fail(`a small value of ${small} bytes`);
    if (begin + size > bytes.length) this.fail(`it ends in the middle of a value`);
    const padded = type === COMPRESSED ? size : Math.ceil(size / 8) * 8;
    return { type, content: bytes.subarray(begin, begin + size), next: small > 0 ? at + 8 : begin + padded };
  }

  /** The elements of a part, one after the other. */
  *elements(): Generator<Element> {
    for (let at = 0; at < this.bytes.length; ) {
      const element = this.element(at);
      yield element;
      at = element.next;
    }
  }

  /** The numbers of an element. */
  numbers({ type, content }: Element): Float64Array {
    const stored = STORED[type];
    if (stored === undefined) this.fail(`numbers of type ${type}`);
    const [bytes, read] = stored;
    const { view } = this.of(content);
    return Float64Array.from({ length: Math.floor(content.length / bytes) }, (_, i) =>
      read(view, i * bytes, this.little),
    );
  }

  /** The text of an element. */
  text(element: Element): string {
    if (element.type === UTF8) return new TextDecoder().decode(element.content);
    const codes = element.type === UTF16 ? this.numbers({ ...element, type: 4 }) : this.numbers(element);
    return Array.from(codes, (code) => String.fromCharCode(code)).join("");
  }
}

/** Reads a value: flags, dimensions, name, and what its class has. */
function readMatrix(part: Part, depth: number): { readonly name: string; readonly value: MatValue } {
  const none = { kind: "numbers", rows: 0, values: new Float64Array() } as const;
  if (part.bytes.length === 0) return { name: "", value: none };
  const flags = part.element(0);
  const sizes = part.element(flags.next);
  const named = part.element(sizes.next);
  const kind = (part.numbers(flags)[0] ?? 0) & 0xff;
  const [rows = 0, ...others] = part.numbers(sizes);
  const count = others.reduce((product, size) => product * size, rows);
  const name = part.text(named);
  if (kind === CELL) {
    if (depth === DEEPEST) part.fail(`cells in cells, more than ${DEEPEST} deep`);
    const items: MatValue[] = [];
    let at = named.next;
    for (let i = 0; i < count; i++) {
      const { type, content, next } = part.element(at);
      if (type !== MATRIX) part.fail(`a cell with a value of type ${type}`);
      items.push(readMatrix(part.of(content), depth + 1).value);
      at = next;
    }
    return { name, value: { kind: "cells", items } };
  }
  if (kind !== CHARACTERS && !isNumeric(kind)) return { name, value: { kind: "other" } };
  const content = part.element(named.next);
  if (kind === CHARACTERS) return { name, value: { kind: "text", text: part.text(content) } };
  const values = part.numbers(content);
  if (values.length !== count) part.fail(`${values.length} numbers where ${count} are stated`);
  return { name, value: { kind: "numbers", rows, values } };
}

/** An element as it is unpacked. */
function unpacked(part: Part, element: Element): Element {
  if (element.type !== COMPRESSED) return element;
  try {
    return part.of(inflateSync(element.content, { maxOutputLength: MOST_BYTES })).element(0);
  } catch (error) {
    if (error instanceof DataError) throw error;
    part.fail(`a value that cannot be unpacked (${reasonOf(error)})`);
  }
}

/**
 * The values of a MAT-file of Level 5 (MATLAB's `save` up to `-v7`) by their names.
 * @param file what messages call it
 * @throws DataError where it is none, or damaged
 */
export function readMat(bytes: Uint8Array, file: string): ReadonlyMap<string, MatValue> {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, HEADER_BYTES));
  const order = head.slice(126, 128);
  if (head.startsWith("MATLAB 7.3")) {
    throw new DataError(`${file}: a MAT-file of version 7.3; write it again with save(…, "-v7")`);
  }
  if (order !== "IM" && order !== "MI") throw new DataError(`${file}: no MAT-file of Level 5`);
  const whole = new Part(bytes.subarray(HEADER_BYTES), order === "IM", file);
  const values = new Map<string, MatValue>();
  for (const element of whole.elements()) {
    const { type, content } = unpacked(whole, element);
    if (type !== MATRIX) continue;
    const { name, value } = readMatrix(whole.of(content), 0);
    values.set(name, value);
  }
  return values;
}
