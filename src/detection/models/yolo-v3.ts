import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { amount, list, positiveAmount, shapeCount, share } from "../../bounds.ts";
import { OptionError, ShapeError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { argMax, broadcastTo, inputAt, matmul, scatterElementsAdd } from "../../tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  gatherElements,
  type Initializer,
  logicalAnd,
  logicalOr,
  oneHot,
  split,
  stack,
  type Tensor,
  where,
} from "../../tensor/index.ts";
import { type AnchorGrid, anchorLevels, type CellGrid, clusterAnchors } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { boxesOfYolo, sides } from "../boxes/decoding.ts";
import {
  areObjects,
  centersOf,
  firstAtPlace,
  type ObjectRows,
  outsideRegions,
  overlapsInvalid,
  rowsAt,
} from "../loss/assignment.ts";
import { atLeastOne, binaryCrossEntropy, boxOverlap, PRIOR_LOGIT } from "../loss/losses.ts";
import { featureOptions, featureRows, pyramidOptions } from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";

/** The anchors of all levels. */
export interface YoloV3Anchors {
  readonly levels: readonly AnchorGrid[];
  /** [k, 4], level by level, cell by cell, shape by shape. */
  readonly boxes: Tensor;
  /** Side of each anchor's cell, [k, 1]. */
  readonly strides: Tensor;
}

export interface AnchorOptions {
  /** Width and height of each anchor, smallest first. */
  readonly anchors?: readonly number[] | undefined;
  readonly anchorsPerLevel: number;
}

/**
 * The shapes of anchors, smallest first: those of the options; else clusters of the shapes of training boxes (Redmon and Farhadi
 * 2017, section 2, "Dimension Clusters"); else, where those are too few to be clustered, squares from 4 strides of each level on.
 * @throws OptionError where the options do not have a width and a height for each anchor
 */
export function anchorShapesOf(
  { anchors, anchorsPerLevel }: AnchorOptions,
  strides: readonly number[],
  boxShapes: readonly Size[],
): readonly Size[] {
  const count = anchorsPerLevel * strides.length;
  if (anchors !== undefined) {
    if (anchors.length !== 2 * count) {
      throw new OptionError(
        `option anchors: ${anchors.length} numbers; ${count} anchors (levels × anchorsPerLevel) need ${2 * count}, a width and a height each`,
      );
    }
    return Array.from({ length: count }, (_, i) => ({
      width: anchors[2 * i] ?? 0,
      height: anchors[2 * i + 1] ?? 0,
    }));
  }
  const different = new Set(boxShapes.map(({ width, height }) => `${width}×${height}`)).size;
  if (different >= count) {
    const boxes = Float64Array.from(boxShapes.flatMap(({ width, height }) => [0, 0, width, height]));
    return clusterAnchors(boxes, count).shapes;
  }
  return strides.flatMap((stride) =>
    Array.from({ length: anchorsPerLevel }, (_, i) => {
      const side = 4 * stride * 2 ** (i / anchorsPerLevel);
      return { width: side, height: side };
    }),
  );
}

/** Anchors of levels as tensors. */
export function yoloV3Anchors(levels: readonly AnchorGrid[]): YoloV3Anchors {
  const { boxes, strides } = anchorLevels(levels);
  return {
    levels,
    boxes: constant(float32(boxes, [strides.length, 4])),
    strides: constant(float32(strides, [strides.length, 1])),
  };
}

/** What the head predicts of each of k anchors. */
export interface YoloV3Outputs {
  /** t_x, t_y, t_w, t_h: [n, k, 4]. */
  readonly codes: Tensor;
  /** Logit of there being an object, [n, k]. */
  readonly objectness: Tensor;
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
}

/**
 * The last convolutions of YOLOv3 (Redmon and Farhadi 2018, section 2.3): at each level a 3×3 and a 1×1 convolution of its own.
 */
class YoloV3Head {
  readonly hidden: readonly ConvBlock[];
  readonly output: readonly Conv2d[];
  private readonly shapes: number;
  private readonly classes: number;

