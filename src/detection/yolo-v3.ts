import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import type { Losses } from "../nn/model.ts";
import {
  broadcastTo,
  concat,
  constant,
  logicalAnd,
  oneHot,
  scatterElementsAdd,
  split,
  type Tensor,
  where,
} from "../tensor/index.ts";
import { areObjects, centresOf, type ObjectRows, outsideRegions, rowsAt } from "./assignment.ts";
import { boxesOfYolo } from "./box-decoding.ts";
import type { Size } from "./box-formats.ts";
import { boxOverlap } from "./box-losses.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { atLeastOne, binaryCrossEntropy } from "./detector-losses.ts";
import { FeatureNetwork, featureOptions, imageSize, pyramidOptions } from "./feature-network.ts";
import { levelGrids } from "./feature-points.ts";
import { neckOption } from "./neck.ts";
import { anchorShapesOf, type YoloV3Anchors, yoloV3Anchors } from "./yolo-v3-anchors.ts";
import { assignAnchors } from "./yolo-v3-assignment.ts";
import { YoloV3Head, type YoloV3Outputs } from "./yolo-v3-head.ts";

/**
 * Options of YOLOv3, and of YOLOv2 with `levels` 1, `finestStride` 32, `anchorsPerLevel` 5, `objectness` iou, `classLoss`
 * softmax.
 */
export const yoloV3Options = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  anchorsPerLevel: z.int().min(1).default(3).describe("anchors of a place; 5 in YOLOv2"),
  anchors: z
    .array(z.number().positive())
    .optional()
    .describe(
      "width and height of each anchor in pixels, one after another, smallest first (by k-means from the training boxes unless told)",
    ),
  ignore: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe("IoU with an object above which a box without one costs nothing"),
  objectness: z
    .enum(["one", "iou"])
    .default("one")
    .describe("what objectness is to be where there is an object: 1, or the IoU of the box (YOLOv2)"),
  classLoss: z
    .enum(["logistic", "softmax"])
    .default("logistic")
    .describe("each class by itself, or one of all (YOLOv2)"),
  boxGain: z.number().min(0).default(1).describe("weight of the coordinates"),
});

export type YoloV3Options = z.output<typeof yoloV3Options>;

/**
 * YOLOv3 (Redmon and Farhadi 2018, "YOLOv3: An incremental improvement") with the anchors of YOLOv2 ("YOLO9000", 2017): anchors
 * from the shapes of the training boxes, centres within their cells, objectness, and heads on maps of three strides.
 */
export class YoloV3 implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly features: FeatureNetwork;
  readonly head: YoloV3Head;
  private readonly anchors: YoloV3Anchors;
  private readonly options: YoloV3Options;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: YoloV3Options, data: DetectionInfo) {
    this.options = options;
    this.imageSize = imageSize("yolo-v3", data.sampleShape);
    this.classes = classCount("yolo-v3", data);
    this.features = new FeatureNetwork(options);
    const grids = levelGrids(this.imageSize, this.features.levels);
    const strides = grids.map(({ stride }) => stride);
    const shapes = anchorShapesOf(options, strides, data.boxShapes ?? []);
    const each = options.anchorsPerLevel;
    this.anchors = yoloV3Anchors(
      grids.map((grid, i) => ({ ...grid, shapes: shapes.slice(i * each, (i + 1) * each) })),
    );
    this.head = new YoloV3Head(this.features.levels, this.classes, each);
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    const outputs = this.head.forward(this.features.forward(x));
    return yoloV3Losses(outputs, this.anchors, objects, this.imageSize, this.options);
  }

  /** Scores are those of objectness times those of classes. */
  decoded(x: Tensor): Decoded {
    const { codes, objectness, classes } = this.head.forward(this.features.forward(x));
    const own = this.options.classLoss === "softmax" ? classes.softmax(2) : classes.sigmoid();
    return {
      boxes: boxesOfYolo(codes, this.anchors.boxes, this.anchors.strides),
      scores: own.mul(objectness.sigmoid().unsqueeze(2)),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("YOLOv3", this);
  }
}

