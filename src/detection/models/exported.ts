import type { Exportable } from "../../model/capabilities.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  shapeError,
} from "../../tensor/index.operations.ts";
import { constant, float32, input, int64, type Tensor, where } from "../../tensor/index.ts";
import { bestPairs } from "../boxes/decoding.ts";
import { rowsAt } from "../loss/assignment.ts";
import { completeDetectOptions, type DetectOptions, type Detector } from "./detector.ts";

interface SuppressionAttributes extends Attributes {
  readonly confidence: number;
  readonly iou: number;
}

/** The runtime's own suppression finds which pairs stay; their scores are written into zeros. */
const suppressionOperation: Operation<SuppressionAttributes> = {
  name: "suppressed",
  infer: (inputs) => {
    const [boxes, scores] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (boxes.rank !== 3 || scores.rank !== 3 || boxes.shape[2] !== 4 || boxes.shape[1] !== scores.shape[2]) {
      throw shapeError("suppressed", inputs, "wants boxes [n, k, 4] and scores [n, classes, k]");
    }
    return [scores];
  },
  gradient: () => [undefined, undefined],
  lower: (context, { inputs, attributes: { confidence, iou } }) => {
    const [boxes, scores] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const all = context.value(scores);
    const places = Number(scores.shape[2]);
    const kept = context.emit1({
      op: "NonMaxSuppression",
      inputs: [
        context.value(boxes),
        all,
        context.constant(int64([places], [1])),
        context.constant(float32([iou], [1])),
        context.constant(float32([confidence], [1])),
      ],
    });
    const zeros = context.emit1({
      op: "Expand",
      inputs: [context.constant(float32([0], [1])), context.shapeValue(scores.shape)],
    });
    return [
      context.emit1({
        op: "ScatterND",
        inputs: [zeros, kept, context.emit1({ op: "GatherND", inputs: [all, kept] })],
      }),
    ];
  },
};

/**
 * Greedy non-maximum suppression within each class and image: the scores, 0 where a better box of the class overlaps by a larger
 * IoU than `iou`, and where they are not above `confidence`. Without gradient.
 * @param boxes [n, k, 4]
 * @param scores [n, classes, k]
 * @returns [n, classes, k]
 * @throws ShapeError
 */
export function suppressed(boxes: Tensor, scores: Tensor, iou: number, confidence: number): Tensor {
  return apply(suppressionOperation, [boxes, scores], { confidence, iou });
}

/**
 * The graph of a detector that ends with what is found, as `detections` has it: duplicates are taken away inside, and each image
 * has the same number of rows, from the best down; rows that stand for nothing have the class −1 and the score 0.
 * @throws OptionError where a share does not lie in 0 … 1; ShapeError where the maximum is no whole number
 */
export function exportedDetections(
  detector: Detector,
  options: DetectOptions = {},
): ReturnType<Exportable["exported"]> {
  const { confidence, iou, maximum } = completeDetectOptions(options);
  const { width, height } = detector.imageSize;
  const { boxes, scores } = detector.decoded(input("x", ["batch", 3, height, width]));
  const byClass = scores.transpose([0, 2, 1]);
  const kept = detector.needsSuppression
    ? suppressed(boxes, byClass, iou, confidence)
    : where(byClass.greaterEqual(confidence), byClass, 0);
  const rows = Math.min(maximum, Number(boxes.shape[1]) * detector.classes);
  const best = bestPairs(kept, rows);
  const corner = constant(float32([width, height, width, height], [4]));
  return {
    outputs: {
      boxes: rowsAt(boxes, best.places.cast("int64")).maximum(0).minimum(corner),
      scores: best.scores,
      classes: where(best.scores.greater(0), best.labels, -1).cast("int64"),
    },
    description:
      `What is found, from the best down, duplicates taken away (confidence ${Number(confidence.toFixed(3))}, IoU ${iou}). ` +
      `x: RGB images as bytes 0 … 255 in float32, [batch, 3, ${height}, ${width}]. boxes: [batch, ${rows}, 4], x1, y1, x2, y2 in ` +
      `pixels of x. scores: [batch, ${rows}], 0 … 1. classes: [batch, ${rows}], int64; rows of class -1 stand for nothing.`,
  };
}
