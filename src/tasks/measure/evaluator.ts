import type { DetectionSplit } from "../../data/boxes/set.ts";
import type { Size } from "../../detection/boxes/boxes.ts";
import type { Detections, Truth } from "../../detection/boxes/detections.ts";
import { fromLetterbox, letterbox } from "../../detection/boxes/letterbox.ts";
import { DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import {
  completeDetectOptions,
  type DetectOptions,
  type Detector,
  pickedDetections,
} from "../../detection/models/detector.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { HeldOutEvaluator } from "../../train/batches.ts";

/** Options of detection for measuring, those that are not given filled in: average precision looks at detections of nearly every score. */
export function evaluationOptions(options: DetectOptions = {}): Required<DetectOptions> {
  return completeDetectOptions({ ...options, confidence: options.confidence ?? 0.01 });
}

/** The objects of image `index` of a split. */
export function truthOf(split: DetectionSplit, index: number): Truth {
  const { boxes, labels, crowd, difficult, areas } = split.annotations(index);
  return { boxes, classes: labels, crowd, ignore: difficult, areas };
}

/** Detections in what a detector sees of image `index` of a split, as those of the image itself. */
export function inPixelsOf(split: DetectionSplit, index: number, found: Detections, seen: Size): Detections {
  const { width, height } = split.annotations(index);
  return { ...found, boxes: fromLetterbox(found.boxes, letterbox({ width, height }, seen)) };
}

/** Evaluates a detector by COCO's average precision over a split, in pixels of the images as they are. */
export function detectionEvaluator(
  detector: Detector,
  split: DetectionSplit,
  classes: readonly string[],
): HeldOutEvaluator {
  return {
    criterion: "AP",
    outputs: ({ x }) => ({ ...detector.decoded(x) }),
    begin() {
      const evaluator = new DetectionEvaluator(classes);
      return {
        add({ boxes, scores }, { first }) {
          if (boxes === undefined || scores === undefined) return;
          const found = pickedDetections(
            detector,
            { boxes: boxes as NdArray<"float32">, scores: scores as NdArray<"float32"> },
            evaluationOptions(),
          );
          for (const [i, detections] of found.entries()) {
            const own = inPixelsOf(split, first + i, detections, detector.imageSize);
            evaluator.add(own, truthOf(split, first + i));
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
