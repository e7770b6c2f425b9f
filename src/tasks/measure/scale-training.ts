import type { DetectionSet } from "../../data/boxes/set.ts";
import { type ObjectSizes, objectSizes } from "../../data/boxes/statistics.ts";
import {
  backgroundCount,
  type ChipOptions,
  type ChipPlan,
  learntSizes,
  pixelShare,
  planChips,
} from "../../detection/scale/chip-batches.ts";
import {
  chooseRanges,
  countInRanges,
  describeRanges,
  inRange,
  parseRanges,
  rangeTexts,
  type ValidRange,
} from "../../detection/scale/ranges.ts";
import { SNIPER_SCALES, USUAL_BACKGROUND } from "../../detection/scale/snip-options.ts";
import { looksByScale, type TestTimeOptions } from "../../detection/scale/test-time.ts";
import {
  SIZE_UNIT,
  scaledSize,
  scaledSizes,
  USUAL_SCALE_EVERY,
} from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { type DetectionDataOptions, detectionDataOptions } from "../run/detection-options.ts";
import { trainedOn } from "./tile-training.ts";

/** What of the options of data decides at which scales which objects are learnt. */
export type ScaleTrainingOptions = Pick<
  DetectionDataOptions,
  "scales" | "scaleEvery" | "learnDifficult" | "bySize" | "inTiles"
>;

/** At which scales which objects are learnt. */
export type ScaleTraining =
  /** Images of these sizes, and all their objects. */
  | { readonly kind: "all"; readonly sizes: readonly number[] }
  /** SNIP: images of these sizes, each with a range of the sizes of objects. */
  | {
      readonly kind: "snip";
      readonly sizes: readonly number[];
      readonly scales: readonly number[];
      readonly ranges: readonly ValidRange[];
    }
  /** SNIPER: chips of images at scales, each with a range of the sizes of objects. */
  | ({ readonly kind: "chips" } & ChipOptions);

/** Refuses options that are without effect. @throws OptionError */
function checkIdle({
  scales,
  scaleEvery,
  bySize: { snip, sniper, validRanges, chip, chipBackground, negativesFrom, leastProposals, proposalScore },
}: ScaleTrainingOptions): void {
  if (snip && sniper) {
    throw new OptionError(
      "option snip: sniper does on chips what snip does on whole images; give one of the two",
    );
  }
  if (validRanges !== undefined && !snip && !sniper) {
    throw new OptionError(
      "option validRanges: is without effect without snip or sniper; give one of the two",
    );
  }
  const without = (condition: string, options: Readonly<Record<string, unknown>>): void => {
    const [idle] = Object.entries(options).find(([, value]) => value !== undefined) ?? [];
    if (idle === undefined) return;
    throw new OptionError(
      `option ${idle}: is without effect without ${condition}; give it, or leave ${idle} out`,
    );
  };
  if (!sniper) without("sniper", { chip, chipBackground, negativesFrom });
  if (negativesFrom === undefined) without("negativesFrom", { leastProposals, proposalScore });
  if (sniper && scaleEvery !== undefined) {
    throw new OptionError(
      "option scaleEvery: is without effect with sniper, whose batches have chips of all scales; leave it out",
    );
  }
  if (scales === undefined) without("scales", { scaleEvery });
}

/** The side of chips where none is given: that of an image at its smallest scale, at most half of the size. */
function usualChip(size: number, scales: readonly number[]): number {
  return SIZE_UNIT * Math.ceil((size * Math.min(0.5, ...scales)) / SIZE_UNIT);
}

/** @throws OptionError where chips are larger than the images that they are cut out of, or scales are there twice */
function checkChip(side: number, size: number, scales: readonly number[]): void {
  refuseTwice(scales);
  const largest = Math.max(...scales);
  const most = SIZE_UNIT * Math.ceil((size * largest) / SIZE_UNIT);
  if (side <= most) return;
  throw new OptionError(
    `option chip: chips of ${side} pixels are larger than the largest images, which have ${Number((size * largest).toFixed(1))} (size ${size} × scale ${largest}); choose --chip of at most ${most}, such as ${usualChip(size, scales)}, or a larger --size`,
  );
}

