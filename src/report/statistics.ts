/** The finite values among `values`. */
export function finite(values: Iterable<number>): number[] {
  return Array.from(values).filter(Number.isFinite);
}

/** The `q`-quantile of values that are sorted upwards, linear between neighbors; NaN where there are none. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const position = (sorted.length - 1) * q;
  const low = Math.floor(position);
  const lower = sorted[low] ?? Number.NaN;
  return lower + ((sorted[low + 1] ?? lower) - lower) * (position - low);
}

/** Values sorted upwards. */
export function sorted(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** Arithmetic mean; NaN where there are no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** At most `most` of the items, evenly spaced, the first and the last among them. */
export function thin<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  const step = most > 1 ? (items.length - 1) / (most - 1) : 0;
  return Array.from({ length: most }, (_, i) => items[Math.round(i * step)]).filter(
    (item) => item !== undefined,
  );
}

/** Edges of `count` equal bins over `[low, high]`; one bin of width 1 where the two are equal. */
export function binEdges(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low - 0.5, low + 0.5];
  return Array.from({ length: count + 1 }, (_, i) => low + ((high - low) * i) / count);
}

/**
 * The share of values in each bin, divided by the bin's width: a density that integrates to the share of values
 * within the edges. Bins are closed below; the last one also above.
 */
export function histogram(values: readonly number[], edges: readonly number[]): number[] {
  const low = edges[0] ?? 0;
  const high = edges[edges.length - 1] ?? 0;
  const bins = edges.length - 1;
  const density = new Array<number>(bins).fill(0);
  const width = (high - low) / bins;
  for (const value of values) {
    if (!(value >= low && value <= high)) continue;
    const bin = Math.min(bins - 1, Math.floor((value - low) / width));
    density[bin] = (density[bin] ?? 0) + 1 / (values.length * width);
  }
  return density;
}

/** Round numbers within `[low, high]`, a step of 1, 2 or 5 times a power of ten apart, about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const exponent = Math.floor(Math.log10(rough));
  const fraction = rough / 10 ** exponent;
  const factor = [1, 2, 5, 10].find((step) => fraction <= step * 1.0001) ?? 10;
  // Dividing by a whole number keeps 0.3 from becoming 0.30000000000000004.
  const [numerator, denominator] = exponent < 0 ? [factor, 10 ** -exponent] : [factor * 10 ** exponent, 1];
  const first = Math.ceil((low * denominator) / numerator - 1e-9);
  const last = Math.floor((high * denominator) / numerator + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => ((first + i) * numerator) / denominator);
}

/** Numbers to label a logarithmic axis with: powers of ten, and twice and five times them where the range is short. */
export function logTicks(low: number, high: number): number[] {
  const factors = high / low > 300 ? [1] : [1, 2, 5];
  const first = Math.floor(Math.log10(low));
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => first + i);
  return decades
    .flatMap((exponent) => factors.map((factor) => Number(`${factor}e${exponent}`)))
    .filter((tick) => tick >= low && tick <= high);
}

/** A number with this many significant digits, without trailing zeros, with a minus sign of its own and 1,000s parted. */
export function significant(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) {
    return value
      .toExponential(digits - 1)
      .replace(/\.?0*e\+?/, "e")
      .replaceAll("-", "−");
  }
  const rounded = size >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 12 }).replace("-", "−");
}

/** With exactly this many decimals and a minus sign of its own. */
export function fixed(value: number, decimals: number): string {
  return value.toFixed(decimals).replace("-", "−");
}

/** Seconds as a person writes them: 8.3 s, 2 min, 2 min 5 s, 1 h 20 min. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${significant(seconds, 2)} s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole < 3600 ? whole % 60 : 0, "s"],
  ] as const;
  return parts.flatMap(([count, unit]) => (count > 0 ? [`${count} ${unit}`] : [])).join(" ");
}
