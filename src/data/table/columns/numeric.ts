import type { ColumnScale } from "./schema.ts";
import { plainZero } from "./tally.ts";

// What the numbers of a column look like: their histogram, cells far away from the rest, and the scale on which they are learned well.

/** What is known of the numbers of a column beside its kind. */
export interface NumberShape {
  /** Share of the numbers in each of equally wide parts of the range of the middle 98 %; the ends hold what lies outside. */
  readonly histogram: readonly number[];
  readonly median: number;
  readonly scale: ColumnScale;
  /** Why the scale was chosen. */
  readonly reason: string;
  /** The step and the beginning of a few evenly spaced values, which may be no decimal fractions: standardized whole numbers are such. */
  readonly grid: { readonly resolution: number; readonly offset: number } | undefined;
  /** Numbers that lie absurdly far from the rest: positions in the column, by distance. */
  readonly outliers: readonly { readonly row: number; readonly value: number }[];
  /** Between which numbers the middle 98 % lie. */
  readonly middle: readonly [number, number];
}

/** Bars of a histogram. */
export const BARS = 8;

/** A number is an outlier that lies farther from the middle 98 % of its column than this many times their range. */
const FAR = 100;

/** Least numbers for an outlier to be one: of fewer, any may be far from the others. */
const LEAST = 20;

/** Standardized by median and quartiles, how far the ends of a column may lie before it is flattened. */
const LONGEST_TAIL = 15;

/** Of how many numbers, equally spaced among the sorted ones, the skewness on each scale is estimated. */
const SKETCH = 2048;

/** @param values numbers of a column in the order of rows; NaN where there is a gap */
export function numberShape(values: Float64Array): NumberShape {
  const sorted = values.filter(Number.isFinite).sort();
  const count = sorted.length;
  const at = (position: number): number => sorted[Math.max(0, Math.min(count - 1, position))] ?? Number.NaN;
  const trimmed = Math.max(count > 2 ? 1 : 0, Math.floor(0.01 * count));
  const middle = [at(trimmed), at(count - 1 - trimmed)] as const;
  return {
    histogram: histogram(sorted, middle),
    median: (at(Math.floor((count - 1) / 2)) + at(Math.ceil((count - 1) / 2))) / 2,
    outliers: outliersOf(values, count, middle),
    middle,
    grid: gridOf(sorted),
    ...scaleOf(sorted),
  };
}

/** Steps between the ends of a grid for each of its values, at most: values drawn by chance lie on finer ones alone. */
const STEPS_OF_VALUE = 50;

/** How far a value may lie from its place on a grid, in steps. */
const OFF_GRID = 1e-6;

/** The widest grid on which all of a few values lie, by Euclid's algorithm on their distances. @param sorted numbers */
function gridOf(sorted: Float64Array): NumberShape["grid"] {
  const [least = 0] = sorted;
  const range = (sorted.at(-1) ?? 0) - least;
  let [distinct, step] = [1, 0];
  for (let i = 1; i < sorted.length; i++) {
    const distance = (sorted[i] ?? 0) - (sorted[i - 1] ?? 0);
    if (!(distance > 0)) continue;
    distinct++;
    let [a, b] = [Math.max(step, distance), Math.min(step, distance)];
    // A remainder of nearly nothing, or of nearly all, is one of rounding.
    while (b > OFF_GRID * a) [a, b] = [b, Math.abs(a - Math.round(a / b) * b)];
    step = a;
    if (!(step * STEPS_OF_VALUE * distinct > distance)) return undefined;
  }
  const steps = Math.round(range / step);
  if (!(range > 0) || steps > STEPS_OF_VALUE * distinct) return undefined;
  // The ends tell the step better than remainders.
  const resolution = range / steps;
  const isOn = (value: number): boolean => {
    const place = (value - least) / resolution;
    return Math.abs(place - Math.round(place)) < OFF_GRID;
  };
  return sorted.every(isOn) ? { resolution, offset: plainZero(least) } : undefined;
}

function histogram(sorted: Float64Array, [low, high]: readonly [number, number]): readonly number[] {
  const bars = new Array<number>(BARS).fill(0);
  for (const value of sorted) {
    const share = high > low ? (value - low) / (high - low) : 0.5;
    const bar = Math.max(0, Math.min(BARS - 1, Math.floor(share * BARS)));
    bars[bar] = (bars[bar] ?? 0) + 1 / sorted.length;
  }
  return bars;
}

function outliersOf(
  values: Float64Array,
  count: number,
  [low, high]: readonly [number, number],
): NumberShape["outliers"] {
  const range = high - low;
  if (count < LEAST || !(range > 0)) return [];
  const found: { row: number; value: number; distance: number }[] = [];
  for (const [row, value] of values.entries()) {
    const distance = Math.max(low - value, value - high);
    if (distance > FAR * range) found.push({ row, value, distance });
  }
  return found.sort((a, b) => b.distance - a.distance).map(({ row, value }) => ({ row, value }));
}

/** The share of the cells from which a value is an atom, which the model learns as such. */
export const ATOM = 0.5;