  /** @param shapes anchors of a location */
  constructor(levels: readonly FeatureLevel[], classes: number, shapes: number) {
    const values = 5 + classes;
    const start: Initializer = (target) => {
      for (let i = 0; i < target.length; i++) target[i] = i % values === 4 ? PRIOR_LOGIT : 0;
    };
    this.hidden = levels.map(({ channels }) => new ConvBlock(channels, channels, 3));
    this.output = levels.map(
      ({ channels }) => new Conv2d(channels, shapes * values, 1, { initializeBias: start }),
    );
    this.shapes = shapes;
    this.classes = classes;
  }

  /** Maps of the levels → predictions of all anchors, location by location, shape by shape. @throws ShapeError */
  forward(maps: readonly Tensor[]): YoloV3Outputs {
    const outputs = this.hidden.map((hidden, i) => {
      const output = this.output[i];
      if (output === undefined) throw new ShapeError(`YOLOv3: level ${i} has no output`);
      return output.forward(hidden.forward(inputAt(maps, i)));
    });
    const rows = featureRows(outputs);
    const places = sizeAt("YOLOv3", rows, 1);
    const all = rows.reshape([dimAt(rows, 0), places * this.shapes, 5 + this.classes]);
    const [codes, objectness, classes] = split(all, 2, [4, 1, this.classes]);
    return { codes, objectness: objectness.squeeze(2), classes };
  }
}

/** Which anchor is assigned to each object, and what it should predict. */
export interface AnchorTargets {
  /** The anchor among all k of all levels, [n, m] (int64). */
  readonly places: Tensor;
  /** 1 for an object to which an anchor is assigned, 0 for other rows, [n, m]. */
  readonly weights: Tensor;
  /** Center in its cell, in cells (0 … 1), and log(w / anchor's), log(h / anchor's): [n, m, 4]. */
  readonly codes: Tensor;
}

/** Smallest side in pixels that is encoded: rows that are no objects have none. */
const LEAST_SIDE = 1e-3;

/**
 * The assignment of YOLOv2 and v3 (Redmon and Farhadi 2018, "YOLOv3", section 2.1): the anchor whose shape has the largest IoU
 * with the object's, centers put together, of all anchors of all levels, in the cell with the object's center. Of several objects
 * with the same anchor in the same cell the first counts.
 * @param levels with anchors of as many shapes each, in the order of the head's rows
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignAnchors(boxes: Tensor, labels: Tensor, levels: readonly AnchorGrid[]): AnchorTargets {
  const shapes = levels.flatMap((level) => level.shapes);
  const column = (values: readonly number[]): Tensor => constant(float32(values, [values.length]));
  const [x1, y1, x2, y2] = sides(boxes);
  const [width, height] = [x2.sub(x1), y2.sub(y1)];
  const [widths, heights] = [column(shapes.map((s) => s.width)), column(shapes.map((s) => s.height))];
  const shared = width.minimum(widths).mul(height.minimum(heights));
  const union = width.mul(height).add(widths.mul(heights)).sub(shared);
  const best = oneHot(argMax(shared.div(union), 2), shapes.length);

  // What belongs to the best anchor: its sides, and its level's stride, size and first row.
  let before = 0;
  const anchors = levels.flatMap((level) => {
    const first = before;
    before += level.rows * level.columns * level.shapes.length;
    return level.shapes.map((shape, i) => ({
      ...level,
      ...shape,
      each: level.shapes.length,
      row: first + i,
    }));
  });
  const flat = (value: Tensor): Tensor => value.squeeze(2);
  const fact = (name: "width" | "height" | "stride" | "rows" | "columns" | "each" | "row"): Tensor => {
    const values = anchors.map((anchor) => anchor[name]);
    return flat(matmul(best, constant(float32(values, [values.length, 1]))));
  };
  const stride = fact("stride");
  const x = flat(x1.add(x2)).mul(0.5).div(stride);
  const y = flat(y1.add(y2)).mul(0.5).div(stride);
  const cellX = x.floor().maximum(0).minimum(fact("columns").sub(1));
  const cellY = y.floor().maximum(0).minimum(fact("rows").sub(1));
  const places = cellY.mul(fact("columns")).add(cellX).mul(fact("each")).add(fact("row")).cast("int64");
  const ratio = (side: Tensor, anchor: Tensor): Tensor => flat(side).maximum(LEAST_SIDE).div(anchor).log();
  const codes = stack(
    [x.sub(cellX), y.sub(cellY), ratio(width, fact("width")), ratio(height, fact("height"))],
    2,
  );
  return { places, weights: firstAtPlace(places, labels), codes };
}

/**
 * Options of YOLOv3, and of YOLOv2 with `levels` 1, `finestStride` 32, `anchorsPerLevel` 5, `objectness` iou, `classLoss`
 * softmax.
 */
