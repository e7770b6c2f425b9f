import type { DataInfo } from "../nn/model.ts";
import { elementCount, float32, type NdArray } from "../tensor/index.ts";

/** Pixels, or rows of vectors, that are integrated at once. */
const PART_PIXELS = 128 * 28 * 28;
const PART_ROWS = 8192;

/** How many samples of some data are integrated at once. */
export function partLimit({ kind, sampleShape }: Pick<DataInfo, "kind" | "sampleShape">): number {
  if (kind !== "image") return PART_ROWS;
  return Math.max(1, Math.floor(PART_PIXELS / elementCount(sampleShape.slice(1))));
}

/** Makes results for the rows at some positions, one after the other: [positions, …]. */
export type RowsPart = (
  positions: readonly number[],
  /** Reports the share of this part that is done. */
  report: (share: number) => void,
) => Promise<NdArray<"float32">>;

/**
 * Does `count` rows in parts of equal size, at most `limit` each, so that one compiled program serves all of them: the last is
 * filled up with its last row and cut.
 * @param shape of a row's result
 */
export async function inParts(
  count: number,
  { limit, shape }: { readonly limit: number; readonly shape: readonly number[] },
  part: RowsPart,
  onProgress?: (share: number) => void,
): Promise<NdArray<"float32">> {
  const size = elementCount(shape);
  const data = new Float32Array(count * size);
  const parts = Math.ceil(count / limit);
  const rows = parts === 0 ? 0 : Math.ceil(count / parts);
  for (let k = 0; k < parts; k++) {
    const first = k * rows;
    const positions = Array.from({ length: rows }, (_, i) => Math.min(first + i, count - 1));
    const done = await part(positions, (share) => onProgress?.((k + share) / parts));
    data.set(done.data.subarray(0, Math.min(rows, count - first) * size), first * size);
    onProgress?.((k + 1) / parts);
  }
  return float32(data, [count, ...shape]);
}

/** The rows of an array [n, …] at some positions. */
export function rowsAt(
  { data, shape }: NdArray<"float32">,
  positions: readonly number[],
): NdArray<"float32"> {
  const size = elementCount(shape.slice(1));
  const picked = new Float32Array(positions.length * size);
  for (const [i, at] of positions.entries()) picked.set(data.subarray(at * size, (at + 1) * size), i * size);
  return float32(picked, [positions.length, ...shape.slice(1)]);
}

/** An array times a number. */
export function scaled({ data, shape }: NdArray<"float32">, factor: number): NdArray<"float32"> {
  return float32(factor === 1 ? data : data.map((value) => factor * value), shape);
}
