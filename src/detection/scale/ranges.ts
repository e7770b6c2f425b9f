import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";

// Which objects are learnt, or looked for, at which scale of an image (Singh and Davis 2018, "An analysis of scale invariance in object
// detection – SNIP", section 5). The size of an object is the square root of its box's area.

/**
 * Sizes of objects that count at a scale, both ends included, in pixels of the image as a detector sees it at that scale. `to` may be
 * infinite.
 */
export interface ValidRange {
  readonly from: number;
  readonly to: number;
}

/** The size of an object: the side of a square of the same area. */
export function objectSize([x1, y1, x2, y2]: readonly [number, number, number, number]): number {
  return Math.sqrt(Math.max(0, x2 - x1) * Math.max(0, y2 - y1));
}

/** Whether an object of that size counts at a scale. */
export function inRange(size: number, { from, to }: ValidRange): boolean {
  return size >= from && size <= to;
}

/** How far the ranges of neighboring scales overlap, in parts of the share of the objects that one scale has for itself. */
const OVERLAP = 0.25;

/** Least ratio of the end of a range to the beginning of the next one, as the paper has it: 160 / 120. */
const LEAST_RATIO = 4 / 3;

/** A quantile of sorted numbers: a linear interpolation between the order statistics. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const [below = 0, above = below] = [sorted[low], sorted[Math.min(low + 1, sorted.length - 1)]];
  return below + (above - below) * (at - low);
}

export interface RangeOptions {
  /**
   * Largest size that a scale but the coarsest should take, in pixels as seen there: where images are cut into chips, objects should be
   * well within one (default: none).
   */
  readonly most?: number;
}

/**
 * Valid ranges from the sizes of a data set's own objects. Every scale has an equal share of them for itself, the finest the smallest
 * ones, and a quarter of that share more on either side, so that neighboring ranges overlap. On COCO this gives about the ranges of the
 * paper, [0, 80], [40, 160] and [120, ∞) for three scales; ranges that are copied from there ruin data of other sizes. Ends are rounded
 * outward to whole pixels; where most objects have nearly the same size, a range begins at three quarters of the end of the one before at
 * the latest. Every object is in the range of at least one scale.
 * @param sizes of objects in pixels at scale 1; at least one
 * @param scales factors of the size at scale 1, in any order
 * @returns a range for each scale, in their order
 * @throws OptionError where there is no object, or a scale is no positive number
 */
export function chooseRanges(
  sizes: ArrayLike<number>,
  scales: readonly number[],
  { most = Number.POSITIVE_INFINITY }: RangeOptions = {},
): readonly ValidRange[] {
  if (sizes.length === 0) {
    throw new OptionError(
      "valid ranges: the training images have no objects to choose them by; give --valid-ranges",
    );
  }
  checkScales(scales);
  const sorted = Float64Array.from(sizes).sort();
  const order = scales.map((scale, i) => ({ scale, i })).sort((a, b) => b.scale - a.scale);
  const count = order.length;
  const ranges = new Array<ValidRange>(count);
  let from = 0;
  for (const [rank, { scale, i }] of order.entries()) {
    const isLast = rank === count - 1;
    const upper = quantile(sorted, Math.min(1, (rank + 1 + OVERLAP) / count));
    const to = isLast ? Number.POSITIVE_INFINITY : Math.max(from, Math.min(upper, most / scale));
    const first = Math.floor(from * scale);
    ranges[i] = { from: first, to: Math.max(first + 1, Math.ceil(to * scale)) };
    if (isLast) break;
    // Where the range was cut short, the next one begins as much earlier.
    const shortened = upper > to ? to / upper : 1;
    const lower = shortened * quantile(sorted, (rank + 1 - OVERLAP) / count);
    from = Math.max(from, Math.min(lower, to / LEAST_RATIO));
  }
  return ranges;
}

/** @throws OptionError where a scale is no positive number, or there is none */
function checkScales(scales: readonly number[]): void {
  if (scales.length === 0) throw new OptionError("option scales: there is none; give at least one");
  for (const scale of scales) {
    if (!(Number.isFinite(scale) && scale > 0)) {
      throw new OptionError(`option scales: ${scale} is no scale; each is a positive number`);
    }
  }
}

