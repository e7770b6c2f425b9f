import { z } from "zod";
import { list, trainingSteps } from "../../bounds.ts";
import { epochOrder } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { StepSizes } from "../augment/batches.ts";

/** Sizes of images come in multiples of this, which the strides of all detectors divide. */
export const SIZE_UNIT = 32;

/** Least and largest size in parts of the usual one. */
export const [LEAST_SCALE, LARGEST_SCALE] = [0.1, 4] as const;

/** Most sizes of a fit: as many programs as training holds at once. */
const MOST_SCALES = 8;

/** Batches until the next size where no other number is given. */
export const USUAL_SCALE_EVERY = 10;

/** Options of training at several scales. */
export const trainingScaleOptions = {
  scales: list(z.number().min(LEAST_SCALE).max(LARGEST_SCALE), MOST_SCALES)
    .min(1)
    .optional()
    .describe(
      `train at several scales: factors of --size, such as 0.75,1,1.25, one for each batch; sizes are rounded to multiples of ${SIZE_UNIT}; at most ${MOST_SCALES} (default: size alone)`,
    ),
  scaleEvery: trainingSteps()
    .optional()
    .describe(`scales: batches until the next size (default: ${USUAL_SCALE_EVERY})`),
};

/** A size in parts of another one, rounded to a multiple of 32, at least 32. */
export function scaledSize(size: number, scale: number): number {
  return SIZE_UNIT * Math.max(1, Math.round((size * scale) / SIZE_UNIT));
}

/** The sizes that scales stand for, from the smallest on; scales that round to the same size are one. */
export function scaledSizes(size: number, scales: readonly number[]): readonly number[] {
  return [...new Set(scales.map((scale) => scaledSize(size, scale)))].sort((a, b) => a - b);
}

/**
 * The sizes of multi-scale training (Redmon and Farhadi 2017, "YOLO9000", section 2): every few steps the images of a batch have another
 * size. Sizes come in rounds in which each has one turn, in an order by chance, so that all of them are learnt equally often; the first of
 * all is the largest, so that what is too large for the memory fails at once. A pure function of seed and step.
 * @throws OptionError where there are no sizes
 */
export function sizesOfSteps(sizes: readonly number[], every: number, seed: number): StepSizes {
  if (sizes.length === 0) throw new OptionError("option scales: names no size; give at least one");
  const largest = Math.max(...sizes);
  const random = new Random(seed).split("sizes");
  return {
    largest,
    at(step) {
      const turn = Math.floor(step / every);
      const round = Math.floor(turn / sizes.length);
      const order = Array.from(epochOrder(sizes.length, round, random), (i) => sizes[i] ?? largest);
      if (round === 0) order.sort((a, b) => Number(b === largest) - Number(a === largest));
      return order[turn % sizes.length] ?? largest;
    },
  };
}
