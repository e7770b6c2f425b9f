import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import { OptionError } from "../errors.ts";
import type { Losses } from "../nn/model.ts";
import {
  arange,
  broadcastTo,
  constant,
  oneHot,
  scatterElementsAdd,
  split,
  type Tensor,
} from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { type ObjectRows, outsideRegions, rowsAt } from "./assignment.ts";
import type { Size } from "./box-formats.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { FeatureNetwork, featureOptions, imageSize } from "./feature-network.ts";
import { featurePoints, levelGrids } from "./feature-points.ts";
import { assignCells, responsible } from "./yolo-v1-assignment.ts";
import { boxesOfCodes, cornersOf, YoloV1Head, type YoloV1Outputs } from "./yolo-v1-head.ts";

/** Options of YOLO as first published. */
export const yoloV1Options = z.strictObject({
  ...featureOptions,
  stride: z
    .literal([16, 32])
    .default(16)
    .describe("pixels from cell to cell; with 32, images of 224 pixels have the paper's grid of 7 × 7"),
  predictors: z.int().min(1).default(2).describe("boxes of a cell, B in the paper"),
  head: z
    .enum(["convolutional", "connected"])
    .default("convolutional")
    .describe("last layers: convolutions, or connected ones as in the paper, which need far more images"),
  hidden: z
    .int()
    .min(1)
    .default(512)
    .describe("connected head: units of the hidden layer; 4096 in the paper"),
  coordinateGain: z.number().min(0).default(5).describe("weight of the coordinates, λ_coord in the paper"),
  emptyGain: z
    .number()
    .min(0)
    .default(0.5)
    .describe("weight of the confidence of predictors without an object, λ_noobj in the paper"),
});

export type YoloV1Options = z.output<typeof yoloV1Options>;

/** Channels of the map that the head looks at, for width 1. */
const CHANNELS = 128;

/**
 * YOLO as first published (Redmon et al. 2016, "You only look once"): a coarse grid, of which the cell with an object's centre
 * answers for it, with one class and a few boxes a cell, and one squared loss for everything. The backbone is a small one of
 * today.
 */
export class YoloV1 implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly features: FeatureNetwork;
  readonly head: YoloV1Head;
  private readonly grid: CellGrid;
  private readonly options: YoloV1Options;

  /** @throws OptionError where options do not fit the data */
  constructor(options: YoloV1Options, data: DetectionInfo) {
    this.options = options;
    this.imageSize = imageSize("yolo-v1", data.sampleShape);
    this.classes = classCount("yolo-v1", data);
    const { backbone, width, depth, stride, predictors, hidden } = options;
    this.features = new FeatureNetwork({
      backbone,
      width,
      depth,
      neck: "none",
      finestStride: stride,
      levels: 1,
      neckChannels: CHANNELS,
    });
    const [level] = this.features.levels;
    const [grid] = levelGrids(this.imageSize, this.features.levels);
    if (level === undefined || grid === undefined) throw new OptionError("yolo-v1: there is no grid");
    this.grid = grid;
    this.head = new YoloV1Head({
      channels: level.channels,
      predictors,
      classes: this.classes,
      grid,
      ...(options.head === "connected" && { hidden }),
    });
  }

  private outputs(x: Tensor): YoloV1Outputs {
    const [map = x] = this.features.forward(x);
    return this.head.forward(map);
  }

  /** Equation 3 of the paper, divided by the number of images. */
  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    return yoloV1Losses(this.outputs(x), this.grid, objects, this.options);
  }

  /** Scores are confidence · Pr(class | object), equation 1 of the paper. */
  decoded(x: Tensor): Decoded {
    const { codes, confidence, classes } = this.outputs(x);
    const [n = 1, cells, predictors] = confidence.shape;
    const places = arange(0, Number(cells)).unsqueeze(1);
    const count = Number(cells) * Number(predictors);
    const share = (value: Tensor): Tensor => value.clamp(0, 1);
    const scores = share(confidence).unsqueeze(3).mul(share(classes).unsqueeze(2));
    return {
      boxes: boxesOfCodes(codes, cornersOf(places, this.grid), this.grid).reshape([n, count, 4]),
      scores: scores.reshape([n, count, this.classes]),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("YOLO (v1)", this);
  }
}

/** The five parts of the loss of what the cells say, for objects [n, m] (Redmon et al. 2016, equation 3). */
export function yoloV1Losses(
  { codes, confidence, classes }: YoloV1Outputs,
  grid: CellGrid,
  { boxes, labels, ignored }: ObjectRows,
  { coordinateGain, emptyGain }: Pick<YoloV1Options, "coordinateGain" | "emptyGain">,
): Losses {
  const [n = 1, cells = 1, predictors = 1] = confidence.shape;
  const [, m = 1] = labels.shape;
  const targets = assignCells(boxes, labels, grid);
  const at = (rows: Tensor): Tensor => rowsAt(rows, targets.places);
  const own = at(codes.reshape([n, cells, 4 * Number(predictors)])).reshape([n, m, predictors, 4]);
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
  const [centres = errors, sides = errors] = split(errors, 3, 2);
  const sure = at(confidence).sub(iou).square().mul(chosen);
  const answers = busy.max(2).greater(0.5);
  const points = featurePoints([grid]);
  const empty = outsideRegions(confidence.square().mul(busy.neg().add(1)), answers, points.centres, ignored);
  const wrong = at(classes)
    .sub(oneHot(labels, Number(classes.shape[2])))
    .square()
    .sum(2)
    .mul(targets.weights);
  const parts = {
    centre: centres.sum().mul(coordinateGain),
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

/** YOLO as first published, as the catalogue is to know it. */
export const yoloV1Definition = defineDetector({
  name: "yolo-v1",
  summary:
    "the first YOLO: a coarse grid whose cell with an object's centre answers for it, one squared loss",
  paper: "Redmon et al. 2016, You Only Look Once: Unified, Real-Time Object Detection, arXiv:1506.02640",
  options: yoloV1Options,
  build: (options, data) => new YoloV1(options, data),
  preferences: () => detectorPreferences,
});
