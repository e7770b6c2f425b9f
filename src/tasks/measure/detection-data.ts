import type { DetectionSet, DetectionSplit } from "../../data/boxes/set.ts";
import { DIGIT_SCENES } from "../../data/scenes/digit-scenes.ts";
import {
  type DetectionBatches,
  type DetectionRoom,
  detectionBatches,
  letterboxBatch,
  letterboxRoom,
} from "../../detection/augment/batches.ts";
import type { Size } from "../../detection/boxes/boxes.ts";
import { checkTakesSizes, type Detector } from "../../detection/models/detector.ts";
import { detectorViews } from "../../detection/models/image-pyramid.ts";
import { lookedAt } from "../../detection/models/tiled-images.ts";
import { chipBatches, type ImageChip, planChips } from "../../detection/scale/chip-batches.ts";
import { inRange } from "../../detection/scale/ranges.ts";
import type { Tiling } from "../../detection/scale/tile-options.ts";
import { directParts } from "../../detection/scale/tile-split.ts";
import { tileEpochs, tileTraining } from "../../detection/scale/tile-training.ts";
import {
  SIZE_UNIT,
  scaledSize,
  sizesOfSteps,
  USUAL_SCALE_EVERY,
} from "../../detection/scale/training-sizes.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import type {
  BatchedData,
  BatchFeeds,
  BatchOptions,
  BatchShape,
  HeldOut,
  Rows,
} from "../../train/batches.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { PHOTO_SIZE } from "../run/detection-options.ts";
import { detectionEvaluator, scaledInput } from "./evaluator.ts";
import {
  backgroundShare,
  type ChipCounts,
  describeTraining,
  learnsAt,
  looksOfTraining,
  rangeAtFullSize,
  type ScaleTraining,
  type ScaleTrainingOptions,
  scaleTraining,
  trainedSizes,
} from "./scale-training.ts";
import { describeSmall, type SmallTrainingOptions, smallTraining } from "./small-training.ts";
import { describeTiles, fitTiling } from "./tile-training.ts";

/** Images that are validated at once, where each is looked at in the usual size alone. */
const VALIDATED = 8;

/** Images that are validated at once: of those with more pixels, as they are looked at at several scales, fewer. */
function validatedAtOnce(size: number, sides: readonly number[]): number {
  const pixels = sides.reduce((sum, side) => sum + side ** 2, 0);
  return Math.max(1, Math.min(VALIDATED, Math.floor((VALIDATED * size ** 2) / pixels)));
}

/** Numbers that a batch of validation has for its images, where they are looked at at several scales; 0 otherwise. */
export function validatedNumbers(size: number, training: ScaleTraining): number {
  const looks = looksOfTraining(size, training);
  if (looks === undefined) return 0;
  const sides = new Set([size, ...looks.testScales.map((scale) => scaledSize(size, scale))]);
  const pixels = [...sides].reduce((sum, side) => sum + side ** 2, 0);
  return validatedAtOnce(size, [...sides]) * 3 * pixels;
}

/** Images with boxes, as a fit sees them. */
export interface DetectionData extends BatchedData {
  readonly set: DetectionSet;
  /** Height and width of the images that the detector sees. */
  readonly size: number;
}

/** The largest size of images where none is given. */
const LARGEST_USUAL = 2048;

/**
 * Options of data whose defaults depend on it: scenes that are drawn have their own size and are not mirrored; tiles are seen as they are.
 * @param tiles side of the tiles that are trained on; 0 for whole images
 */
export function usualOptions(
  name: string,
  { splits: { train } }: DetectionSet,
  tiles = 0,
): { readonly size: number; readonly flip?: number } {
  const fitting = (side: number): number => SIZE_UNIT * Math.ceil(side / SIZE_UNIT);
  const tile = tiles > 0 ? { size: Math.min(LARGEST_USUAL, fitting(tiles)) } : undefined;
  if (name !== DIGIT_SCENES || train.count === 0) return tile ?? { size: PHOTO_SIZE };
  return { size: tile?.size ?? fitting(train.annotations(0).width), flip: 0 };
}

