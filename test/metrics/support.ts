import { Random } from "../../src/random.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";

/** Normal samples, [count, dimensions]. */
export function gaussian(
  seed: number,
  count: number,
  dimensions: number,
  deviation = 1,
  mean = 0,
): NdArray<"float32"> {
  const data = new Float32Array(count * dimensions);
  new Random(seed).fillNormal(data);
  return float32(
    data.map((value) => mean + deviation * value),
    [count, dimensions],
  );
}

/** Rows of numbers as an array. */
export function matrix(rows: readonly (readonly number[])[]): NdArray<"float32"> {
  return float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
}
