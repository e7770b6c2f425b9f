import { type Dim, type Tensor, uniform } from "../../tensor/index.ts";

// Random numbers of which each sample of a batch has its own. They are leaves of the graph, which the runtime fills.

/** Uniforms between two numbers, [n]. */
export function between(n: Dim, low: number, high: number): Tensor {
  return uniform([n])
    .mul(high - low)
    .add(low);
}

/** 1 with this probability and 0 otherwise, [n] in float32. */
export function chosen(n: Dim, probability: number): Tensor {
  return uniform([n]).less(probability).cast("float32");
}

/** One number a sample, [n], shaped to stand beside tensors of this rank: [n, 1, …]. */
export function perSample(values: Tensor, rank: number): Tensor {
  return values.reshape([values.shape[0] ?? 1, ...new Array<number>(rank - 1).fill(1)]);
}
