import type { LearnedColumn } from "../columns/index.ts";

// Kinds of columns by what their cells are read as, where nothing else is known of them.

/** Digits that a double keeps. Numbers of as many have no step. */
const DOUBLE_DIGITS = 15;

/** A distance of a column's middle 98 % to its ends, in their range, from which on the column is learned by quantiles. */
const FAR = 10;

/** Digits after the point of a number as it is written; undefined where they are as many as a double has. */
function decimalsOf(value: number): number | undefined {
  const [digits = "", exponent = "0"] = String(Math.abs(value)).split("e");
  const [before = "", after = ""] = digits.split(".");
  const significant = `${before}${after}`.replace(/^0+/, "").length;
  return significant >= DOUBLE_DIGITS ? undefined : Math.max(0, after.length - Number(exponent));
}

/** A power of ten of which all values are multiples; undefined where there is none. */
function stepOf(values: Float64Array): number | undefined {
  let most = 0;
  for (const value of values) {
    const decimals = decimalsOf(value);
    if (decimals === undefined) return undefined;
    if (decimals > most) most = decimals;
  }
  return Number(`1e-${most}`);
}

/** True where few numbers lie so far from the others that these would be flattened. */
function hasFarEnds(sorted: Float64Array): boolean {
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  return high > low && Math.max(low - at(0), at(1) - high) > FAR * (high - low);
}

/** The kind of a column of numbers: whole where all are, otherwise real. @param cells NaN where they are missing */
export function numberKind(name: string, cells: Float64Array): LearnedColumn {
  const values = cells.filter((value) => !Number.isNaN(value));
  const sorted = values.toSorted();
  const isWhole = values.every(Number.isSafeInteger);
  const resolution = isWhole ? 1 : stepOf(values);
  const common = {
    name,
    why: "",
    gaps: cells.length - values.length,
    distinct: new Set(values).size,
    minimum: sorted[0] ?? 0,
    maximum: sorted.at(-1) ?? 0,
    scale: hasFarEnds(sorted) ? "quantile" : "standard",
  } as const;
  return isWhole
    ? { kind: "whole", ...common, resolution: 1 }
    : { kind: "real", ...common, ...(resolution !== undefined && { resolution }) };
}

/** The kind of a column of texts: categories, in the given order. @param cells null where they are missing */
export function categoryKind(
  name: string,
  cells: readonly (string | null)[],
  order: readonly string[],
): LearnedColumn {
  const counts = new Map(order.map((level) => [level, 0]));
  let gaps = 0;
  for (const cell of cells) {
    if (cell === null) gaps++;
    else counts.set(cell, (counts.get(cell) ?? 0) + 1);
  }
  const levels = [...counts].map(([level, count]) => ({ level, count }));
  return { kind: "category", name, why: "", gaps, distinct: levels.length, levels };
}