/** @throws OptionError where a scale is given twice */
function refuseTwice(scales: readonly number[]): void {
  const twice = scales.find((scale, i) => scales.indexOf(scale) < i);
  if (twice === undefined) return;
  throw new OptionError(`option scales: ${twice} is there twice; give each scale once`);
}

/** Ranges as given, or from the sizes of the training objects. */
function rangesOf(
  { splits: { train } }: DetectionSet,
  size: number,
  scales: readonly number[],
  { learnDifficult, bySize: { validRanges } }: ScaleTrainingOptions,
  most?: number,
): readonly ValidRange[] {
  if (validRanges !== undefined) return parseRanges(validRanges, scales.length);
  return chooseRanges(learntSizes(train, size, learnDifficult), scales, most === undefined ? {} : { most });
}

/**
 * At which scales which objects are learnt. Ranges that are not given follow from the objects of the training split.
 * @param size height and width of the images that the detector sees
 * @throws OptionError where options do not fit each other, or the data has no objects
 */
export function scaleTraining(
  whole: DetectionSet,
  size: number,
  options: ScaleTrainingOptions,
): ScaleTraining {
  checkIdle(options);
  const set = trainedOn(whole, options);
  const { scales, bySize, learnDifficult } = options;
  if (bySize.sniper) {
    const all = scales ?? SNIPER_SCALES;
    const side = bySize.chip ?? usualChip(size, all);
    checkChip(side, size, all);
    // Objects should be well within a chip: one of four times its width has twice its own size as its longer side.
    const ranges = rangesOf(set, size, all, options, side / 2);
    return { kind: "chips", size, scales: all, ranges, side, difficult: learnDifficult };
  }
  if (!bySize.snip && scales !== undefined) refuseTwice(scales);
  if (!bySize.snip) return { kind: "all", sizes: scales === undefined ? [size] : scaledSizes(size, scales) };
  const sizes = (scales ?? [1]).map((scale) => scaledSize(size, scale));
  const twice = sizes.findIndex((one, i) => sizes.indexOf(one) < i);
  if (twice >= 0) {
    throw new OptionError(
      `option scales: two of them are images of ${sizes[twice]} pixels; with snip each must be of a size of its own`,
    );
  }
  if (sizes.length === 1 && bySize.validRanges === undefined) {
    throw new OptionError(
      "option snip: at one scale all objects are learnt, whatever their size; give several --scales, or --valid-ranges",
    );
  }
  const exact = sizes.map((one) => one / size);
  const ranges = rangesOf(set, size, exact, options);
  const objects = learntSizes(set.splits.train, size, learnDifficult);
  if (countInRanges(objects, exact, ranges).nowhere === objects.length) {
    throw new OptionError(
      `option validRanges: none of ${objects.length} training objects is in the range of a scale; give other ranges`,
    );
  }
  return { kind: "snip", sizes, scales: exact, ranges };
}

/** What of the options follows from the data, so that a run keeps it. */
export function settledScales(
  training: ScaleTraining,
  { bySize }: Pick<ScaleTrainingOptions, "bySize">,
): Readonly<Record<string, unknown>> {
  if (training.kind === "all") return {};
  const validRanges = bySize.validRanges ?? rangeTexts(training.ranges);
  return training.kind === "snip"
    ? { validRanges }
    : { validRanges, scales: training.scales, chip: training.side };
}

/** Sizes of the images that are trained on. */
export function trainedSizes(training: ScaleTraining): readonly number[] {
  return training.kind === "chips" ? [training.side] : training.sizes;
}

