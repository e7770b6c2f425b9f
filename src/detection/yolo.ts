import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import type { Losses } from "../nn/model.ts";
import type { Tensor } from "../tensor/index.ts";
import { type ObjectRows, outsideRegions } from "./assignment.ts";
import type { Size } from "./box-formats.ts";
import { boxLoss } from "./box-losses.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { atLeastOne, binaryCrossEntropy } from "./detector-losses.ts";
import { FeatureNetwork, featureOptions, imageSize, pyramidOptions } from "./feature-network.ts";
import { type FeaturePoints, featurePoints, levelGrids } from "./feature-points.ts";
import { neckOption } from "./neck.ts";
import { alignTasks } from "./yolo-assignment.ts";
import {
  boxesOfDistributions,
  distancesOf,
  distributionLoss,
  YoloHead,
  type YoloOutputs,
} from "./yolo-head.ts";

/** Options of the anchor-free YOLO. */
export const yoloOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("pan"),
  ...pyramidOptions,
  bins: z
    .int()
    .min(2)
    .default(16)
    .describe("whole distances in strides, from 0 on, that the distribution of an edge is over"),
  candidates: z.int().min(1).default(10).describe("places that may answer for an object"),
  boxGain: z.number().min(0).default(7.5).describe("weight of the box loss (CIoU)"),
  classGain: z.number().min(0).default(0.5).describe("weight of the class loss (binary cross entropy)"),
  distributionGain: z.number().min(0).default(1.5).describe("weight of the distribution focal loss"),
});

export type YoloOptions = z.output<typeof yoloOptions>;

/**
 * A YOLO as it is today: no anchors, a decoupled head, task-aligned assignment, CIoU and distribution focal loss. Its parts were
 * published apart, in the papers named beside each.
 */
export class Yolo implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly features: FeatureNetwork;
  readonly head: YoloHead;
  private readonly points: FeaturePoints;
  private readonly options: YoloOptions;

  /** @throws OptionError where options do not fit the data */
  constructor(options: YoloOptions, data: DetectionInfo) {
    this.options = options;
    this.imageSize = imageSize("yolo", data.sampleShape);
    this.classes = classCount("yolo", data);
    this.features = new FeatureNetwork(options);
    this.head = new YoloHead(this.features.levels, this.classes, options.bins);
    this.points = featurePoints(levelGrids(this.imageSize, this.features.levels));
  }

  /** Losses of boxes, classes and distributions, each divided by the sum of the targets' alignments. */
  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    return yoloLosses(this.head.forward(this.features.forward(x)), this.points, objects, this.options);
  }

  decoded(x: Tensor): Decoded {
    const { distances, classes } = this.head.forward(this.features.forward(x));
    return { boxes: boxesOfDistributions(distances, this.points), scores: classes.sigmoid() };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("Anchor-free YOLO", this);
  }
}

/** The losses of what the head says, for objects [n, m]: boxes where a row is none are ignored. */
export function yoloLosses(
  { distances, classes }: YoloOutputs,
  points: FeaturePoints,
  { boxes, labels, ignored }: ObjectRows,
  options: Pick<YoloOptions, "candidates" | "boxGain" | "classGain" | "distributionGain">,
): Losses {
  const predicted = boxesOfDistributions(distances, points);
  const scores = classes.sigmoid();
  const targets = alignTasks({ boxes: predicted, scores }, points, boxes, labels, options.candidates);
  const norm = atLeastOne(targets.weights);
  const weighted = (each: Tensor): Tensor => each.mul(targets.weights).sum().div(norm);
  const box = weighted(boxLoss(predicted, targets.boxes, "ciou")).mul(options.boxGain);
  const edges = distributionLoss(distances, distancesOf(targets.boxes, points)).mean(2);
  const distribution = weighted(edges).mul(options.distributionGain);
  const sure = binaryCrossEntropy(classes, targets.scores);
  const label = outsideRegions(sure, targets.positive, points.centres, ignored)
    .sum()
    .div(norm)
    .mul(options.classGain);
  return { total: box.add(label).add(distribution), box, class: label, distribution };
}

/** The anchor-free YOLO as the catalogue is to know it. */
export const yoloDefinition = defineDetector({
  name: "yolo",
  summary: "an anchor-free YOLO: decoupled head, task-aligned assignment, CIoU and distribution focal loss",
  paper: "Feng et al. 2021, TOOD: Task-aligned One-stage Object Detection, arXiv:2108.07755",
  options: yoloOptions,
  build: (options, data) => new Yolo(options, data),
  preferences: () => detectorPreferences,
});