const RANGE = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?|inf)$/;

/**
 * Ranges as they are given in options: `0-80`, `40-160`, `120-inf`.
 * @param count how many there must be: one a scale
 * @param option that they are given by, for errors
 * @throws OptionError where a text is no range, or there are more or fewer
 */
export function parseRanges(
  texts: readonly string[],
  count: number,
  option = "validRanges",
): readonly ValidRange[] {
  const ranges = texts.map((text): ValidRange => {
    const [, low, high] = RANGE.exec(text.trim()) ?? [];
    const range = { from: Number(low), to: high === "inf" ? Number.POSITIVE_INFINITY : Number(high) };
    if (low === undefined || !(range.to > range.from)) {
      throw new OptionError(
        `option ${option}: ${JSON.stringify(text)} is no range of sizes; write it as 40-160, or 120-inf for one without an end`,
      );
    }
    return range;
  });
  if (ranges.length !== count) {
    throw new OptionError(
      `option ${option}: ${ranges.length} ${ranges.length === 1 ? "range" : "ranges"} for ${count} ${count === 1 ? "scale" : "scales"}; give one for each, in their order`,
    );
  }
  return ranges;
}

/** Ranges as options have them: what `parseRanges` reads. */
export function rangeTexts(ranges: readonly ValidRange[]): string[] {
  return ranges.map(({ from, to }) => `${decimal(from)}-${Number.isFinite(to) ? decimal(to) : "inf"}`);
}

/** A number that is not negative, without an exponent. */
function decimal(value: number): string {
  const [mantissa = "", exponent] = String(value).split("e");
  if (exponent === undefined) return mantissa;
  const [whole = "", rest = ""] = mantissa.split(".");
  const point = whole.length + Number(exponent);
  const digits = whole + rest;
  return point <= 0 ? `0.${"0".repeat(-point)}${digits}` : digits.padEnd(point, "0");
}

/** What ranges do to the objects of some data. */
export interface RangeCounts {
  /** Objects in the range of each scale. */
  readonly valid: readonly number[];
  /** Objects in none. */
  readonly nowhere: number;
}

/** Counts objects in ranges. @param sizes of objects in pixels at scale 1 */
export function countInRanges(
  sizes: ArrayLike<number>,
  scales: readonly number[],
  ranges: readonly ValidRange[],
): RangeCounts {
  const valid = scales.map(() => 0);
  let nowhere = 0;
  for (let k = 0; k < sizes.length; k++) {
    let found = false;
    for (const [i, range] of ranges.entries()) {
      if (!inRange((sizes[k] ?? Number.NaN) * (scales[i] ?? Number.NaN), range)) continue;
      valid[i] = (valid[i] ?? 0) + 1;
      found = true;
    }
    if (!found) nowhere++;
  }
  return { valid, nowhere };
}

const tidy = (value: number): string => (Number.isFinite(value) ? String(Number(value.toFixed(1))) : "∞");

/**
 * Lines for a person: which objects count at which scale, and how many those are.
 * @param size height and width of the images at scale 1
 */
export function describeRanges(
  sizes: ArrayLike<number>,
  size: number,
  scales: readonly number[],
  ranges: readonly ValidRange[],
): readonly string[] {
  const { valid, nowhere } = countInRanges(sizes, scales, ranges);
  const lines = ranges.map(({ from, to }, i) => {
    const scale = scales[i] ?? Number.NaN;
    const base = scale === 1 ? "" : ` (${tidy(from / scale)} to ${tidy(to / scale)} at scale 1)`;
    return `scale ${scale}, ${Math.round(size * scale)} pixels: objects of size ${tidy(from)} to ${tidy(to)}${base}, ${valid[i]} of ${sizes.length}`;
  });
  const left =
    nowhere === 0
      ? []
      : [
          `${counted(nowhere, "object")} ${nowhere === 1 ? "is in the range of no scale: nothing is learnt of it" : "are in the range of no scale: nothing is learnt of them"}`,
        ];
  return [...lines, ...left];
}
