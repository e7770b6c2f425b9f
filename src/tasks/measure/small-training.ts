import type { DetectionSet } from "../../data/boxes/set.ts";
import { MOST_COPIES } from "../../detection/augment/copies.ts";
import { copiesOnTrial, planSmallObjects, type SmallObjects } from "../../detection/augment/small-objects.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { DetectionDataOptions } from "../run/detection-options.ts";

/** What of the options of data decides how small objects are trained on. */
export type SmallTrainingOptions = Pick<
  DetectionDataOptions,
  "small" | "augment" | "learnDifficult" | "bySize" | "inTiles"
>;

/** Refuses options that are without effect. @throws OptionError */
function checkIdle({ small, augment, bySize, inTiles }: SmallTrainingOptions): void {
  const { oversample, copyPaste, smallBelow, copies, copyScale, copyFeather } = small;
  const stitch = augment === false ? 0 : augment.stitch;
  const asked = Object.entries({ oversample: oversample > 1, copyPaste: copyPaste > 0, stitch: stitch > 0 });
  const [first] = asked.find(([, given]) => given) ?? [];
  if (bySize.sniper && first !== undefined) {
    throw new OptionError(
      `option ${first}: is of whole images, and sniper trains on chips, which hold small objects enlarged; leave one out`,
    );
  }
  if (oversample > 1 && (inTiles.tiles ?? 0) > 0) {
    throw new OptionError(
      "option oversample: is of whole images, and with tiles an epoch has every tile with objects once; leave one out",
    );
  }
  if (copyPaste > 0 && augment === false) {
    throw new OptionError("option copyPaste: changes images, which augment false forbids; leave one out");
  }
  const without = (condition: string, options: Readonly<Record<string, unknown>>): void => {
    const [idle] = Object.entries(options).find(([, value]) => value !== undefined) ?? [];
    if (idle === undefined) return;
    throw new OptionError(
      `option ${idle}: is without effect without ${condition}; give it, or leave ${idle} out`,
    );
  };
  if (copyPaste === 0) without("copyPaste", { copies, copyScale, copyFeather });
  if (copyPaste === 0 && oversample === 1) without("oversample or copyPaste", { smallBelow });
}

/**
 * How the small objects of a set are trained on; undefined where nothing is done about them.
 * @param size height and width of the images that the detector sees
 * @throws OptionError where options do not fit each other, or no object is small
 */
export function smallTraining(
  { splits: { train } }: DetectionSet,
  size: number,
  options: SmallTrainingOptions,
): SmallObjects | undefined {
  checkIdle(options);
  const { small, learnDifficult } = options;
  if (small.oversample === 1 && small.copyPaste === 0) return undefined;
  return planSmallObjects(train, { ...small, size, difficult: learnDifficult });
}

/** What of the options follows from the data, so that a run keeps it. */
export function settledSmall(small: SmallObjects | undefined): Readonly<Record<string, unknown>> {
  return small === undefined ? {} : { smallBelow: small.below };
}

/** Lines for a person: what is small, how long an epoch is, and how many copies find room. */
export function describeSmall(
  { splits: { train } }: DetectionSet,
  training: SmallObjects | undefined,
): readonly string[] {
  if (training === undefined) return [];
  const { below, size, objects, small, images, times, again, copying } = training;
  return [
    `small objects, below ${below} pixels in images of ${size} × ${size}: ${small} of ${objects}, in ${images} of ${counted(train.count, "training image")}`,
    ...(times === 1
      ? []
      : [
          `images with small objects come ${times} times in an epoch, which has ${counted(again.length, "image")} more by that`,
        ]),
    ...(copying === undefined ? [] : describeCopying(train, small, copying)),
  ];
}

function describeCopying(
  train: DetectionSet["splits"]["train"],
  small: number,
  copying: NonNullable<SmallObjects["copying"]>,
): readonly string[] {
  const { probability, options, copyable } = copying;
  const left = small - copyable;
  const { images, placed, unplaced } = copiesOnTrial(train, copying);
  return [
    `copy-paste, in ${Number((100 * probability).toPrecision(3))} % of the images: each small object ${counted(options.copies, "time")} more${left === 0 ? "" : `, but ${left} at the border of their image or covered by others`}`,
    ...(unplaced === 0
      ? []
      : [
          `of ${counted(placed + unplaced, "copy", "copies")} in ${counted(images, "image")}, ${unplaced} found no room where they cover no other object, or were above ${MOST_COPIES} in an image: they are left out`,
        ]),
  ];
}