export const yoloV3Options = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  anchorsPerLevel: shapeCount().default(3).describe("anchors of a location; 5 in YOLOv2"),
  anchors: list(positiveAmount())
    .optional()
    .describe(
      "width and height of each anchor in pixels, one after another, smallest first (default: k-means of the training boxes)",
    ),
  ignore: share().default(0.5).describe("IoU with an object above which a box without one costs nothing"),
  objectness: z
    .enum(["one", "iou"])
    .default("one")
    .describe("what objectness is to be where there is an object: 1, or the IoU of the box (YOLOv2)"),
  classLoss: z
    .enum(["logistic", "softmax"])
    .default("logistic")
    .describe("each class by itself, or one of all (YOLOv2)"),
  boxGain: amount().default(1).describe("weight of the coordinates"),
});

export type YoloV3Options = z.output<typeof yoloV3Options>;

/** Anchors over images of a size. */
interface YoloV3Geometry {
  readonly anchors: YoloV3Anchors;
  readonly size: Size;
}

/**
 * YOLOv3 (Redmon and Farhadi 2018, "YOLOv3: An incremental improvement") with the anchors of YOLOv2 ("YOLO9000", 2017): anchors
 * from the shapes of the training boxes, centers within their cells, objectness, and heads on maps of three strides.
 */
export class YoloV3 extends DenseDetector<YoloV3Options, YoloV3Outputs, YoloV3Geometry> {
  readonly needsSuppression = true;
  readonly head: YoloV3Head;
  /** Sides of the anchors of each level in pixels, level by level. */
  private readonly shapes: readonly Size[];

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: YoloV3Options, data: DetectionInfo) {
    super({ name: "yolo-v3", title: "YOLOv3" }, options, data, options);
    const strides = this.grids.map(({ stride }) => stride);
    this.shapes = anchorShapesOf(options, strides, data.boxShapes ?? []);
    this.head = new YoloV3Head(this.features.levels, this.classes, options.anchorsPerLevel);
  }

  protected geometryOf(grids: readonly CellGrid[], size: Size): YoloV3Geometry {
    const each = this.options.anchorsPerLevel;
    const levels = grids.map((grid, i) => ({
      ...grid,
      shapes: this.shapes.slice(i * each, (i + 1) * each),
    }));
    return { anchors: yoloV3Anchors(levels), size };
  }

  protected lossesOf(outputs: YoloV3Outputs, objects: ObjectRows, geometry: YoloV3Geometry): Losses {
    return yoloV3Losses(outputs, geometry.anchors, objects, geometry.size, this.options);
  }

  /** Scores are those of objectness times those of classes. */
  protected decode({ codes, objectness, classes }: YoloV3Outputs, { anchors }: YoloV3Geometry): Decoded {
    const own = this.options.classLoss === "softmax" ? classes.softmax(2) : classes.sigmoid();
    return {
      boxes: boxesOfYolo(codes, anchors.boxes, anchors.strides),
      scores: own.mul(objectness.sigmoid().unsqueeze(2)),
    };
  }
}

