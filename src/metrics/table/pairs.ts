import { type ColumnCells, type NumberCells, rangeOf } from "./cells.ts";

// How like the pairs of columns of a synthetic table are to those of a real one, as SDMetrics defines it: from 0 to 1, 1 best.

/** Pearson's correlation over rows where both are there; undefined where one of them does not vary. */
export function correlation(x: NumberCells, y: NumberCells): number | undefined {
  let count = 0;
  const mean = [0, 0];
  const at = (column: NumberCells, row: number): number => column.values[row] ?? Number.NaN;
  const isThere = (row: number): boolean => !Number.isNaN(at(x, row)) && !Number.isNaN(at(y, row));
  for (let row = 0; row < x.values.length; row++) {
    if (!isThere(row)) continue;
    count++;
    mean[0] = (mean[0] ?? 0) + at(x, row);
    mean[1] = (mean[1] ?? 0) + at(y, row);
  }
  if (count < 2) return undefined;
  const [mx, my] = [(mean[0] ?? 0) / count, (mean[1] ?? 0) / count];
  let [xx, yy, xy] = [0, 0, 0];
  for (let row = 0; row < x.values.length; row++) {
    if (!isThere(row)) continue;
    const [dx, dy] = [at(x, row) - mx, at(y, row) - my];
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // Rounding leaves a constant a deviation of about its last digit.
  const varies = (squares: number, middle: number): boolean =>
    Math.sqrt(squares / count) > 1e-12 * Math.max(Math.abs(middle), Number.MIN_VALUE);
  if (!varies(xx, mx) || !varies(yy, my)) return undefined;
  return Math.min(1, Math.max(-1, xy / Math.sqrt(xx * yy)));
}

/** 1 − ½ |r − s| of the correlations of both tables (`CorrelationSimilarity`, Pearson); undefined where a correlation is. */
export function correlationSimilarity(
  real: readonly [NumberCells, NumberCells],
  synthetic: readonly [NumberCells, NumberCells],
): number | undefined {
  const [r, s] = [correlation(...real), correlation(...synthetic)];
  return r === undefined || s === undefined ? undefined : 1 - Math.abs(r - s) / 2;
}

/** Bins of numbers beside levels. */
const BINS = 10;

/** Cells as positions: of levels, or of bins of equal width over the range of the real numbers, the outer ones open; a gap has its own. */
function binned(
  column: ColumnCells,
  real: ColumnCells,
): { readonly size: number; readonly at: (row: number) => number } {
  if (column.kind === "levels") {
    const { levels, values } = column;
    const size = levels.length;
    return {
      size: size + 1,
      at(row) {
        const value = values[row] ?? -1;
        return value < 0 ? size : value;
      },
    };
  }
  const range = real.kind === "numbers" ? rangeOf(real) : undefined;
  // As NumPy's histogram does: a range of no width is made one of width 1.
  const { low, high } =
    range === undefined
      ? { low: 0, high: 1 }
      : range.low === range.high
        ? { low: range.low - 0.5, high: range.high + 0.5 }
        : range;
  const edges = Array.from({ length: BINS - 1 }, (_, i) => low + (i + 1) * ((high - low) / BINS));
  return {
    size: BINS + 1,
    at(row) {
      const value = column.values[row] ?? Number.NaN;
      return Number.isNaN(value) ? BINS : edges.reduce((bin, edge) => bin + (value >= edge ? 1 : 0), 0);
    },
  };
}

function shares(pair: readonly [ColumnCells, ColumnCells], real: readonly [ColumnCells, ColumnCells]) {
  const [x, y] = [binned(pair[0], real[0]), binned(pair[1], real[1])];
  const count = pair[0].values.length;
  const table = new Map<number, number>();
  for (let row = 0; row < count; row++) {
    const cell = x.at(row) * y.size + y.at(row);
    table.set(cell, (table.get(cell) ?? 0) + 1 / count);
  }
  return table;
}

/**
 * 1 − ½ Σ |p − q| over the shares of the contingency tables of two columns (`ContingencySimilarity`). Numbers are put into ten bins of equal
 * width over the range of the real ones; gaps are a level of their own.
 */
export function contingencySimilarity(
  real: readonly [ColumnCells, ColumnCells],
  synthetic: readonly [ColumnCells, ColumnCells],
): number {
  const [p, q] = [shares(real, real), shares(synthetic, real)];
  let variation = 0;
  for (const cell of new Set([...p.keys(), ...q.keys()])) {
    variation += Math.abs((p.get(cell) ?? 0) - (q.get(cell) ?? 0)) / 2;
  }
  return 1 - variation;
}

/** The trend of a pair: `correlationSimilarity` of two columns of numbers, `contingencySimilarity` of others. */
export function pairTrend(
  real: readonly [ColumnCells, ColumnCells],
  synthetic: readonly [ColumnCells, ColumnCells],
): number | undefined {
  const [a, b] = real;
  const [c, d] = synthetic;
  const areNumbers = a.kind === "numbers" && b.kind === "numbers";
  if (areNumbers && c.kind === "numbers" && d.kind === "numbers")
    return correlationSimilarity([a, b], [c, d]);
  return contingencySimilarity(real, synthetic);
}
