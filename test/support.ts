import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
