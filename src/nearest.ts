/**
 * The fewest insertions, deletions, substitutions and swaps of neighbors that turn one word into the other (optimal
 * string alignment).
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? (before[j - 2] ?? 0) + 1
          : Number.POSITIVE_INFINITY;
      next.push(Math.min(substituted, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Longer words are no names that anybody misspells, and comparing them takes time with the product of their lengths. */
const LONGEST = 200;

/**
 * The candidate that a misspelt word most likely means, ignoring case and the difference between `-`, `_` and space;
 * undefined where none is near (more than a third of the letters differ and neither begins with the other).
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[\s_-]+/g, "");
  const wanted = plain(word);
  if (wanted === "") return undefined;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of candidates) {
    const candidate = plain(name);
    const longest = Math.max(wanted.length, candidate.length);
    const most = Math.max(1, Math.floor(longest / 3));
    const prefix = wanted.length >= 3 && candidate.startsWith(wanted);
    const comparable = longest <= LONGEST && Math.abs(wanted.length - candidate.length) <= most;
    const distance = prefix ? 0.5 : comparable ? editDistance(wanted, candidate) : Number.POSITIVE_INFINITY;
    const near = prefix || distance <= most;
    if (near && (best === undefined || distance < best.distance)) best = { name, distance };
  }
  return best?.name;
}
