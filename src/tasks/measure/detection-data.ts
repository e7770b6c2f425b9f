import type { DetectionSet, DetectionSplit } from "../../data/boxes/set.ts";
import { DIGIT_SCENES } from "../../data/scenes/digit-scenes.ts";
import {
  type DetectionRoom,
  detectionBatches,
  letterboxBatch,
  letterboxRoom,
} from "../../detection/augment/batches.ts";
import type { Detector } from "../../detection/models/detector.ts";
import { scaledSizes, sizesOfSteps } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { BatchedData, BatchFeeds, BatchShape, HeldOut, Rows } from "../../train/batches.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { type DetectionDataOptions, PHOTO_SIZE } from "../run/detection-options.ts";
import { detectionEvaluator } from "./evaluator.ts";

/** Images that are validated at once. */
const VALIDATED = 8;

/** Images with boxes, as a fit sees them. */
export interface DetectionData extends BatchedData {
  readonly set: DetectionSet;
  /** Height and width of the images that the detector sees. */
  readonly size: number;
}

/** Options of data whose defaults depend on it: scenes that are drawn have their own size and are not mirrored. */
export function usualOptions(
  name: string,
  { splits: { train } }: DetectionSet,
): { readonly size: number; readonly flip?: number } {
  if (name !== DIGIT_SCENES || train.count === 0) return { size: PHOTO_SIZE };
  return { size: 32 * Math.ceil(train.annotations(0).width / 32), flip: 0 };
}

/** What a run keeps of a set. */
export function detectionInfo(set: DetectionSet, size: number): RunConfig["dataInfo"] {
  return {
    kind: "image",
    sampleShape: [3, size, size],
    marks: "boxes",
    classes: set.classes.length,
    classNames: set.classes,
    fingerprint: set.fingerprint,
    trainCount: set.splits.train.count,
  };
}

/** Boxes whose shapes are looked at, evenly spread over all. */
const MOST_SHAPES = 5000;

/** Width and height of training boxes, in pixels of the images that the detector sees. */
export function boxShapes(
  { splits: { train } }: DetectionSet,
  size: number,
): readonly { readonly width: number; readonly height: number }[] {
  const all = Array.from({ length: train.count }, (_, index) => train.annotations(index)).flatMap(
    ({ boxes, labels, crowd, width, height }) => {
      const scale = size / Math.max(width, height);
      return Array.from(labels.keys())
        .filter((i) => crowd[i] !== 1)
        .map((i) => ({
          width: ((boxes[4 * i + 2] ?? 0) - (boxes[4 * i] ?? 0)) * scale,
          height: ((boxes[4 * i + 3] ?? 0) - (boxes[4 * i + 1] ?? 0)) * scale,
        }));
    },
  );
  const step = Math.max(1, all.length / MOST_SHAPES);
  return all.filter((_, i) => Math.floor(i / step) > Math.floor((i - 1) / step));
}

const shapeOf = (rows: number, size: number, { places, regions }: DetectionRoom): BatchShape => ({
  x: [rows, 3, size, size],
  labeled: false,
  others: {
    boxes: { shape: [rows, places, 4], dtype: "float32" },
    labels: { shape: [rows, places], dtype: "int64" },
    ...(regions > 0 && { ignored: { shape: [rows, regions, 4], dtype: "float32" } }),
  },
});

/** Samples to validate with: images as they are, letterboxed, evaluated by average precision. */
function validationPart(
  split: DetectionSplit,
  classes: readonly string[],
  size: number,
  detector: Detector,
): HeldOut {
  const room = letterboxRoom(split, size);
  return {
    count: split.count,
    batchSize: VALIDATED,
    evaluator: detectionEvaluator(detector, split, classes),
    shape: (rows) => shapeOf(rows, size, room),
    async feeds({ first, count }): Promise<BatchFeeds> {
      const indices = Array.from({ length: count }, (_, i) => first + i);
      return { ...(await letterboxBatch(split, indices, size, room)) };
    },
  };
}

/** The sizes of training images, from the smallest on. */
export function trainingSizes(
  size: number,
  { scales }: Pick<DetectionDataOptions, "scales">,
): readonly number[] {
  return scales === undefined ? [size] : scaledSizes(size, scales);
}

/** @throws OptionError where a detector takes images of one size alone, and training images have others */
function checkSizes({ imageSize, takesOneSize }: Detector, sizes: readonly number[]): void {
  const { width } = imageSize;
  const other = sizes.find((size) => size !== width);
  if (!takesOneSize || other === undefined) return;
  throw new OptionError(
    `option scales: this detector has weights for each place of images of ${width} × ${width} pixels, and takes none of ${other} × ${other}; leave it out, or take a head of convolutions`,
  );
}

/** A set as a detector is fitted to it: batches of images that are changed by chance, and an evaluator. */
export function detectionData(
  set: DetectionSet,
  detector: Detector,
  options: Pick<DetectionDataOptions, "augment" | "learnDifficult" | "scales" | "scaleEvery">,
): DetectionData {
  const { augment, learnDifficult, scaleEvery } = options;
  const { train, validation } = set.splits;
  const { width: size } = detector.imageSize;
  const sizes = trainingSizes(size, options);
  checkSizes(detector, sizes);
  return {
    kind: "batches",
    name: set.name,
    fingerprint: set.fingerprint,
    describe: () => [
      ...set.describe(),
      ...(sizes.length === 1 && sizes[0] === size
        ? []
        : [`training images of ${sizes.join(", ")} pixels, another size every ${scaleEvery} batches`]),
    ],
    set,
    size,
    validation: validationPart(validation, set.classes, size, detector),
    batches({ batchSize, seed }) {
      const made = detectionBatches(train, {
        size: sizesOfSteps(sizes, scaleEvery, seed),
        batchSize,
        seed,
        augment,
        difficult: learnDifficult,
      });
      return {
        count: train.count,
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
