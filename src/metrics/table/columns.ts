import type { ColumnCells } from "./cells.ts";
import {
  type LevelCells,
  levelCounts,
  missingCount,
  type NumberCells,
  presentNumbers,
  rangeOf,
} from "./cells.ts";

// How like a synthetic column is to a real one: numbers from 0 to 1, 1 best. The definitions are those of SDMetrics (DataCebo, MIT). A measure
// is undefined where there is nothing to compare, never a number that stands for that.

/**
 * 1 − D of Kolmogorov and Smirnov, the largest difference of the empirical distribution functions; gaps are left out (`KSComplement`).
 * @returns undefined where one of the columns has no number
 */
export function ksComplement(real: NumberCells, synthetic: NumberCells): number | undefined {
  const [a, b] = [presentNumbers(real).sort(), presentNumbers(synthetic).sort()];
  if (a.length === 0 || b.length === 0) return undefined;
  let [i, j, largest] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i] ?? 0, b[j] ?? 0);
    while (i < a.length && a[i] === value) i++;
    while (j < b.length && b[j] === value) j++;
    largest = Math.max(largest, Math.abs(i / a.length - j / b.length));
  }
  return 1 - largest;
}

/**
 * 1 − ½ Σ |p − q| over the shares of the levels, the complement of total variation; gaps are left out (`TVComplement`).
 * @returns undefined where one of the columns has no cell
 */
export function tvComplement(real: LevelCells, synthetic: LevelCells): number | undefined {
  const [a, b] = [levelCounts(real), levelCounts(synthetic)];
  const [m, n] = [a, b].map((counts) => counts.reduce((sum, count) => sum + count, 0)) as [number, number];
  if (m === 0 || n === 0) return undefined;
  return 1 - 0.5 * a.reduce((sum, count, level) => sum + Math.abs(count / m - (b[level] ?? 0) / n), 0);
}

/** The shape of a column: `ksComplement` of numbers, `tvComplement` of levels. */
export function columnShape(real: ColumnCells, synthetic: ColumnCells): number | undefined {
  if (real.kind === "numbers" && synthetic.kind === "numbers") return ksComplement(real, synthetic);
  if (real.kind === "levels" && synthetic.kind === "levels") return tvComplement(real, synthetic);
  return undefined;
}

/**
 * The share of the range of the real numbers that synthetic ones reach over (`RangeCoverage`).
 * @returns undefined where the real numbers are all the same, or a column has none
 */
export function rangeCoverage(real: NumberCells, synthetic: NumberCells): number | undefined {
  const [a, b] = [rangeOf(real), rangeOf(synthetic)];
  if (a === undefined || b === undefined || a.low === a.high) return undefined;
  const width = a.high - a.low;
  return Math.max(0, 1 - Math.max(0, (b.low - a.low) / width) - Math.max(0, (a.high - b.high) / width));
}

/** The share of the levels of real cells that synthetic cells have, too (`CategoryCoverage`). */
export function categoryCoverage(real: LevelCells, synthetic: LevelCells): number | undefined {
  const [a, b] = [levelCounts(real), levelCounts(synthetic)];
  const there = a.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
  if (there === 0) return undefined;
  return a.reduce((sum, count, level) => sum + (count > 0 && (b[level] ?? 0) > 0 ? 1 : 0), 0) / there;
}

/** `rangeCoverage` of numbers, `categoryCoverage` of levels. */
export function columnCoverage(real: ColumnCells, synthetic: ColumnCells): number | undefined {
  if (real.kind === "numbers" && synthetic.kind === "numbers") return rangeCoverage(real, synthetic);
  if (real.kind === "levels" && synthetic.kind === "levels") return categoryCoverage(real, synthetic);
  return undefined;
}

/**
 * The share of synthetic numbers within the smallest and the largest real one. Synthetic gaps do not count where real cells are missing, too;
 * else they lie outside (`BoundaryAdherence`).
 * @returns undefined where there is no real number, or no synthetic cell that counts
 */
export function boundaryAdherence(real: NumberCells, synthetic: NumberCells): number | undefined {
  const range = rangeOf(real);
  if (range === undefined) return undefined;
  const counted = missingCount(real) > 0 ? presentNumbers(synthetic) : synthetic.values;
  if (counted.length === 0) return undefined;
  const within = counted.reduce((sum, v) => sum + (v >= range.low && v <= range.high ? 1 : 0), 0);
  return within / counted.length;
}

/** 1 − the difference of the shares of missing cells (`MissingValueSimilarity`). */
export function missingSimilarity(real: ColumnCells, synthetic: ColumnCells): number {
  return (
    1 - Math.abs(missingCount(real) / real.values.length - missingCount(synthetic) / synthetic.values.length)
  );
}
