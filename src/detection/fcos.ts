import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import type { Losses } from "../nn/model.ts";
import type { Tensor } from "../tensor/index.ts";
import { type ObjectRows, outsideRegions } from "./assignment.ts";
import { boxesOfDistances } from "./box-decoding.ts";
import type { Size } from "./box-formats.ts";
import { boxLoss } from "./box-losses.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { atLeastOne, binaryCrossEntropy, focalLoss } from "./detector-losses.ts";
import { assignBySize, type SizeRanges, sizeRanges } from "./fcos-assignment.ts";
import { FcosHead, type FcosOutputs } from "./fcos-head.ts";
import { FeatureNetwork, featureOptions, imageSize, pyramidOptions } from "./feature-network.ts";
import { type FeaturePoints, featurePoints, levelGrids } from "./feature-points.ts";
import { neckOption } from "./neck.ts";

/** Options of FCOS. */
export const fcosOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  headBlocks: z
    .int()
    .min(1)
    .default(2)
    .describe("3×3 convolutions of each tower of the head; 4 in the paper"),
  radius: z
    .number()
    .min(0)
    .default(1.5)
    .describe("strides from an object's centre within which places answer for it; 0: anywhere in its box"),
  focalAlpha: z.number().min(0).max(1).default(0.25).describe("focal loss: weight of objects"),
  focalGamma: z.number().min(0).default(2).describe("focal loss: how much what is right already is spared"),
});

export type FcosOptions = z.output<typeof fcosOptions>;

/**
 * FCOS (Tian et al. 2019, "FCOS: Fully convolutional one-stage object detection"): each place of a pyramid says the class of the
 * object that it lies in, the distances to the four edges, and how central it is.
 */
export class Fcos implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly features: FeatureNetwork;
  readonly head: FcosHead;
  private readonly points: FeaturePoints;
  private readonly ranges: SizeRanges;
  private readonly options: FcosOptions;

  /** @throws OptionError where options do not fit the data */
  constructor(options: FcosOptions, data: DetectionInfo) {
    this.options = options;
    this.imageSize = imageSize("fcos", data.sampleShape);
    this.classes = classCount("fcos", data);
    this.features = new FeatureNetwork(options);
    this.head = new FcosHead(this.features.levels, this.classes, options.headBlocks);
    const grids = levelGrids(this.imageSize, this.features.levels);
    this.points = featurePoints(grids);
    this.ranges = sizeRanges(grids);
  }

  /** Equation 2 of the paper. */
  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    const outputs = this.head.forward(this.features.forward(x));
    return fcosLosses(outputs, this.points, this.ranges, objects, this.options);
  }

  /** Scores are √(p · centre-ness), as in the version of 2022: those of the paper, squared. */
  decoded(x: Tensor): Decoded {
    const { classes, distances, centreness } = this.head.forward(this.features.forward(x));
    const { centres, strides } = this.points;
    return {
      boxes: boxesOfDistances(distances, centres, strides),
      scores: classes.sigmoid().mul(centreness.sigmoid().unsqueeze(2)).sqrt(),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("FCOS", this);
  }
}

/**
 * The losses of what the head says, for objects [n, m]: focal loss of classes and cross entropy of centre-ness, divided by the
 * number of places that answer for an object; GIoU loss of boxes, weighted by the centre-ness that is right, as in the authors'
 * code.
 */
export function fcosLosses(
  { classes, distances, centreness }: FcosOutputs,
  points: FeaturePoints,
  ranges: SizeRanges,
  { boxes, labels, ignored }: ObjectRows,
  { radius, focalAlpha, focalGamma }: Pick<FcosOptions, "radius" | "focalAlpha" | "focalGamma">,
): Losses {
  const count = Number(classes.shape[2]);
  const targets = assignBySize(points, ranges, radius, boxes, labels, count);
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const focal = focalLoss(classes, targets.classes, { alpha: focalAlpha, gamma: focalGamma });
  const label = outsideRegions(focal, targets.positive, points.centres, ignored).sum().div(positives);
  const weights = targets.centreness.mul(positive);
  const predicted = boxesOfDistances(distances, points.centres, points.strides);
  const box = boxLoss(predicted, targets.boxes, "giou").mul(weights).sum().div(weights.sum().maximum(1e-6));
  const centre = binaryCrossEntropy(centreness, targets.centreness).mul(positive).sum().div(positives);
  return { total: label.add(box).add(centre), class: label, box, centreness: centre };
}

/** FCOS as the catalogue is to know it. */
export const fcosDefinition = defineDetector({
  name: "fcos",
  summary: "each place of a feature pyramid says class, distances to the edges and centre-ness; no anchors",
  paper: "Tian et al. 2019, FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355",
  options: fcosOptions,
  build: (options, data) => new Fcos(options, data),
  preferences: () => detectorPreferences,
});
