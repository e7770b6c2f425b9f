import { z } from "zod";
import { amount, list, positiveAmount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { type FeatureNetwork, sharedChannels } from "../network/feature-network.ts";
import { RegionEnlarger } from "../regions/enlarger.ts";
import { quantile } from "../scale/ranges.ts";
import type { DetectionInfo } from "./detector.ts";

// Which regions Faster R-CNN enlarges before they are classified, by its options and the sizes of the training objects.

/** Weight of the generator's loss where none is given. */
const USUAL_WEIGHT = 0.1;

/** Options of enlarging, for detectors that classify regions. */
export const enlargeOptions = {
  enlarge: z
    .boolean()
    .default(false)
    .describe(
      "Perceptual GAN: what a generator makes of a finer map is added to the features of small regions, trained against a discriminator to look like features of large objects",
    ),
  enlargeSizes: list(positiveAmount(), 2)
    .optional()
    .describe(
      "enlarge: two sizes, as 20,60: regions below the first are enlarged, objects from the second on are large; square roots of areas in pixels of the image at --size (default: a third of the training objects on either side)",
    ),
  enlargeWeight: amount()
    .optional()
    .describe(`enlarge: weight of the generator's loss beside those of detection (default: ${USUAL_WEIGHT})`),
};

/** Options that decide what is enlarged. */
export interface EnlargingOptions {
  readonly enlarge: boolean;
  readonly enlargeSizes?: readonly number[] | undefined;
  readonly enlargeWeight?: number | undefined;
  readonly cascade: readonly number[];
  readonly trident: string;
}

/** What is enlarged: sizes in pixels of the image. */
export interface Enlarging {
  /** Regions of a smaller size are enlarged. */
  readonly below: number;
  /** Objects of this size and larger ones are what enlarged ones should look like. */
  readonly from: number;
  /** Of the generator's loss. */
  readonly weight: number;
}

/** Shares of the training objects below each of the sizes, where none are given. */
const SHARES = [1 / 3, 2 / 3] as const;

/** The sizes of training objects, from the smallest on; none where the data are not known. */
function objectSizes({ boxShapes = [] }: DetectionInfo): Float64Array {
  return Float64Array.from(boxShapes, ({ width, height }) => Math.sqrt(width * height)).sort();
}

/** How many of the objects are small and how many large. */
function countsOf(sizes: Float64Array, { below, from }: Pick<Enlarging, "below" | "from">) {
  return {
    small: sizes.filter((size) => size < below).length,
    large: sizes.filter((size) => size >= from).length,
  };
}

/** The two sizes as they are given, or those of a third of the objects on either side, to a tenth of a pixel. @throws OptionError */
function givenOrUsual(given: readonly number[] | undefined, sizes: Float64Array): readonly [number, number] {
  if (given === undefined) {
    if (sizes.length === 0) {
      throw new OptionError(
        "option enlarge: there are no training objects to choose sizes by; give enlargeSizes",
      );
    }
    const [below, from] = SHARES.map((share) => Math.max(0.1, Number(quantile(sizes, share).toFixed(1))));
    return [below ?? Number.NaN, from ?? Number.NaN];
  }
  const [below, from] = given;
  if (below === undefined || from === undefined || below > from) {
    throw new OptionError(
      `option enlargeSizes: ${given.join()} must be two sizes of which the second is no smaller than the first, such as 20,60`,
    );
  }
  return [below, from];
}

/**
 * What options and data ask to be enlarged; undefined for nothing.
 * @throws OptionError where options do not fit each other, or no training object is small or none is large
 */
export function enlargingOf(options: EnlargingOptions, data: DetectionInfo): Enlarging | undefined {
  const { enlarge, enlargeSizes, enlargeWeight, cascade, trident } = options;
  if (!enlarge) {
    if (enlargeSizes === undefined && enlargeWeight === undefined) return undefined;
    const option = enlargeSizes === undefined ? "enlargeWeight" : "enlargeSizes";
    throw new OptionError(`option ${option}: is of enlarged regions; add --enlarge, or leave it out`);
  }
  if (cascade.length > 1) {
    throw new OptionError(
      "option enlarge: regions are enlarged for one head, and a cascade has several; leave out enlarge or cascade",
    );
  }
  if (trident !== "off") {
    throw new OptionError(
      "option enlarge: branches of a trident network have no finer map of their own; leave out enlarge or trident",
    );
  }
  const sizes = objectSizes(data);
  const [below, from] = givenOrUsual(enlargeSizes, sizes);
  const { small, large } = countsOf(sizes, { below, from });
  if (sizes.length > 0 && (small === 0 || large === 0)) {
    const lacking = small === 0 ? `below ${below}` : `of ${from} or more`;
    throw new OptionError(
      `option enlarge: no training object is of a size ${lacking} pixels, so that there is nothing to learn from; ${
        enlargeSizes === undefined ? "give enlargeSizes, or leave it out" : "give other enlargeSizes"
      }`,
    );
  }
  return { below, from, weight: enlargeWeight ?? USUAL_WEIGHT };
}

/** What enlarges the regions of a detector; undefined for nothing. @throws OptionError as `enlargingOf` */
export function enlargerOf(
  options: EnlargingOptions & { readonly bins: number; readonly hidden: number },
  data: DetectionInfo,
  { levels, finestLevel }: FeatureNetwork,
): RegionEnlarger | undefined {
  const enlarging = enlargingOf(options, data);
  if (enlarging === undefined) return undefined;
  const { bins, hidden } = options;
  return new RegionEnlarger({
    ...enlarging,
    bins,
    hidden,
    channels: sharedChannels(levels),
    level: finestLevel,
  });
}

/** Options with what follows from the data, for a run to keep. @throws OptionError as `enlargingOf` */
export function settledEnlarging<O extends EnlargingOptions>(options: O, data: DetectionInfo): O {
  const enlarging = enlargingOf(options, data);
  if (enlarging === undefined) return options;
  const { below, from, weight } = enlarging;
  return { ...options, enlargeSizes: [below, from], enlargeWeight: weight };
}

/** A line for a person: what is enlarged, and how many of the training objects that concerns. */
export function enlargingNotes(options: EnlargingOptions, data: DetectionInfo): readonly string[] {
  const enlarging = enlargingOf(options, data);
  if (enlarging === undefined) return [];
  const sizes = objectSizes(data);
  const { small, large } = countsOf(sizes, enlarging);
  const { below, from } = enlarging;
  return [
    `enlarge: regions of a size below ${below} pixels are enlarged (${small} of ${counted(sizes.length, "object")} looked at), to look like objects of ${from} or more (${large})`,
  ];
}
