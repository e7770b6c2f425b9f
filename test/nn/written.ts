import { Linear } from "../../src/nn/linear.ts";
import { initialState } from "../../src/nn/module.ts";
import { BatchNorm1d } from "../../src/nn/normalization.ts";
import { writeSafetensors } from "../../src/nn/safetensors.ts";
import { float32, int64, type NdArray } from "../../src/tensor/array.ts";

/** The file whose bytes Python's safetensors was shown; make.py says what it must hold. */
export function writtenByEidos(): Uint8Array<ArrayBuffer> {
  // Parts of a torch.nn.Sequential are called 0, 1, …
  const model = { model: [new Linear(3, 2), new BatchNorm1d(2)] };
  const tensors = new Map<string, NdArray>([
    ["bool", { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) }],
    ["float32", float32([0, 0.5, 1, 1.5, 2, 2.5], [2, 3])],
    ["float64", { dtype: "float64", shape: [1], data: Float64Array.of(1 / 3) }],
    ["int64", { ...int64([0, -7], [2]), data: BigInt64Array.of(2n ** 62n, -7n) }],
    ["scalar", float32([3.5], [])],
    ["empty", float32([], [0, 4])],
    ...initialState(model, 0),
  ]);
  return writeSafetensors(tensors, { format: "pt", note: "schöne Grüße" });
}
