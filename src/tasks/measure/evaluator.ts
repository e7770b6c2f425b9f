import type { DetectionSplit } from "../../data/boxes/set.ts";
import type { Truth } from "../../detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import {
  type AnyDetector,
  completeDetectOptions,
  type DetectOptions,
  type Detector,
  detectOptionsOf,
  MANY_DETECTIONS,
  pickedDetections,
} from "../../detection/models/detector.ts";
import { detectorViews, inImages, mergeViews } from "../../detection/models/image-pyramid.ts";
import { TileGatherer } from "../../detection/models/tiled-images.ts";
import type { TestTimeOptions } from "../../detection/scale/test-time.ts";
import type { Tiling } from "../../detection/scale/tile-options.ts";
import type { TileSplit } from "../../detection/scale/tile-split.ts";
import type { SymbolicBatch } from "../../model/data-info.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Tensor } from "../../tensor/graph.ts";
import type { HeldOutEvaluator } from "../../train/batches.ts";

/**
 * Options of detection for measuring, those that are not given filled in: average precision looks at detections of nearly every score.
 * @param detector one that may have options of its own
 */
export function evaluationOptions(
  options: DetectOptions = {},
  detector?: AnyDetector,
): Required<DetectOptions> {
  const nearlyAll = { ...options, confidence: options.confidence ?? 0.01 };
  return detector === undefined ? completeDetectOptions(nearlyAll) : detectOptionsOf(detector, nearlyAll);
}

/** The objects of image `index` of a split. */
export function truthOf(split: DetectionSplit, index: number): Truth {
  const { boxes, labels, crowd, difficult, areas, subsets } = split.annotations(index);
  return { boxes, classes: labels, crowd, ignore: difficult, areas, ...(subsets && { subsets }) };
}

/** The input of a batch that has its images in a canvas of that side, for a detector that is made for another one. */
export function scaledInput(side: number): string {
  return `x${side}`;
}

/**
 * Evaluates a detector by COCO's average precision over a split, in pixels of the images as they are. Batches have the images in a canvas of
 * each size that it looks at: `x` is that which the detector is made for, the others are called by `scaledInput`.
 * @param looks how often it looks at an image; default: once
 * @param cut where samples are tiles of the images of the split: what is found in those of an image is merged. Images of which not all tiles
 * come do not count
 * @throws OptionError where the looks are not acceptable
 */
export function detectionEvaluator(
  detector: Detector,
  split: DetectionSplit,
  classes: readonly string[],
  looks: TestTimeOptions = {},
  cut?: { readonly tiling: Tiling; readonly tiles: TileSplit },
): HeldOutEvaluator {
  const { views, sides } = detectorViews(detector, looks);
  const isUsual = (side: number): boolean => side === detector.imageSize.width;
  const named = (name: string, side: number): string => (isUsual(side) ? name : `${name}${side}`);
  return {
    criterion: "AP",
    outputs(batch: SymbolicBatch & Readonly<Record<string, Tensor | undefined>>) {
      const outputs = sides.flatMap((side) => {
        const x = isUsual(side) ? batch.x : batch[scaledInput(side)];
        if (x === undefined) throw new RangeError(`the batch has no images of ${side} pixels`);
        const { boxes, scores } = detector.decoded(x);
        return [[named("boxes", side), boxes] as const, [named("scores", side), scores] as const];
      });
      return Object.fromEntries(outputs);
    },
    begin() {
      const evaluator = new DetectionEvaluator(classes);
      const options = evaluationOptions(cut === undefined ? {} : { maximum: MANY_DETECTIONS });
      const gatherer = cut && new TileGatherer(cut.tiles, cut.tiling);
      return {
        add(outputs, { first, count }) {
          const indices = Array.from({ length: count }, (_, i) => first + i);
          const sizes = indices.map((index) => (cut?.tiles ?? split).annotations(index));
          const of = (name: string, side: number): NdArray<"float32"> => {
            const value = outputs[named(name, side)];
            if (value?.dtype !== "float32")
              throw new RangeError(`${named(name, side)} is not among the outputs`);
            return value as NdArray<"float32">;
          };
          const results = views.map((view) => {
            const { side, range } = view;
            const seen = pickedDetections(
              detector,
              { boxes: of("boxes", side), scores: of("scores", side) },
              options,
              { width: side, height: side },
              range,
            );
            return inImages(view, seen, sizes);
          });
          const found = mergeViews(detector, results, { ...options, ...looks });
          for (const [i, own] of found.entries()) {
            const whole = gatherer ? gatherer.add(first + i, own) : { image: first + i, found: own };
            if (whole !== undefined) evaluator.add(whole.found, truthOf(split, whole.image));
          }
        },
        measures() {
          const { ap, ap50 } = evaluator.coco();
          return { AP: ap, AP50: ap50 };
        },
      };
    },
  };
}
