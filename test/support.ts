import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { NdArray } from "../src/tensor/array.ts";

// What tests of all rooms share.

/** The numbers of an array. An output that is missing is an error, so that no test compares nothing with nothing. */
export function numbers(array: NdArray | undefined): number[] {
  if (array === undefined) throw new Error("there is no such array");
  return Array.from(array.data, Number);
}

/** The item of a list or a record that a test knows to be there. @throws Error where it is missing */
export function present<T>(value: T | undefined | null, what = "value"): T {
  if (value === undefined || value === null) throw new Error(`there is no ${what}`);
  return value;
}

/** The largest absolute difference between two arrays of the same length. @throws Error where lengths differ */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} and ${b.length} numbers`);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}

/** A fresh folder that the test removes. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "eidos-"));
}

/** Waits until something holds, however long that takes: only the limit of the test ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(20);
}

/** Names that strangers may give to classes, columns, categories and parts of a loss. */
export const NASTY_NAMES: readonly string[] = [
  "__proto__",
  "constructor",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "length",
  "",
  " ",
  " leading",
  "a\u0000b",
  "\u001b[31mred\u001b[0m",
  "\u009b31m",
  "a\u007fb",
  "two\nlines",
  "a\ttab",
  "<script>alert(1)</script>",
  "]]>&amp;<!--",
  "a\"b'c`",
  "a,b;c|d",
  "=1+1",
  "@SUM(A1)",
  "-2+3",
  "'=1",
  "'-5",
  "-5",
  "a.b[c]",
  "all classes",
  "true",
  "null",
  "1e3",
  "# no comment",
  "- item",
  "\u202eevil",
  "\u2028",
  "a\u2028b",
  "\ufeffmark",
  "\ufffe",
  "名前",
  "\ud800",
  "\udc00\ud800",
  "x".repeat(10_000),
];

/** One of these names, or any other text. */
export const nastyName: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...NASTY_NAMES),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({ unit: fc.constantFrom(..."'=+-@\t\n\r\"\\,;: #a1\u0000\u001b"), maxLength: 6 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 4 })
    .map((units) => String.fromCharCode(...units)),
);

/** Numbers of a TIFF: their bytes, and what TIFF calls their format. */
const TIFF_NUMBERS = {
  float: { size: 4, format: 3 },
  int16: { size: 2, format: 2 },
  uint32: { size: 4, format: 1 },
} as const;

export type TiffNumbers = keyof typeof TIFF_NUMBERS;

/** A square TIFF of one number each pixel, little-endian. */
export function tiff(pixels: readonly number[], kind: TiffNumbers = "float"): Buffer {
  const side = Math.sqrt(pixels.length);
  const { size, format } = TIFF_NUMBERS[kind];
  const bytes = size * pixels.length;
  const entries: readonly (readonly [tag: number, type: number, value: number])[] = [
    [256, 3, side],
    [257, 3, side],
    [258, 3, 8 * size],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 8],
    [277, 3, 1],
    [278, 3, side],
    [279, 4, bytes],
    [339, 3, format],
  ];
  const first = 8 + bytes;
  const file = Buffer.alloc(first + 2 + 12 * entries.length + 4);
  file.write("II");
  file.writeUInt16LE(42, 2);
  file.writeUInt32LE(first, 4);
  for (const [i, value] of pixels.entries()) {
    const at = 8 + size * i;
    if (kind === "float") file.writeFloatLE(value, at);
    else if (kind === "int16") file.writeInt16LE(value, at);
    else file.writeUInt32LE(value, at);
  }
  file.writeUInt16LE(entries.length, first);
  for (const [i, [tag, type, value]] of entries.entries()) {
    const at = first + 2 + 12 * i;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(1, at + 4);
    if (type === 3) file.writeUInt16LE(value, at + 8);
    else file.writeUInt32LE(value, at + 8);
  }
  return file;
}
