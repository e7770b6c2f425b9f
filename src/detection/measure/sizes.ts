import { OptionError } from "../../errors.ts";
import { checkShare } from "../boxes/candidates.ts";
import {
  type AreaRange,
  EVERY_AREA,
  type EvaluatedImage,
  evaluationOverlaps,
  groupByClass,
  matchGroup,
} from "./matching.ts";

/** A range of sizes of objects. The size is the square root of the area, in pixels of the image as it is. */
export interface SizeBin {
  /** `8–16`, or `96–` for the last. */
  readonly name: string;
  /** The smallest size that belongs to it. */
  readonly from: number;
  /** The first size that does not; infinite for the last. */
  readonly to: number;
}

/**
 * The ranges between boundaries, from 0 to the first, and from the last on: each size lies in one of them.
 * @throws OptionError where boundaries are not positive, or do not rise
 */
export function sizeBins(boundaries: readonly number[]): readonly SizeBin[] {
  const rises = boundaries.every((value, i) => Number.isFinite(value) && value > (boundaries[i - 1] ?? 0));
  if (boundaries.length === 0 || !rises) {
    throw new OptionError(
      `option sizes: boundaries ${boundaries.join()} must be positive and rise, in pixels: 8,16,32,96`,
    );
  }
  return [...boundaries, Number.POSITIVE_INFINITY].map((to, i) => {
    const from = boundaries[i - 1] ?? 0;
    return { name: Number.isFinite(to) ? `${from}–${to}` : `${from}–`, from, to };
  });
}

/** Boundaries between sizes where none are asked for: each is twice the one before. */
export const USUAL_SIZES: readonly number[] = [8, 16, 32, 64, 128, 256];

/** The largest number below a positive one. */
function numberBelow(value: number): number {
  const number = Float64Array.of(value);
  const bits = new BigUint64Array(number.buffer);
  bits[0] = (bits[0] ?? 0n) - 1n;
  return number[0] ?? Number.NaN;
}

/** The areas of a range of sizes. Both ends of a range of areas belong to it, so that the upper one is the last number below. */
export function areaRangeOf({ from, to }: SizeBin): AreaRange {
  return [from ** 2, Number.isFinite(to) ? numberBelow(to ** 2) : to];
}

export interface SizeRecallOptions {
  /** Boundaries between the ranges of size, rising. */
  readonly sizes: readonly number[];
  /** The IoU that a detection must reach; default: ½. */
  readonly threshold?: number;
  /** Detections of a lower score do not count; default: 0. */
  readonly minimumScore?: number;
  /** How many detections of a class in an image count; default: 100. */
  readonly maximum?: number;
}

/** How many objects of a range of sizes were found. */
export interface SizeRecall extends SizeBin {
  /** Objects to find. */
  readonly objects: number;
  readonly found: number;
  /** NaN where there is no object to find. */
  readonly recall: number;
}

/**
 * Recall by size: of the objects of each range those that a detection is matched to, with objects of all sizes matched together by
 * `matchGroup`, so that the numbers of all ranges add up to those of all objects. Classes are counted together.
 * @throws OptionError where boundaries do not rise, or the threshold is not in 0 … 1
 */
export function recallBySize(
  images: readonly EvaluatedImage[],
  classCount: number,
  { sizes, threshold = 0.5, minimumScore = 0, maximum = 100 }: SizeRecallOptions,
): readonly SizeRecall[] {
  checkShare("recallBySize", "threshold", threshold);
  const ranges = sizeBins(sizes).map((bin) => ({ bin, area: areaRangeOf(bin) }));
  const [objects, found] = [new Uint32Array(ranges.length), new Uint32Array(ranges.length)];
  const count = (counts: Uint32Array, area: number): void => {
    const at = ranges.findIndex(({ area: [smallest, largest] }) => area >= smallest && area <= largest);
    if (at >= 0) counts[at] = (counts[at] ?? 0) + 1;
  };
  for (const all of groupByClass(images, classCount).flat()) {
    const { image, truth } = all;
    const group = { ...all, found: all.found.slice(0, maximum) };
    const overlaps = evaluationOverlaps(image, group.found, truth);
    const matches = matchGroup(group, overlaps, { thresholds: [threshold], areaRange: EVERY_AREA });
    for (const g of truth) if (image.truth.ignored[g] === 0) count(objects, image.truth.areas[g] ?? 0);
    for (const [row, d] of group.found.entries()) {
      const g = truth[matches.objects[row] ?? -1];
      if (g === undefined || matches.ignored[row] === 1) continue;
      if ((image.found.scores[d] ?? 0) >= minimumScore) count(found, image.truth.areas[g] ?? 0);
    }
  }
  return ranges.map(({ bin }, i) => {
    const [all, own] = [objects[i] ?? 0, found[i] ?? 0];
    return { ...bin, objects: all, found: own, recall: all === 0 ? Number.NaN : own / all };
  });
}
