export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** How often `mine` goes into `theirs`, the median over rounds that were done side by side. */
export function medianRatio(theirs: readonly number[], mine: readonly number[]): number {
  return median(theirs.slice(0, mine.length).map((value, round) => value / (mine[round] ?? Number.NaN)));
}
