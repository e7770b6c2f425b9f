import type { DataSet, SplitName } from "../data/sources/data-set.ts";
import { randomRows } from "../data/sources/views.ts";
import { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";

/**
 * Where samples of a model from one data set to another begin: samples of the source at random, of its test split where
 * that has any. Undefined for data without a source.
 */
export function sourceOfData(
  { source }: DataSet,
  { count, seed }: { readonly count: number; readonly seed: number },
): NdArray<"float32"> | undefined {
  if (source === undefined) return undefined;
  const name: SplitName = source.splits.test.count > 0 ? "test" : "train";
  return randomRows(source.splits[name], count, new Random(seed).split("source"));
}