/** Whether an object is learnt from in images of a size, by its own size there. */
export function learnsAt(training: ScaleTraining): ((size: number, image: number) => boolean) | undefined {
  if (training.kind !== "snip") return undefined;
  const ranges = new Map(training.sizes.map((size, i) => [size, training.ranges[i]]));
  return (size, image) => {
    const range = ranges.get(image);
    return range === undefined || inRange(size, range);
  };
}

/** The sizes of objects that are learnt in images of the usual size; undefined where all are, or where nothing is learnt at that size. */
export function rangeAtFullSize(training: ScaleTraining): ValidRange | undefined {
  return training.kind === "all" ? undefined : training.ranges[training.scales.indexOf(1)];
}

/**
 * How a detector is looked with that learns of objects of some sizes alone at each scale: at those scales, each for those objects; undefined
 * where it learns of all.
 * @param size height and width of the images that it is made for
 */
export function looksOfTraining(
  size: number,
  training: ScaleTraining,
): Required<Pick<TestTimeOptions, "testScales" | "testRanges">> | undefined {
  return training.kind === "all" ? undefined : looksByScale(size, training.scales, training.ranges);
}

/** The share of background among the chips of an epoch. */
export function backgroundShare({ bySize }: Pick<ScaleTrainingOptions, "bySize">): number {
  return bySize.chipBackground ?? USUAL_BACKGROUND;
}

/** What an epoch of chips comes to. */
export interface ChipCounts {
  readonly side: number;
  /** Chips of an epoch, those of background included. */
  readonly count: number;
  readonly background: number;
  /** Pixels of an epoch in parts of those of all images at full size. */
  readonly pixels: number;
  /** Fingerprint of the chips of background that an earlier run has found, where one was asked. */
  readonly negatives?: string;
}

/** Counts the chips of an epoch, and their pixels. */
function chipCounts(
  { splits: { train } }: DetectionSet,
  training: ChipOptions,
  { chips }: ChipPlan,
  share: number,
): ChipCounts {
  const background = backgroundCount(chips.length, share);
  const count = chips.length + background;
  return { side: training.side, count, background, pixels: pixelShare(count, train, training) };
}