/**
 * What a run keeps of a set.
 * @param chips those of an epoch, where it is trained on chips
 * @param epoch images or tiles of an epoch, where it is trained on those
 */
export function detectionInfo(
  set: DetectionSet,
  size: number,
  chips: ChipCounts | undefined,
  epoch: number,
): RunConfig["dataInfo"] {
  return {
    kind: "image",
    sampleShape: [3, size, size],
    marks: "boxes",
    classes: set.classes.length,
    classNames: set.classes,
    fingerprint: set.fingerprint,
    trainCount: chips?.count ?? epoch,
    ...(chips !== undefined && { chips }),
  };
}

/** Boxes whose shapes are looked at, evenly spread over all. */
const MOST_SHAPES = 5000;

/**
 * Width and height of training boxes, in pixels of the images that the detector sees.
 * @param training where each scale has objects of some sizes: boxes are then as large as at the scales at which they are learnt
 */
export function boxShapes(
  { splits: { train } }: DetectionSet,
  size: number,
  training?: ScaleTraining,
): readonly Size[] {
  const seen = (shape: Size): readonly Size[] => {
    if (training === undefined || training.kind === "all") return [shape];
    return training.scales.flatMap((scale, i) => {
      const [width, height] = [scale * shape.width, scale * shape.height];
      const range = training.ranges[i];
      return range !== undefined && inRange(Math.sqrt(width * height), range) ? [{ width, height }] : [];
    });
  };
  const all = Array.from({ length: train.count }, (_, index) => train.annotations(index)).flatMap(
    ({ boxes, labels, crowd, width, height }) => {
      const scale = size / Math.max(width, height);
      return Array.from(labels.keys())
        .filter((i) => crowd[i] !== 1)
        .flatMap((i) =>
          seen({
            width: ((boxes[4 * i + 2] ?? 0) - (boxes[4 * i] ?? 0)) * scale,
            height: ((boxes[4 * i + 3] ?? 0) - (boxes[4 * i + 1] ?? 0)) * scale,
          }),
        );
    },
  );
  const step = Math.max(1, all.length / MOST_SHAPES);
  return all.filter((_, i) => Math.floor(i / step) > Math.floor((i - 1) / step));
}

const shapeOf = (rows: number, size: number, { places, regions, invalid }: DetectionRoom): BatchShape => ({
  x: [rows, 3, size, size],
  labeled: false,
  others: {
    boxes: { shape: [rows, places, 4], dtype: "float32" },
    labels: { shape: [rows, places], dtype: "int64" },
    ...(regions > 0 && { ignored: { shape: [rows, regions, 4], dtype: "float32" } }),
    ...(invalid > 0 && { invalid: { shape: [rows, invalid, 4], dtype: "float32" } }),
  },
});

/**
 * Samples to validate with: images as they are, letterboxed, evaluated by average precision. Where a detector learns of some sizes alone at each
 * scale, it looks at all of its scales, so that batches have the images of the other ones, too; losses are those at scale 1, where objects
 * that are not learnt there are ignored. Where it is trained on tiles, samples are all tiles of the images, and what is found in those of an
 * image is merged.
 */