/** Different values from which a column is too fine for steps to hold what many of its cells share. */
const FINE = 50;

/** Visits the runs of equal values among sorted ones: the value, its first position, and the one after its last. `visit` may change the run. */
export function eachRun(
  sorted: Float64Array,
  visit: (value: number, first: number, end: number) => void,
): void {
  for (let first = 0; first < sorted.length; ) {
    const value = sorted[first] ?? Number.NaN;
    let end = first + 1;
    while (end < sorted.length && sorted[end] === value) end++;
    visit(value, first, end);
    first = end;
  }
}

/** The value that most cells have, and the number of different ones. @param sorted numbers */
function mostCommon(sorted: Float64Array): {
  readonly value: number;
  readonly share: number;
  readonly distinct: number;
} {
  let [value, most, distinct] = [Number.NaN, 0, 0];
  eachRun(sorted, (own, first, end) => {
    distinct++;
    if (end - first > most) [value, most] = [own, end - first];
  });
  return { value, share: most / Math.max(1, sorted.length), distinct };
}

/** The scale on which a column is learned well. @param sorted its numbers */
function scaleOf(sorted: Float64Array): { readonly scale: ColumnScale; readonly reason: string } {
  const { value, share, distinct } = mostCommon(sorted);
  if (share >= ATOM && distinct >= FINE) {
    const held = `${Number(value.toPrecision(6))} is a value of its own, which ${(100 * share).toFixed(0)} % of the cells have`;
    return { scale: "quantile", reason: `learned by ranks (${held})` };
  }
  const every = Math.max(1, Math.floor(sorted.length / SKETCH));
  const sketch = sorted.filter((_, i) => i % every === 0 || i === sorted.length - 1);
  const plain = tails(sketch);
  if (plain.longest <= LONGEST_TAIL && Math.abs(plain.skewness) <= 2)
    return { scale: "standard", reason: "" };
  const shown = `skewness ${plain.skewness.toPrecision(2)}, ends ${plain.longest.toPrecision(2)} spreads from the median`;
  const isTame = ({ longest, skewness }: Tails) => longest <= LONGEST_TAIL && Math.abs(skewness) <= 1;
  if ((sketch[0] ?? 0) > 0 && isTame(tails(sketch.map(Math.log)))) {
    return { scale: "log", reason: `learned as logarithms (positive, ${shown})` };
  }
  // Where a quarter of the numbers and more are equal, ranks would tear them apart.
  if (plain.spread === 0 || isTame(tails(yeoJohnson(sketch)))) {
    return { scale: "yeo-johnson", reason: `learned by Yeo–Johnson's transform (${shown})` };
  }
  return { scale: "quantile", reason: `learned by ranks (${shown})` };
}

interface Tails {
  readonly longest: number;
  readonly skewness: number;
  readonly spread: number;
}

/** Skewness, and the larger distance of an end from the median in spreads (a normal one's deviation by the quartiles). @param sorted numbers */
function tails(sorted: Float64Array): Tails {
  const count = sorted.length;
  const at = (share: number): number => sorted[Math.round(share * (count - 1))] ?? 0;
  const spread = (at(0.75) - at(0.25)) / 1.349;
  const longest = Math.max(at(1) - at(0.5), at(0.5) - at(0)) / spread;
  const mean = sorted.reduce((sum, value) => sum + value / count, 0);
  const moment = (power: number) => sorted.reduce((sum, value) => sum + (value - mean) ** power / count, 0);
  const deviation = Math.sqrt(moment(2));
  const skewness = deviation > 0 ? moment(3) / deviation ** 3 : 0;
  return { longest: spread > 0 ? longest : deviation > 0 ? Infinity : 0, skewness, spread };
}

/** Yeo and Johnson 2000, equation 2.1, with the λ of largest likelihood among some, of numbers on the scale of their spread. */
function yeoJohnson(sorted: Float64Array): Float64Array {
  const size =
    Math.max(
      Math.abs(sorted[Math.round(0.25 * sorted.length)] ?? 0),
      Math.abs(sorted[Math.round(0.75 * sorted.length)] ?? 0),
    ) || 1;
  const scaled = sorted.map((value) => value / size);
  const logs = scaled.reduce((sum, value) => sum + Math.sign(value) * Math.log1p(Math.abs(value)), 0);
  let best = { likelihood: -Infinity, values: scaled };
  for (let lambda = -2; lambda <= 4; lambda += 0.25) {
    const values = scaled.map((value) => yeoJohnsonOf(value, lambda));
    const mean = values.reduce((sum, value) => sum + value / values.length, 0);
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0);
    const likelihood = (-values.length / 2) * Math.log(variance) + (lambda - 1) * logs;
    if (likelihood > best.likelihood) best = { likelihood, values };
  }
  return best.values;
}

function yeoJohnsonOf(value: number, lambda: number): number {
  if (value >= 0) return lambda === 0 ? Math.log1p(value) : ((value + 1) ** lambda - 1) / lambda;
  return lambda === 2 ? -Math.log1p(-value) : -((1 - value) ** (2 - lambda) - 1) / (2 - lambda);
}
