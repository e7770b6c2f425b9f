import { z } from "zod";
import { list } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { BoxArray } from "../boxes/boxes.ts";
import { type Detections, pickDetections } from "../boxes/detections.ts";
import { weightedBoxesFusion } from "../boxes/fusion.ts";
import { nms } from "../boxes/nms.ts";
import { softNms } from "../boxes/soft-nms.ts";
import { parseRanges, rangeTexts, type ValidRange } from "./ranges.ts";
import { type TileOptions, type Tiling, tileLookOptions, tileOptionsOf, tilingOf } from "./tile-options.ts";
import { LARGEST_SCALE, LEAST_SCALE, scaledSize } from "./training-sizes.ts";

// A detector that looks at an image several times: at the sizes of an image pyramid, and in the mirror. What it finds is merged.

/** Most sizes at which an image is looked at. */
const MOST_SCALES = 8;

/** Options of looking at images several times. */
export const testTimeSchema = z.strictObject({
  testScales: list(z.number().min(LEAST_SCALE).max(LARGEST_SCALE), MOST_SCALES)
    .min(1)
    .default([1])
    .describe(
      "image pyramid: look at each image at several scales, factors of the run's --size, such as 0.5,1,2; sizes are rounded to multiples of 32",
    ),
  mirror: z.boolean().default(false).describe("look at each image a second time, mirrored left for right"),
  merge: z
    .enum(["nms", "soft-nms", "fusion"])
    .default("nms")
    .describe(
      "how detections of several scales and of mirror images become one set. nms: the best of those that overlap stays; soft-nms: overlap lowers scores; fusion: weighted means of those that overlap",
    ),
  testRanges: list(z.string().max(64), MOST_SCALES)
    .optional()
    .describe(
      "sizes of objects that count at each of --test-scales, as 0-80,40-160,120-inf: square roots of areas in pixels of the image at that scale (default: all)",
    ),
  ...tileLookOptions,
});

/** How often a detector looks at an image, and how what it finds becomes one set. */
export interface TestTimeOptions extends TileOptions {
  /** Sizes of the image in parts of the detector's own, 0.1 … 4, rounded to multiples of 32; default: 1. */
  readonly testScales?: readonly number[];
  /** Whether it looks at mirror images, too; default: false. */
  readonly mirror?: boolean;
  /** How detections of all views are merged; default: `nms`. */
  readonly merge?: "nms" | "soft-nms" | "fusion";
  /**
   * Sizes of objects that count at each scale, in their order, as `"40-160"` or `"120-inf"`: square roots of the areas of detections, in
   * pixels of the image at that scale (Singh and Davis 2018, SNIP, section 5). Default: all count.
   */
  readonly testRanges?: readonly string[];
}

/** One look at an image. */
export interface View {
  /** Height and width of the canvas. */
  readonly side: number;
  readonly mirrored: boolean;
  /** Sizes of objects that count, in pixels of the canvas; undefined where all do. */
  readonly range: ValidRange | undefined;
}

/** All looks at an image. */
export interface Views {
  /** One after the other, of every size at first the image as it is. */
  readonly views: readonly View[];
  /** Sizes of the canvas that they need, each once. */
  readonly sides: readonly number[];
  /** The tiles of the image that are looked at so; undefined where the whole image is. */
  readonly tiling: Tiling | undefined;
  /** The options with every default filled in, as texts and numbers. */
  readonly options: Required<Pick<TestTimeOptions, "testScales" | "mirror" | "merge">> &
    Pick<TestTimeOptions, "testRanges"> &
    TileOptions;
}

/**
 * The views that options ask for.
 * @param side height and width of the images that the detector is made for
 * @throws OptionError where an option is not acceptable, two scales are the same size, or ranges do not belong to the scales
 */
export function viewsOf(side: number, given: TestTimeOptions): Views {
  // What else is given may be of detections, and is not looked at here.
  const own = Object.entries(given).filter(
    ([name, value]) => Object.hasOwn(testTimeSchema.shape, name) && value !== undefined,
  );
  const parsed = parseOptions("detections", testTimeSchema, Object.fromEntries(own));
  const { testScales, mirror, merge, testRanges } = parsed;
  const tiling = tilingOf(parsed);
  const ranges = testRanges && parseRanges(testRanges, testScales.length, "testRanges");
  const sides = testScales.map((scale) => scaledSize(side, scale));
  const twice = sides.findIndex((size, i) => sides.indexOf(size) < i);
  if (twice >= 0) {
    const same = testScales.filter((_, i) => sides[i] === sides[twice]);
    throw new OptionError(
      `option testScales: ${same.join(" and ")} are both images of ${sides[twice]} pixels; leave one out`,
    );
  }
  const views = sides.flatMap((size, i) =>
    (mirror ? [false, true] : [false]).map(
      (mirrored): View => ({ side: size, mirrored, range: ranges?.[i] }),
    ),
  );
  if (views.length === 1 && given.merge !== undefined && given.merge !== "nms") {
    throw new OptionError(
      `option merge: ${merge} merges what is found at several sizes or in mirror images; give testScales, or mirror`,
    );
  }
  return {
    views,
    sides,
    tiling,
    options: {
      testScales,
      mirror,
      merge,
      ...(testRanges !== undefined && { testRanges }),
      ...tileOptionsOf(tiling),
    },
  };
}

