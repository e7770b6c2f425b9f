import type { NdArray } from "../tensor/array.ts";
import { nearestRows } from "./neighbors.ts";
import { areaUnderRoc, normalTail } from "./roc.ts";
import { comparableRows } from "./rows.ts";

export interface Memorization {
  /**
   * The probability that a generated sample lies nearer to the training set than a held-out sample does, ties counted
   * half. ½ for samples of the data's distribution; towards 1 for copies of training samples; below ½ for samples that lie
   * off the data.
   */
  readonly nearerShare: number;
  /** Standardized Mann–Whitney statistic of that share: above 0 where samples lie nearer. */
  readonly z: number;
  /** Probability of such a z or a higher one without memorization. */
  readonly pValue: number;
  /** Median distance of the generated samples to the training set, over that of the held-out samples. */
  readonly distanceRatio: number;
  /** Distance of each generated sample to the training set. */
  readonly distances: Float64Array;
  /** The training sample nearest to each generated one: for pictures beside each other. */
  readonly nearest: Uint32Array;
}

/**
 * Does a model repeat its training samples? Compares how near generated samples lie to the training set with how near
 * held-out samples of the same data do, by Euclidean distance to the nearest training sample (Meehan, Chaudhuri and
 * Dasgupta 2020, "A non-parametric test to detect data-copying in generative models", the global test: one cell). The
 * share is the area under the ROC curve of the distance.
 * @throws OptionError where the samples differ in size or are not finite, or a set is empty
 */
export function memorization(
  generated: NdArray<"float32">,
  training: NdArray<"float32">,
  heldOut: NdArray<"float32">,
): Memorization {
  const [samples, known] = comparableRows("memorization", generated, training);
  const [other] = comparableRows("memorization (held-out set first)", heldOut, training);
  const { distances, rows } = nearestRows(samples, known);
  const usual = nearestRows(other, known).distances;
  const [m, n] = [distances.length, usual.length];
  const labels = new Uint8Array(m + n).fill(1, 0, m);
  const nearness = Float64Array.from([...distances, ...usual], (distance) => -distance);
  const nearerShare = areaUnderRoc(nearness, labels);
  const z = (nearerShare - 0.5) / Math.sqrt((m + n + 1) / (12 * m * n));
  return {
    nearerShare,
    z,
    pValue: normalTail(z),
    distanceRatio: median(distances) / median(usual),
    distances,
    nearest: rows,
  };
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? 0) + (sorted[Math.floor(half)] ?? 0)) / 2;
}
