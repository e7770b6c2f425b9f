import { sizeAt } from "../../tensor/graph.ts";
import { logicalAnd, slice, type Tensor, topK, where } from "../../tensor/index.ts";
import type { Matches } from "./matching.ts";

/** How many candidates of an image are learnt from. */
export interface SamplingOptions {
  /** Candidates of an image. */
  readonly count: number;
  /** How many of them are positive at most. */
  readonly positives: number;
}

/** Some of the candidates of each image. Positive ones stand in front. */
export interface SampledRows {
  /** Numbers of the candidates, [n, count] (int64); any where there are too few. */
  readonly indices: Tensor;
  /** Whether a row is a positive candidate, [n, count] (bool). */
  readonly positive: Tensor;
  /** Whether a row is a candidate at all, [n, count] (bool). */
  readonly taken: Tensor;
  /** Rows in which positive ones can stand: the first so many. */
  readonly positives: number;
}

/**
 * A random sample of candidates with a bounded share of positive ones (Ren et al. 2015, section 3.1.3): so many positive ones as there
 * are, at most `positives`, and negative ones up to `count`. Those with the largest keys are taken; with uniform keys, each subset is as likely
 * as another.
 * @param keys [n, k], 0 … 1, a number for each candidate
 */
export function sampleRows(
  { positive, negative }: Pick<Matches, "positive" | "negative">,
  keys: Tensor,
  options: SamplingOptions,
): SampledRows {
  const size = sizeAt("sampleRows", keys, 1);
  const [count, positives] = [Math.min(options.count, size), Math.min(options.positives, size)];
  const own = where(positive, keys, -1);
  const least = slice(topK(own, positives).values, 1, positives - 1);
  const chosen = logicalAnd(positive, own.greaterEqual(least));
  // Positive ones have ranks from 1 on, negative ones from 0 on; all others stand behind.
  const ranks = where(chosen, keys.add(1), where(negative, keys, -1));
  const { values, indices } = topK(ranks, count);
  return {
    indices,
    positive: values.greaterEqual(1),
    taken: values.greaterEqual(0),
    positives: Math.min(positives, count),
  };
}
