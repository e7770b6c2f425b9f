import type { OddRow } from "eidos/serve";

// Scores, and their order.

/** What an answer of the server has of scores. */
export interface Scored {
  readonly logLikelihood: readonly (number | null)[];
  readonly why?: readonly OddRow[];
}

/** Positions of scores, the least likely first; null is less than any. */
export function oddestFirst(scores: readonly (number | null)[]): readonly number[] {
  const value = (i: number): number => scores[i] ?? Number.NEGATIVE_INFINITY;
  return scores.map((_, i) => i).sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a - b));
}
