import { z } from "zod";
import { MOST, positiveAmount, share } from "../../bounds.ts";
import type { Annotations, DetectionSplit } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { area, boxAt, boxCount } from "../boxes/boxes.ts";
import { type CopyOptions, copyable, drawCopies, MOST_COPIES, type Pasted } from "./copies.ts";
import { type RecipeSource, wanted } from "./recipe.ts";

// More of the small objects (Kisantal et al. 2019, "Augmentation for small object detection"): images that have some come more often, and copies
// of them are pasted into their own image.

/** The size below which COCO counts objects as small. */
const COCO_SMALL = 32;

/** Shares of the objects of which at least and at most are small by default. */
const [LEAST_SMALL, MOST_SMALL] = [0.05, 0.5] as const;

const USUAL_COPIES = 3;
const USUAL_SCALE = 0.2;
const USUAL_FEATHER = 0.2;

/** Options of data for small objects. */
export const smallObjectOptions = {
  smallBelow: positiveAmount()
    .max(MOST.pixels)
    .optional()
    .describe(
      `oversample, copyPaste: objects below this size are small: square roots of areas in pixels of images of --size (default: ${COCO_SMALL}, but so that ${100 * LEAST_SMALL} to ${100 * MOST_SMALL} % of the training objects are)`,
    ),
  oversample: z
    .int()
    .min(1)
    .max(50)
    .default(1)
    .describe("how often an epoch has each image with small objects; the others come once"),
  copyPaste: share()
    .default(0)
    .describe(
      "augmentation: probability that copies of an image's small objects are pasted into it, where they cover no other object",
    ),
  copies: z
    .int()
    .min(1)
    .max(MOST_COPIES)
    .optional()
    .describe(
      `copyPaste: copies of each small object, at most ${MOST_COPIES} in an image (default: ${USUAL_COPIES})`,
    ),
  copyScale: share()
    .optional()
    .describe(
      `copyPaste: how much larger or smaller than its object a copy is at most, as a share (default: ${USUAL_SCALE})`,
    ),
  copyFeather: share()
    .optional()
    .describe(
      `copyPaste: width of the rim over which a copy fades out, in parts of its size (default: ${USUAL_FEATHER})`,
    ),
};

export const smallObjectSchema = z.strictObject(smallObjectOptions);

/** Options as a caller gives them: all may be left out. */
export type SmallObjectOptions = z.input<typeof smallObjectSchema>;

/** Copies that are pasted into the images of a split. */
export interface Copying {
  /** Probability that an image has some. */
  readonly probability: number;
  readonly options: Pick<CopyOptions, "copies" | "scale" | "feather">;
  /** The small objects of an image that can be copied, by the image's number. */
  readonly objects: ReadonlyMap<number, readonly number[]>;
  /** How many there are. */
  readonly copyable: number;
}

/** The small objects of a split, and what is done about them. */
export interface SmallObjects {
  /** Objects below this size are small, in pixels of images whose longer side is `size`. */
  readonly below: number;
  readonly size: number;
  /** Objects that are learnt; those of them that are small; and images that have some. */
  readonly objects: number;
  readonly small: number;
  readonly images: number;
  /** How often these come in an epoch. */
  readonly times: number;
  /** Images that an epoch has beside those that it has anyway: the ones with small objects, as often as they come again. */
  readonly again: Uint32Array;
  /** Undefined where nothing is pasted. */
  readonly copying: Copying | undefined;
}

export interface SmallObjectPlan extends SmallObjectOptions {
  /** Longer side of the images in which sizes count, in pixels. */
  readonly size: number;
  /** Whether objects marked as difficult are learnt from; default: they are not. */
  readonly difficult?: boolean;
}

/** The size below which objects count as small, where none is given: COCO's, but a share of the data's own objects is always small. */
function usualSmallBelow(sizes: ArrayLike<number>): number {
  const sorted = Float64Array.from(sizes).sort();
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))] ?? COCO_SMALL;
  // A tenth of a pixel is enough, and rounded up the smallest ones are below it.
  const tenths = (size: number) => Math.floor(10 * size + 1) / 10;
  return Math.min(Math.max(COCO_SMALL, tenths(at(LEAST_SMALL))), tenths(at(MOST_SMALL)));
}