/** The chips of an epoch of a set, where it is trained on chips. */
export function plannedChips(
  set: DetectionSet,
  training: ScaleTraining,
  options: ScaleTrainingOptions,
): ChipCounts | undefined {
  if (training.kind !== "chips") return undefined;
  return chipCounts(set, training, planChips(set.splits.train, training), backgroundShare(options));
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** A line on the chips of an epoch. */
function describeChips(
  { splits: { train } }: DetectionSet,
  { size, scales }: ChipOptions,
  { side, count, background, pixels }: ChipCounts,
): string {
  const pyramid = scales.reduce((sum, scale) => sum + scale ** 2, 0);
  return `SNIPER: ${counted(count, "chip")} of ${side} × ${side} pixels an epoch, ${background} of background: ${percent(pixels)} of the pixels of ${counted(train.count, "image")} of ${size} × ${size}, ${percent(pixels / pyramid)} of those at all scales`;
}

/** Lines for a person: what is learnt at which scale, and what that leaves out. */
export function describeTraining(
  set: DetectionSet,
  size: number,
  training: ScaleTraining,
  options: ScaleTrainingOptions,
  plan: ChipPlan | undefined,
): readonly string[] {
  const { scaleEvery = USUAL_SCALE_EVERY, learnDifficult } = options;
  const ranges = () =>
    training.kind === "all"
      ? []
      : describeRanges(
          learntSizes(set.splits.train, size, learnDifficult),
          size,
          training.scales,
          training.ranges,
        );
  const sizes = trainedSizes(training);
  const looks = looksOfTraining(size, training)?.testScales ?? [];
  const validated =
    looks.length < 2
      ? []
      : [
          `validation looks at images of ${looks.map((scale) => scaledSize(size, scale)).join(", ")} pixels, each for its objects, and merges what is found`,
        ];
  if (training.kind !== "chips") {
    return [
      ...validated,
      ...(sizes.length === 1 && sizes[0] === size
        ? []
        : [
            `training images of ${sizes.toSorted((a, b) => a - b).join(", ")} pixels, another size every ${scaleEvery === 1 ? "batch" : `${scaleEvery} batches`}`,
          ]),
      ...(training.kind === "snip"
        ? ["SNIP: objects of other sizes count neither as objects nor as background", ...ranges()]
        : []),
    ];
  }
  if (plan === undefined) return [];
  const { nowhere, objects } = plan;
  return [
    describeChips(set, training, chipCounts(set, training, plan, backgroundShare(options))),
    ...validated,
    ...ranges(),
    ...(nowhere === 0
      ? []
      : [
          `${nowhere} of ${counted(objects, "object")} ${nowhere === 1 ? "lies wholly in no chip of a scale at which it is" : "lie wholly in no chip of a scale at which they are"} learnt`,
        ]),
    "chips are flipped, moved and recolored; zoom, stretch, mosaic and mix-up are off",
  ];
}

/** The scales at which a set is looked at for SNIP, where none are given. */
const SNIP_SCALES = [0.5, 1, 2] as const;

/** How large the training objects of a set are, and what that suggests. */
export interface SizeReport {
  /** Height and width of the images that a detector sees. */
  readonly size: number;
  /** In pixels of the images as they are. */
  readonly original: ObjectSizes;
  /** In pixels of images of that size. */
  readonly seen: ObjectSizes;
  /** The ranges that --snip would choose, and lines on them; undefined where there is no object. */
  readonly snip: ScaleSuggestion | undefined;
  /** The ranges and chips that --sniper would choose. */
  readonly sniper:
    | (ScaleSuggestion & { readonly chips: ChipCounts; readonly options: ChipOptions })
    | undefined;
}

/** Ranges of sizes for scales. */
export interface ScaleSuggestion {
  readonly scales: readonly number[];
  readonly validRanges: readonly string[];
  readonly lines: readonly string[];
}

/**
 * Measures the training objects of a set, and chooses ranges and chips for it as a fit would.
 * @param scales of both; default: 0.5, 1 and 2 for SNIP, 1, 0.5 and 0.25 for SNIPER
 */
export function sizeReport(
  set: DetectionSet,
  size: number,
  {
    scales,
    chip,
  }: { readonly scales?: readonly number[] | undefined; readonly chip?: number | undefined } = {},
): SizeReport {
  const { train } = set.splits;
  const sizes = learntSizes(train, size);
  const report = { size, original: objectSizes(learntSizes(train, undefined)), seen: objectSizes(sizes) };
  if (sizes.length === 0) return { ...report, snip: undefined, sniper: undefined };
  const options = (given: Readonly<Record<string, unknown>>): ScaleTrainingOptions =>
    detectionDataOptions(given);
  const suggestion = (training: Exclude<ScaleTraining, { kind: "all" }>, lines: readonly string[]) => ({
    scales: training.scales,
    validRanges: rangeTexts(training.ranges),
    lines: [...lines, ...describeRanges(sizes, size, training.scales, training.ranges)],
  });
  const several = scales !== undefined && scales.length < 2 ? undefined : (scales ?? SNIP_SCALES);
  const snip = several && scaleTraining(set, size, options({ snip: true, scales: several }));
  const usual = options({ sniper: true, ...(scales && { scales }), ...(chip !== undefined && { chip }) });
  const sniper = scaleTraining(set, size, usual);
  const chips = plannedChips(set, sniper, usual);
  return {
    ...report,
    snip: snip?.kind === "snip" ? suggestion(snip, []) : undefined,
    sniper:
      sniper.kind === "chips" && chips !== undefined
        ? { ...suggestion(sniper, [describeChips(set, sniper, chips)]), chips, options: sniper }
        : undefined,
  };
}
