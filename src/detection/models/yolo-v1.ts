import { z } from "zod";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { amount, shapeCount, unitCount } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { normal } from "../../nn/initializers.ts";
import { Dropout, Linear } from "../../nn/linear.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { broadcastTo, inputAt, scatterElementsAdd } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  constant,
  type Initializer,
  oneHot,
  split,
  stack,
  type Tensor,
} from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import { squeezedSides } from "../boxes/decoding.ts";
import { firstAtPlace, type ObjectRows, outsideRegions, rowsAt } from "../loss/assignment.ts";
import { boxOverlap } from "../loss/losses.ts";
import { featureOptions, featurePoints, featureRows, sharedChannels } from "../network/feature-network.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector, onlyGrid } from "./detector.ts";

/** What a cell predicts, row by row. */
export interface YoloV1Outputs {
  /** For each predictor x and y in the cell (in cells) and √w and √h (shares of the image): [n, cells, predictors, 4]. */
  readonly codes: Tensor;
  /** Confidence of each predictor: Pr(object) · IoU, [n, cells, predictors]. */
  readonly confidence: Tensor;
  /** Probability of each class where there is an object, [n, cells, classes]. */
  readonly classes: Tensor;
}

export interface YoloV1HeadOptions {
  readonly channels: number;
  readonly predictors: number;
  readonly classes: number;
  readonly grid: CellGrid;
  /** Units of the hidden layer of a connected head; default: a head of convolutions. */
  readonly hidden?: number;
}

/**
 * The last layers of YOLO (Redmon et al. 2016, section 2.1), linear at the end: connected ones as in the paper, which see the
 * whole image, or convolutions, whose cells have the same weights.
 */
class YoloV1Head {
  readonly output: Conv2d | Linear;
  readonly hidden: ConvBlock | Linear;
  private readonly dropout = new Dropout(0.5);
  private readonly options: YoloV1HeadOptions;

  constructor(options: YoloV1HeadOptions) {
    const { channels, predictors, classes, grid, hidden } = options;
    const [cells, values] = [grid.rows * grid.columns, 5 * predictors + classes];
    const start = { initializeWeight: normal(0.01), initializeBias: firstOutputs(predictors, classes) };
    this.options = options;
    if (hidden === undefined) {
      this.hidden = new ConvBlock(channels, channels, 3);
      this.output = new Conv2d(channels, values, 1, start);
    } else {
      this.hidden = new Linear(cells * channels, hidden);
      this.output = new Linear(hidden, cells * values, start);
    }
  }

  /** The only map → what its cells predict. @throws ShapeError */
  forward(maps: readonly Tensor[]): YoloV1Outputs {
    const map = inputAt(maps, 0);
    const { predictors, classes } = this.options;
    const cells = sizeAt("YOLO (v1)", map, 2) * sizeAt("YOLO (v1)", map, 3);
    const n = dimAt(map, 0);
    const rows = this.rows(map).reshape([n, cells, 5 * predictors + classes]);
    const [boxes, own] = split(rows, 2, [5 * predictors, classes]);
    const [codes, confidence] = split(boxes.reshape([n, cells, predictors, 5]), 3, [4, 1]);
    return { codes, confidence: confidence.squeeze(3), classes: own };
  }

  private rows(map: Tensor): Tensor {
    const { hidden, output } = this;
    if (hidden instanceof ConvBlock) return featureRows([output.forward(hidden.forward(map))]);
    const flat = map.reshape([dimAt(map, 0), -1]);
    return output.forward(this.dropout.forward(hidden.forward(flat).leakyRelu(0.1)));
  }
}

/** First outputs: centers in the middle of cells, predictors of different sizes, small confidence, equal classes. */
function firstOutputs(predictors: number, classes: number): Initializer {
  const boxes = Array.from({ length: predictors }, (_, i) => {
    const side = (i + 1) / (predictors + 1);
    return [0.5, 0.5, side, side, 0.1];
  });
  const values = [...boxes.flat(), ...new Array<number>(classes).fill(1 / classes)];
  return (target) => {
    for (let i = 0; i < target.length; i++) target[i] = values[i % values.length] ?? 0;
  };
}

/** The boxes that codes stand for: codes [..., 4] of cells whose corners (in cells) are [..., 2] → [..., 4] in pixels. */
export function boxesOfCodes(codes: Tensor, corners: Tensor, { rows, columns, stride }: CellGrid): Tensor {
  const axis = codes.rank - 1;
  const [places, roots] = split(codes, axis, 2);
  const centers = places.add(corners).mul(stride);
  const [width, height] = split(roots.square(), axis, 2);
  const half = concat([width.mul(columns * stride), height.mul(rows * stride)], axis).mul(0.5);
  return concat([centers.sub(half), centers.add(half)], axis);
}