/** The sizes of the objects of an image, in pixels of one whose longer side is `size`. */
function sizesOf({ boxes, width, height }: Annotations, size: number): readonly number[] {
  const factor = size / Math.max(width, height);
  return Array.from({ length: boxCount(boxes) }, (_, i) => factor * Math.sqrt(area(boxAt(boxes, i))));
}

/**
 * Finds the small objects of a split.
 * @throws OptionError where there are none
 */
export function planSmallObjects(split: DetectionSplit, options: SmallObjectPlan): SmallObjects {
  const { size, difficult = false, oversample = 1, copyPaste = 0 } = options;
  const isWanted = wanted(difficult);
  const learnt = Array.from({ length: split.count }, (_, index) => {
    const annotations = split.annotations(index);
    return sizesOf(annotations, size).flatMap((own, i) => (isWanted(annotations, i) ? [{ i, own }] : []));
  });
  const sizes = learnt.flatMap((objects) => objects.map(({ own }) => own));
  const below = options.smallBelow ?? usualSmallBelow(sizes);
  const smallOf = learnt.map((objects) => objects.flatMap(({ i, own }) => (own < below ? [i] : [])));
  const small = smallOf.reduce((sum, { length }) => sum + length, 0);
  if (small === 0) {
    throw new OptionError(
      `option smallBelow: none of ${counted(sizes.length, "training object")} is below ${below} pixels in images of ${size}; ${sizes.length === 0 ? "leave oversample and copyPaste out" : "give a larger one"}`,
    );
  }
  const withSmall = [...smallOf.keys()].filter((index) => (smallOf[index] ?? []).length > 0);
  return {
    below,
    size,
    objects: sizes.length,
    small,
    images: withSmall.length,
    times: oversample,
    again: Uint32Array.from(Array.from({ length: oversample - 1 }, () => withSmall).flat()),
    copying: copyPaste === 0 ? undefined : copyingOf(split, smallOf, copyPaste, options),
  };
}

function copyingOf(
  split: DetectionSplit,
  smallOf: readonly (readonly number[])[],
  probability: number,
  {
    copies = USUAL_COPIES,
    copyScale = USUAL_SCALE,
    copyFeather = USUAL_FEATHER,
  }: Pick<SmallObjectOptions, "copies" | "copyScale" | "copyFeather">,
): Copying {
  const objects = new Map<number, readonly number[]>();
  for (const [index, small] of smallOf.entries()) {
    const own = small.length === 0 ? [] : copyable(split.annotations(index), small, copyFeather);
    if (own.length > 0) objects.set(index, own);
  }
  return {
    probability,
    options: { copies, scale: copyScale, feather: copyFeather },
    objects,
    copyable: [...objects.values()].reduce((sum, { length }) => sum + length, 0),
  };
}

/**
 * Pastes copies into images of a split by chance.
 * @param flips probabilities that a copy is mirrored
 */
export function pasting(
  split: DetectionSplit,
  { probability, options, objects }: Copying,
  flips: Pick<CopyOptions, "flip" | "flipVertical">,
): NonNullable<RecipeSource["pasted"]> {
  return (random: Random, index: number): Pasted | undefined => {
    const own = objects.get(index);
    if (own === undefined || random.uniform() >= probability) return undefined;
    const annotations = split.annotations(index);
    const { copies } = drawCopies(random, annotations, own, { ...options, ...flips });
    const { width, height } = annotations;
    return { image: { width, height }, feather: options.feather, copies };
  };
}

/** Images in which copies are placed on trial, at most. */
const TRIALS = 500;

/** How many copies find room, in images spread evenly over those that have some. */
export function copiesOnTrial(
  split: DetectionSplit,
  { options, objects }: Copying,
): { readonly images: number; readonly placed: number; readonly unplaced: number } {
  const random = new Random(0).split("copies on trial");
  const all = [...objects];
  const step = Math.max(1, all.length / TRIALS);
  const tried = all.filter((_, i) => Math.floor(i / step) > Math.floor((i - 1) / step));
  let [placed, unplaced] = [0, 0];
  for (const [index, own] of tried) {
    const drawn = drawCopies(random.split(index), split.annotations(index), own, {
      ...options,
      flip: 0,
      flipVertical: 0,
    });
    placed += drawn.copies.length;
    unplaced += drawn.unplaced;
  }
  return { images: tried.length, placed, unplaced };
}
