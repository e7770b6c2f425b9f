import { sizeAt } from "../../tensor/graph.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  shapeError,
} from "../../tensor/index.operations.ts";
import { float32, int64, type Tensor } from "../../tensor/index.ts";

interface SuppressionAttributes extends Attributes {
  readonly confidence: number;
  readonly iou: number;
  readonly most: number;
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
  lower: (context, { inputs, attributes: { confidence, iou, most } }) => {
    const [boxes, scores] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const all = context.value(scores);
    const kept = context.emit1({
      op: "NonMaxSuppression",
      inputs: [
        context.value(boxes),
        all,
        context.constant(int64([most], [1])),
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
 * @param most boxes that stay, of a class in an image; default: all
 * @returns [n, classes, k]
 * @throws ShapeError
 */
export function suppressed(
  boxes: Tensor,
  scores: Tensor,
  iou: number,
  confidence: number,
  most = sizeAt("suppressed", scores, 2),
): Tensor {
  return apply(suppressionOperation, [boxes, scores], { confidence, iou, most });
}