/** Column and row of each cell, from the locations of cells, [...] (int64) → [..., 2]. */
export function cornersOf(places: Tensor, { columns }: CellGrid): Tensor {
  const at = places.cast("float32");
  const row = at.div(columns).floor();
  return stack([at.sub(row.mul(columns)), row], places.rank);
}

/** Which cell is assigned to each object, and what it should predict. */
export interface CellTargets {
  /** The cell of the object's center, row by row, [n, m] (int64). */
  readonly places: Tensor;
  /** 1 for an object that is assigned to its cell, 0 for other rows, [n, m]. */
  readonly weights: Tensor;
  /** Center in its cell, in cells (0 … 1), and the square roots of width and height as shares of the image: [n, m, 4]. */
  readonly codes: Tensor;
}

/**
 * The assignment of YOLO (Redmon et al. 2016, section 2): the cell in which an object's center falls is assigned to it. A cell has
 * one class, so that of several objects the first counts.
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignCells(boxes: Tensor, labels: Tensor, grid: CellGrid): CellTargets {
  const { rows, columns, stride } = grid;
  const [x1, y1, x2, y2] = squeezedSides(boxes);
  const [x, y] = [x1.add(x2).mul(0.5 / stride), y1.add(y2).mul(0.5 / stride)];
  const column = x.floor().clamp(0, columns - 1);
  const row = y.floor().clamp(0, rows - 1);
  const places = row.mul(columns).add(column).cast("int64");
  const sides = [x2.sub(x1).mul(1 / (columns * stride)), y2.sub(y1).mul(1 / (rows * stride))];
  const codes = [x.sub(column), y.sub(row), ...sides.map((side) => side.sqrt())];
  return {
    places,
    weights: firstAtPlace(places, labels),
    codes: concat(
      codes.map((code) => code.unsqueeze(2)),
      2,
    ),
  };
}

/**
 * Which predictor of a cell is responsible (section 2.2): the one whose box has the largest IoU with the object's; where none
 * touches it, the one whose edges are nearest, as in the authors' code. Boxes [n, m, predictors, 4], truth [n, m, 4] → [n, m,
 * predictors], a 1 and zeros.
 */
export function responsible(boxes: Tensor, truth: Tensor): { readonly mask: Tensor; readonly iou: Tensor } {
  const object = truth.unsqueeze(2);
  const iou = boxOverlap(boxes, object);
  const apart = boxes.sub(object).square().sum(3);
  const rank = iou.sub(apart.mul(iou.lessEqual(0).cast("float32")));
  return { mask: oneHot(rank.argMax(2), Number(boxes.shape[2])), iou };
}

/** Options of YOLO as first published. */
export const yoloV1Options = z.strictObject({
  ...featureOptions,
  stride: z
    .literal([16, 32])
    .default(16)
    .describe("pixels from cell to cell; with 32, images of 224 pixels have the paper's grid of 7 × 7"),
  predictors: shapeCount().default(2).describe("boxes of a cell, B in the paper"),
  head: z
    .enum(["convolutional", "connected"])
    .default("convolutional")
    .describe("last layers: convolutions, or connected ones as in the paper, which need far more images"),
  hidden: unitCount().default(512).describe("connected head: units of the hidden layer; 4096 in the paper"),
  coordinateGain: amount().default(5).describe("weight of the coordinates, λ_coord in the paper"),
  emptyGain: amount()
    .default(0.5)
    .describe("weight of the confidence of predictors without an object, λ_noobj in the paper"),
});

export type YoloV1Options = z.output<typeof yoloV1Options>;

/** Channels of the map that the head looks at, for width 1. */
const CHANNELS = 128;

/**
 * YOLO as first published (Redmon et al. 2016, "You only look once"): a coarse grid, of which the cell with an object's center
 * is assigned to it, with one class and a few boxes a cell, and one squared loss for everything. The backbone is a small one of
 * today.
 */
export class YoloV1 extends DenseDetector<YoloV1Options, YoloV1Outputs, CellGrid> {
  readonly needsSuppression = true;
  /** A connected head has weights for each cell. */
  readonly takesOneSize: boolean;
  readonly head: YoloV1Head;

