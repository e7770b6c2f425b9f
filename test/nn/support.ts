import { readFileSync } from "node:fs";
import { readSafetensors, type Safetensors } from "../../src/nn/safetensors.ts";
import type { NdArray } from "../../src/tensor/array.ts";

const folder = new URL("../fixtures/nn/", import.meta.url);

export function fixtureBytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)));
}

export function fixtureJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(name, folder), "utf8"));
}

export function fixtureTensors(name: string): Safetensors {
  return readSafetensors(fixtureBytes(name), name);
}

/** A tensor that the fixture must hold. */
export function tensorOf(tensors: ReadonlyMap<string, NdArray>, name: string): NdArray {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`the fixture holds no ${name}`);
  return found;
}

/** Slice `i` of the first axis. */
export function batchAt(array: NdArray, i: number): NdArray {
  const shape = array.shape.slice(1);
  const size = shape.reduce((a, b) => a * b, 1);
  return { ...array, shape, data: array.data.slice(i * size, (i + 1) * size) } as NdArray;
}

export function numbers(array: NdArray): number[] {
  return Array.from(array.data, Number);
}

/** Largest |a − b| / max(1, |b|). */
export function largestError(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...actual.map(
      (value, i) => Math.abs(value - (expected[i] ?? Number.NaN)) / Math.max(1, Math.abs(expected[i] ?? 0)),
    ),
  );
}