/**
 * The looks of a detector that has learnt at each scale of objects of some sizes alone (SNIP, SNIPER): at those scales, each for those objects.
 * Scales that are images of the same size once they are rounded are one look, for the sizes of all their ranges and what lies between.
 * @param side height and width of the images that the detector is made for
 * @param ranges one for each scale, in their order
 */
export function looksByScale(
  side: number,
  scales: readonly number[],
  ranges: readonly ValidRange[],
): Required<Pick<TestTimeOptions, "testScales" | "testRanges">> {
  const looks = new Map<number, { readonly scale: number; readonly range: ValidRange }>();
  for (const [i, scale] of scales.entries()) {
    const range = ranges[i];
    if (range === undefined) {
      throw new OptionError(
        `option validRanges: ${ranges.length} ranges for ${scales.length} scales; give one for each, in their order`,
      );
    }
    const seen = scaledSize(side, scale);
    const known = looks.get(seen);
    const both = known && {
      from: Math.min(known.range.from, range.from),
      to: Math.max(known.range.to, range.to),
    };
    looks.set(seen, { scale: known?.scale ?? scale, range: both ?? range });
  }
  const all = [...looks.values()];
  return { testScales: all.map(({ scale }) => scale), testRanges: rangeTexts(all.map(({ range }) => range)) };
}

/** Whether views are no more than the plain look at an image. */
export function isPlain({ views, tiling }: Pick<Views, "views" | "tiling">, side: number): boolean {
  const [view] = views;
  return tiling === undefined && views.length === 1 && view?.side === side && view.range === undefined;
}

/** Mirror images, left for right: [n, channels, height, width]. */
export function mirrorImages({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
  const width = shape[3] ?? 1;
  const mirrored = data.slice();
  for (let row = 0; row < data.length; row += width) mirrored.subarray(row, row + width).reverse();
  return float32(mirrored, shape);
}

/** Boxes of a mirror image of that width as boxes of the image, and the other way round. */
export function mirrorBoxes(boxes: BoxArray, width: number): Float64Array {
  return Float64Array.from(boxes, (_, at) => {
    if (at % 2 === 1) return boxes[at] ?? Number.NaN;
    // The left edge comes of the right one.
    return width - (boxes[at % 4 === 0 ? at + 2 : at - 2] ?? Number.NaN);
  });
}

export interface MergeOptions {
  readonly merge: Required<TestTimeOptions>["merge"];
  /** Least score of a detection, merged ones too. */
  readonly confidence: number;
  /** `nms`, `fusion`: the IoU from which on two detections of a class are one. */
  readonly iou: number;
  /** Most detections. */
  readonly maximum: number;
  /**
   * Whether each set has objects of some sizes alone. A fused score is then the highest of its boxes: that other sets lack an object means
   * nothing. Otherwise it is their mean, lowered where sets lack it.
   */
  readonly partial: boolean;
}

/**
 * What was found in several views of an image as one set, from the best down; duplicates within a view are taken away already.
 * @param sets detections of each view, all in pixels of the image
 * @throws OptionError where an option is not acceptable
 */
export function mergeDetections(
  sets: readonly Detections[],
  { merge, confidence, iou, maximum, partial }: MergeOptions,
): Detections {
  switch (merge) {
    case "nms": {
      const all = concatenated(sets);
      const { boxes, scores, classes } = all;
      return pickDetections(all, nms(boxes, scores, { classes, threshold: iou, maximum }));
    }
    case "soft-nms": {
      const all = concatenated(sets);
      const { boxes, scores, classes } = all;
      const kept = softNms(boxes, scores, { classes, minimumScore: confidence, maximum });
      return { ...pickDetections(all, kept.places), scores: kept.scores };
    }
    case "fusion": {
      const fused = weightedBoxesFusion(sets, { threshold: iou, score: partial ? "maximum" : "mean" });
      const sure = Array.from(fused.scores.keys()).filter((i) => (fused.scores[i] ?? 0) >= confidence);
      return pickDetections(fused, sure.slice(0, maximum));
    }
  }
}

/** All sets as one, with landmarks where every set that has objects has them. */
function concatenated(sets: readonly Detections[]): Detections {
  const marked =
    sets.some(({ landmarks }) => landmarks !== undefined) &&
    sets.every(({ scores, landmarks }) => scores.length === 0 || landmarks !== undefined);
  return {
    boxes: Float64Array.from(sets.flatMap(({ boxes }) => [...boxes])),
    scores: Float64Array.from(sets.flatMap(({ scores }) => [...scores])),
    classes: Uint32Array.from(sets.flatMap(({ classes }) => Array.from(classes))),
    ...(marked && { landmarks: Float64Array.from(sets.flatMap(({ landmarks }) => [...(landmarks ?? [])])) }),
  };
}