/**
 * The losses of what the head says, for objects [n, m], divided by their number: squared errors of σ(t_x), σ(t_y), t_w and t_h,
 * weighted by 2 less the share of the image that the object covers (as in the authors' code), and cross entropy of objectness and
 * classes.
 */
export function yoloV3Losses(
  { codes, objectness, classes }: YoloV3Outputs,
  anchors: YoloV3Anchors,
  { boxes, labels, ignored }: ObjectRows,
  { width, height }: Size,
  options: Pick<YoloV3Options, "ignore" | "objectness" | "classLoss" | "boxGain">,
): Losses {
  const targets = assignAnchors(boxes, labels, anchors.levels);
  const at = (rows: Tensor): Tensor => rowsAt(rows, targets.places);
  const summed = (each: Tensor): Tensor => each.mul(targets.weights).sum();

  const [offsets = codes, logarithms = codes] = split(at(codes), 2, 2);
  const errors = concat([offsets.sigmoid(), logarithms], 2).sub(targets.codes).square().sum(2);
  const [low = boxes, high = boxes] = split(boxes, 2, 2);
  const [w = boxes, h = boxes] = split(high.sub(low), 2, 2).map((side) => side.squeeze(2));
  const box = summed(
    errors.mul(
      w
        .mul(h)
        .mul(-1 / (width * height))
        .add(2),
    ),
  );

  const predicted = boxesOfYolo(codes, anchors.boxes, anchors.strides).stopGradient();
  const overlaps = boxOverlap(predicted.unsqueeze(1), boxes.unsqueeze(2));
  const covered = where(areObjects(labels), overlaps, 0).max(1).greater(options.ignore);
  const put = (values: Tensor): Tensor =>
    scatterElementsAdd(broadcastTo(constant(0), objectness.shape), targets.places, values, 1);
  const answers = put(targets.weights);
  const spared = logicalAnd(covered, answers.less(0.5));
  const quality =
    options.objectness === "iou" ? put(boxOverlap(at(predicted), boxes).mul(targets.weights)) : answers;
  const sure = where(spared, 0, binaryCrossEntropy(objectness, quality));
  const object = outsideRegions(sure, answers.greater(0.5), centresOf(anchors.boxes), ignored).sum();

  const wanted = oneHot(labels, Number(classes.shape[2]));
  const own = at(classes);
  const label = summed(
    options.classLoss === "softmax"
      ? own.logSoftmax(2).mul(wanted).sum(2).neg()
      : binaryCrossEntropy(own, wanted).sum(2),
  );
  const objects = atLeastOne(targets.weights);
  const parts = {
    box: box.mul(options.boxGain).div(objects),
    objectness: object.div(objects),
    class: label.div(objects),
  };
  return { total: parts.box.add(parts.objectness).add(parts.class), ...parts };
}

/** Width and height of each anchor, to a tenth of a pixel. */
function settledAnchors(options: YoloV3Options, { boxShapes = [] }: DetectionInfo): number[] {
  const strides = Array.from({ length: options.levels }, (_, i) => options.finestStride * 2 ** i);
  return anchorShapesOf(options, strides, boxShapes).flatMap(({ width, height }) =>
    [width, height].map((side) => Math.max(0.1, Number(side.toFixed(1)))),
  );
}

/** YOLOv3 as the catalogue is to know it. */
export const yoloV3Definition = defineDetector({
  name: "yolo-v3",
  summary: "YOLOv2 and v3: anchors from the training boxes, objectness, heads on maps of three strides",
  paper: "Redmon and Farhadi 2018, YOLOv3: An Incremental Improvement, arXiv:1804.02767",
  options: yoloV3Options,
  build: (options, data) => new YoloV3(options, data),
  settled: (options, data) => ({ ...options, anchors: settledAnchors(options, data) }),
  preferences: () => detectorPreferences,
});