  /** @throws OptionError where options do not fit the data */
  constructor(options: YoloV1Options, data: DetectionInfo) {
    const { stride, predictors, hidden } = options;
    super({ name: "yolo-v1", title: "YOLO (v1)" }, options, data, {
      ...options,
      neck: "none",
      finestStride: stride,
      levels: 1,
      neckChannels: CHANNELS,
    });
    this.takesOneSize = options.head === "connected";
    this.head = new YoloV1Head({
      channels: sharedChannels(this.features.levels),
      predictors,
      classes: this.classes,
      grid: onlyGrid(this.grids),
      ...(options.head === "connected" && { hidden }),
    });
  }

  protected geometryOf(grids: readonly CellGrid[]): CellGrid {
    return onlyGrid(grids);
  }

  /** Equation 3 of the paper, divided by the number of images. */
  protected lossesOf(outputs: YoloV1Outputs, objects: ObjectRows, grid: CellGrid): Losses {
    return yoloV1Losses(outputs, grid, objects, this.options);
  }

  /** Scores are confidence · Pr(class | object), equation 1 of the paper. */
  protected decode({ codes, confidence, classes }: YoloV1Outputs, grid: CellGrid): Decoded {
    const n = dimAt(confidence, 0);
    const [cells, predictors] = [sizeAt("YOLO (v1)", confidence, 1), sizeAt("YOLO (v1)", confidence, 2)];
    const places = arange(0, cells).unsqueeze(1);
    const count = cells * predictors;
    const share = (value: Tensor): Tensor => value.clamp(0, 1);
    const scores = share(confidence).unsqueeze(3).mul(share(classes).unsqueeze(2));
    return {
      boxes: boxesOfCodes(codes, cornersOf(places, grid), grid).reshape([n, count, 4]),
      scores: scores.reshape([n, count, this.classes]),
    };
  }
}

/** The five parts of the loss of what the cells predict, for objects [n, m] (Redmon et al. 2016, equation 3). */
export function yoloV1Losses(
  { codes, confidence, classes }: YoloV1Outputs,
  grid: CellGrid,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { coordinateGain, emptyGain }: Pick<YoloV1Options, "coordinateGain" | "emptyGain">,
): Losses {
  const [n, cells, predictors] = [
    dimAt(confidence, 0),
    dimAt(confidence, 1),
    sizeAt("YOLO (v1)", confidence, 2),
  ];
  const m = dimAt(labels, 1);
  const targets = assignCells(boxes, labels, grid);
  const at = (rows: Tensor): Tensor => rowsAt(rows, targets.places);
  const own = at(codes.reshape([n, cells, 4 * predictors])).reshape([n, m, predictors, 4]);
  const predicted = boxesOfCodes(own, cornersOf(targets.places.unsqueeze(2), grid), grid).stopGradient();
  const { mask, iou } = responsible(predicted, boxes);
  const chosen = mask.mul(targets.weights.unsqueeze(2));
  const busy = scatterElementsAdd(
    broadcastTo(constant(0), confidence.shape),
    broadcastTo(targets.places.unsqueeze(2), chosen.shape),
    chosen,
    1,
  );

  const errors = own.sub(targets.codes.unsqueeze(2)).square().mul(chosen.unsqueeze(3));
  const [centers, sides] = split(errors, 3, 2);
  const sure = at(confidence).sub(iou).square().mul(chosen);
  const answers = busy.max(2).greater(0.5);
  const points = featurePoints([grid]);
  const empty = outsideRegions(
    confidence.square().mul(busy.neg().add(1)),
    answers,
    points.centers,
    ignored,
    invalid,
  );
  const wrong = at(classes)
    .sub(oneHot(labels, Number(classes.shape[2])))
    .square()
    .sum(2)
    .mul(targets.weights);
  const parts = {
    center: centers.sum().mul(coordinateGain),
    size: sides.sum().mul(coordinateGain),
    object: sure.sum(),
    empty: empty.sum().mul(emptyGain),
    class: wrong.sum(),
  };
  return meanLosses(parts, Number(n));
}

/** The parts divided by a number, and their sum. */
function meanLosses(parts: Readonly<Record<string, Tensor>>, count: number): Losses {
  const means = Object.entries(parts).map(([name, part]) => [name, part.mul(1 / count)] as const);
  const total = means.map(([, mean]) => mean).reduce((a, b) => a.add(b));
  return { total, ...Object.fromEntries(means) };
}

/** YOLO as first published, as the catalogue has it. */
export const yoloV1Definition = defineDetector({
  name: "yolo-v1",
  summary:
    "the first YOLO: a coarse grid whose cell with an object's center is assigned to it, one squared loss",
  paper: "Redmon et al. 2016, You Only Look Once: Unified, Real-Time Object Detection, arXiv:1506.02640",
  options: yoloV1Options,
  build: (options, data) => new YoloV1(options, data),
});
