import type { Exportable } from "../../model/capabilities.ts";
import { constant, float32, input, where } from "../../tensor/index.ts";
import { bestPairs } from "../boxes/decoding.ts";
import { suppressed } from "../boxes/suppressed.ts";
import { rowsAt } from "../loss/assignment.ts";
import { type DetectOptions, type Detector, detectOptionsOf, landmarksText } from "./detector.ts";

/**
 * The graph of a detector that ends with what is found, as `detections` has it: duplicates are taken away inside, and each image
 * has the same number of rows, from the best down; rows that stand for nothing have the class −1 and the score 0.
 * @throws OptionError where a share does not lie in 0 … 1; ShapeError where the maximum is no whole number
 */
export function exportedDetections(
  detector: Detector,
  options: DetectOptions = {},
): ReturnType<Exportable["exported"]> {
  const { confidence, iou, maximum } = detectOptionsOf(detector, options);
  const { width, height } = detector.imageSize;
  const { boxes, scores, landmarks } = detector.decoded(input("x", ["batch", 3, height, width]));
  const byClass = scores.transpose([0, 2, 1]);
  const kept = detector.needsSuppression
    ? suppressed(boxes, byClass, iou, confidence)
    : where(byClass.greaterEqual(confidence), byClass, 0);
  const rows = Math.min(maximum, Number(boxes.shape[1]) * detector.classes);
  const best = bestPairs(kept, rows);
  const places = best.places.cast("int64");
  const points = landmarks && rowsAt(landmarks, places);
  const corner = constant(float32([width, height, width, height], [4]));
  return {
    outputs: {
      boxes: rowsAt(boxes, places).maximum(0).minimum(corner),
      scores: best.scores,
      classes: where(best.scores.greater(0), best.labels, -1).cast("int64"),
      ...(points && { landmarks: points }),
    },
    description:
      `What is found, from the best down, duplicates taken away (confidence ${Number(confidence.toFixed(3))}, IoU ${iou}). ` +
      `x: RGB images as bytes 0 … 255 in float32, [batch, 3, ${height}, ${width}]. boxes: [batch, ${rows}, 4], x1, y1, x2, y2 in ` +
      `pixels of x. scores: [batch, ${rows}], 0 … 1. ${points ? landmarksText(points) : ""}classes: [batch, ${rows}], int64; rows of class -1 stand for nothing.`,
  };
}