/** Targets without those of anchors that are not trained, [n, k] (bool). */
function sparing(targets: AnchorTargets, spared: Tensor): AnchorTargets {
  const own = gatherElements(spared.cast("float32"), targets.places, 1);
  return { ...targets, weights: targets.weights.mul(own.neg().add(1)) };
}

/**
 * Which predicted boxes lie on an object by an IoU above a threshold: those to which no object is assigned cost nothing then (Redmon and
 * Farhadi 2018, "YOLOv3", section 2.1).
 * @param predicted [n, k, 4]
 * @returns [n, k] (bool)
 */
export function foundObjects(
  predicted: Tensor,
  { boxes, labels, invalid }: Pick<ObjectRows, "boxes" | "labels" | "invalid">,
  threshold: number,
): Tensor {
  const overlaps = boxOverlap(predicted.unsqueeze(1), boxes.unsqueeze(2));
  const covered = where(areObjects(labels), overlaps, 0).max(1).greater(threshold);
  if (invalid === undefined) return covered;
  // What is found of an object that is not learnt here is no more wrong than what is found of one that is.
  const others = boxOverlap(predicted.unsqueeze(1), invalid.unsqueeze(2)).max(1).greater(threshold);
  return logicalOr(covered, others);
}

/**
 * The losses of what the head predicts, for objects [n, m], divided by their number: squared errors of σ(t_x), σ(t_y), t_w and t_h,
 * weighted by 2 less the share of the image that the object covers (as in the authors' code), and cross entropy of objectness and
 * classes.
 */
export function yoloV3Losses(
  { codes, objectness, classes }: YoloV3Outputs,
  anchors: YoloV3Anchors,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { width, height }: Size,
  options: Pick<YoloV3Options, "ignore" | "objectness" | "classLoss" | "boxGain">,
): Losses {
  const assigned = assignAnchors(boxes, labels, anchors.levels);
  const spare = invalid === undefined ? undefined : overlapsInvalid(anchors.boxes, invalid);
  const targets = spare === undefined ? assigned : sparing(assigned, spare);
  const at = (rows: Tensor): Tensor => rowsAt(rows, targets.places);
  const summed = (each: Tensor): Tensor => each.mul(targets.weights).sum();

  const [offsets, logarithms] = split(at(codes), 2, 2);
  const errors = concat([offsets.sigmoid(), logarithms], 2).sub(targets.codes).square().sum(2);
  const [low, high] = split(boxes, 2, 2);
  const [wide, tall] = split(high.sub(low), 2, 2);
  const [w, h] = [wide.squeeze(2), tall.squeeze(2)];
  const box = summed(
    errors.mul(
      w
        .mul(h)
        .mul(-1 / (width * height))
        .add(2),
    ),
  );

  const predicted = boxesOfYolo(codes, anchors.boxes, anchors.strides).stopGradient();
  const found = foundObjects(predicted, { boxes, labels, invalid }, options.ignore);
  const put = (values: Tensor): Tensor =>
    scatterElementsAdd(broadcastTo(constant(0), objectness.shape), targets.places, values, 1);
  const answers = put(targets.weights);
  const spared = logicalAnd(found, answers.less(0.5));
  const quality =
    options.objectness === "iou" ? put(boxOverlap(at(predicted), boxes).mul(targets.weights)) : answers;
  const unsaid = spare === undefined ? spared : logicalOr(spared, spare);
  const sure = where(unsaid, 0, binaryCrossEntropy(objectness, quality));
  const object = outsideRegions(sure, answers.greater(0.5), centersOf(anchors.boxes), ignored).sum();

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

/** YOLOv3 as the catalogue has it. */
export const yoloV3Definition = defineDetector({
  name: "yolo-v3",
  summary: "YOLOv2 and v3: anchors from the training boxes, objectness, heads on maps of three strides",
  paper: "Redmon and Farhadi 2018, YOLOv3: An Incremental Improvement, arXiv:1804.02767",
  options: yoloV3Options,
  build: (options, data) => new YoloV3(options, data),
  settled: (options, data) => ({ ...options, anchors: settledAnchors(options, data) }),
});