function validationPart(
  images: DetectionSplit,
  classes: readonly string[],
  size: number,
  detector: Detector,
  training: ScaleTraining,
  tiling?: Tiling,
): HeldOut {
  const tiles = tiling && lookedAt(detector, images, tiling, directParts(images));
  const split = tiles ?? images;
  const range = rangeAtFullSize(training);
  const learns = range && ((object: number) => inRange(object, range));
  const room = letterboxRoom(split, size, learns);
  const looks = looksOfTraining(size, training) ?? {};
  const others = detectorViews(detector, looks).sides.filter((side) => side !== size);
  return {
    count: split.count,
    batchSize: validatedAtOnce(size, [size, ...others]),
    evaluator: detectionEvaluator(detector, images, classes, looks, tiling && tiles && { tiling, tiles }),
    shape(rows) {
      const shape = shapeOf(rows, size, room);
      if (others.length === 0) return shape;
      const scaled = others.map(
        (side) => [scaledInput(side), { shape: [rows, 3, side, side], dtype: "float32" }] as const,
      );
      return { ...shape, others: { ...shape.others, ...Object.fromEntries(scaled) } };
    },
    async feeds({ first, count }): Promise<BatchFeeds> {
      const indices = Array.from({ length: count }, (_, i) => first + i);
      const feeds: Record<string, NdArray> = {
        ...(await letterboxBatch(split, indices, size, room, learns)),
      };
      for (const side of others) feeds[scaledInput(side)] = (await letterboxBatch(split, indices, side)).x;
      return feeds;
    },
  };
}

/** A set as a detector is fitted to it: batches of images that are changed by chance, or of chips of them, and an evaluator. */
export function detectionData(
  set: DetectionSet,
  detector: Detector,
  options: ScaleTrainingOptions & SmallTrainingOptions,
  negatives?: readonly ImageChip[],
): DetectionData {
  const { augment, learnDifficult, scaleEvery = USUAL_SCALE_EVERY } = options;
  const { train, validation } = set.splits;
  const { width: size } = detector.imageSize;
  const training = scaleTraining(set, size, options);
  const cut = fitTiling(options);
  const inTiles = cut && tileTraining(train, cut);
  // What is learnt from: images, or tiles of them.
  const learnt = inTiles?.split ?? train;
  const seen: DetectionSet = { ...set, splits: { ...set.splits, train: learnt } };
  const small = smallTraining(seen, size, options);
  const { testScales = [] } = looksOfTraining(size, training) ?? {};
  checkTakesSizes(detector, training.kind === "chips" ? "sniper" : "scales", [
    ...trainedSizes(training),
    ...testScales.map((scale) => scaledSize(size, scale)),
  ]);
  const plan = training.kind === "chips" ? planChips(train, training) : undefined;
  const open = ({ batchSize, seed }: BatchOptions): DetectionBatches => {
    if (training.kind === "chips") {
      const background = backgroundShare(options);
      return chipBatches(train, { ...training, batchSize, seed, augment, background, negatives }, plan);
    }
    const sizes = sizesOfSteps(
      training.sizes.toSorted((a, b) => a - b),
      scaleEvery,
      seed,
    );
    const learns = learnsAt(training);
    return detectionBatches(learnt, {
      size: sizes,
      batchSize,
      seed,
      augment,
      difficult: learnDifficult,
      learns: learns && ((object, step) => learns(object, sizes.at(step))),
      small,
      epochs: inTiles && tileEpochs(inTiles, seed),
    });
  };
  const heldOut = validationPart(validation, set.classes, size, detector, training, cut?.tiling);
  return {
    kind: "batches",
    name: set.name,
    fingerprint: set.fingerprint,
    describe: () => [
      ...set.describe(),
      ...(cut && inTiles ? describeTiles(set, size, cut, inTiles, heldOut.count) : []),
      ...describeTraining(seen, size, training, options, plan),
      ...describeSmall(seen, small),
      ...(negatives === undefined
        ? []
        : [`${negatives.length} chips of background hold what ${options.bySize.negativesFrom} found`]),
    ],
    set,
    size,
    validation: heldOut,
    batches({ batchSize, seed }) {
      const made = open({ batchSize, seed });
      return {
        count: made.count,
        batchSize,
        random: new Random(seed),
        shape: (rows, step) => shapeOf(rows, made.sizeAt(step), made),
        async feeds(step: number, { first, count }: Rows = { first: 0, count: batchSize }) {
          return { ...(await made.batch(step, [first, first + count])) };
        },
        names: (step) => [`those of step ${step}, changed by chance`],
      };
    },
  };
}
