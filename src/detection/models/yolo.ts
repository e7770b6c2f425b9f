import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { amount, unitCount } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import * as initializers from "../../nn/initializers.ts";
import { dimAt } from "../../tensor/graph.ts";
import { inputAt, matmul } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  constant,
  float32,
  type Initializer,
  logicalAnd,
  oneHot,
  type Tensor,
  topK,
  where,
} from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import { boxesOfDistances } from "../boxes/decoding.ts";
import {
  type Assignment,
  areObjects,
  assignHighest,
  type ObjectRows,
  offsets,
  outsideRegions,
  ownClasses,
  rowsAt,
} from "../loss/assignment.ts";
import { atLeastOne, binaryCrossEntropy, boxLoss, boxOverlap, PRIOR_LOGIT } from "../loss/losses.ts";
import {
  type FeaturePoints,
  featureOptions,
  featurePoints,
  featureRows,
  pyramidOptions,
} from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";

/** What the head predicts of each of k locations. */
export interface YoloOutputs {
  /** Logits of the distances to the four edges being 0, 1, … bins − 1 strides, [n, k, 4, bins]. */
  readonly distances: Tensor;
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
}

/** Two 3×3 convolutions and a 1×1 convolution to the outputs. */
class Branch {
  readonly blocks: readonly ConvBlock[];
  readonly output: Conv2d;

  constructor(channels: number, outputs: number, initializeBias: Initializer) {
    this.blocks = [new ConvBlock(channels, channels, 3), new ConvBlock(channels, channels, 3)];
    this.output = new Conv2d(channels, outputs, 1, { initializeBias });
  }

  forward(x: Tensor): Tensor {
    return this.output.forward(this.blocks.reduce((h, block) => block.forward(h), x));
  }
}

/**
 * Decay of the first distribution of a distance from bin to bin: its mean is 2 strides, so that first boxes are 4 strides wide.
 */
const DECAY = 2 / 3;

/**
 * A decoupled head (Ge et al. 2021, "YOLOX", section 2.1): at each level one branch for the edges of boxes and one for classes.
 * The distance from a location to an edge is a distribution over whole strides (Li et al. 2020, "Generalized focal loss", equation
 * 4), whose mean is the distance.
 */
class YoloHead {
  readonly boxes: readonly Branch[];
  readonly classes: readonly Branch[];
  private readonly bins: number;

  constructor(levels: readonly FeatureLevel[], classes: number, bins: number) {
    const start: Initializer = (target) => {
      for (let i = 0; i < target.length; i++) target[i] = (i % bins) * Math.log(DECAY);
    };
    this.boxes = levels.map(({ channels }) => new Branch(channels, 4 * bins, start));
    this.classes = levels.map(
      ({ channels }) => new Branch(channels, classes, initializers.constant(PRIOR_LOGIT)),
    );
    this.bins = bins;
  }

  /** Maps of the levels → predictions of all locations. @throws ShapeError */
  forward(maps: readonly Tensor[]): YoloOutputs {
    const all = (branches: readonly Branch[]) =>
      featureRows(branches.map((branch, i) => branch.forward(inputAt(maps, i))));
    const distances = all(this.boxes);
    const [n, k] = [dimAt(distances, 0), dimAt(distances, 1)];
    return { distances: distances.reshape([n, k, 4, this.bins]), classes: all(this.classes) };
  }
}

/** The boxes that distributions of distances [n, k, 4, bins] stand for, by their means: [n, k, 4]. */
export function boxesOfDistributions(distances: Tensor, { centers, strides }: FeaturePoints): Tensor {
  const bins = Number(distances.shape[3]);
  const means = distances
    .softmax(3)
    .matmul(arange(0, bins, 1, "float32").reshape([bins, 1]))
    .squeeze(3);
  return boxesOfDistances(means, centers, strides);
}

/** Distances from locations to the left, top, right and bottom edge of boxes [n, k, 4], in strides; negative for a location outside. */
export function distancesOf(boxes: Tensor, { centers, strides }: FeaturePoints): Tensor {
  const outward = constant(float32([1, 1, -1, -1], [4]));
  return concat([centers, centers], 1).sub(boxes).mul(outward).div(strides);
}

/**
 * Distribution focal loss (Li et al. 2020, equation 6): cross entropy of the two bins around each distance, weighted by how near
 * they are. Distances beyond the last bin count as just before it.
 * @param distances logits [..., bins]
 * @param targets distances in bins, [...]
 * @returns [...]
 */
export function distributionLoss(distances: Tensor, targets: Tensor): Tensor {
  const bins = Number(distances.shape[distances.rank - 1]);
  const within = targets.clamp(0, bins - 1);
  // Weights of the bins fall linearly to 0 over one bin, and add up to 1: then −Σ w log p = log Σ eˣ − Σ w x.
  const weights = within
    .unsqueeze(within.rank)
    .sub(arange(0, bins, 1, "float32"))
    .abs()
    .neg()
    .add(1)
    .relu();
  return distances.logSumExp(distances.rank - 1).sub(distances.mul(weights).sum(distances.rank - 1));
}

/** What locations predict at the moment: alignment depends on it. Gradients do not flow through an assignment. */
export interface YoloPredictions {
  /** [n, k, classes], 0 … 1. */
  readonly scores: Tensor;
  /** [n, k, 4]. */
  readonly boxes: Tensor;
}

/** What locations should predict. */
export interface YoloTargets extends Assignment {
  /** Box of the object that each location is assigned to, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** Score of each class, [n, k, classes]: t̂ for the class of the object, else 0. */
  readonly scores: Tensor;
  /** t̂, how well the location is aligned, [n, k]; 0 where it is assigned to no object. */
  readonly weights: Tensor;
}

/** Keeps quotients finite where no location is aligned at all. */
const TINY = 1e-30;

/**
 * Task-aligned assignment (Feng et al. 2021, "TOOD", section 3.2.1 and equation 1): how well a location is aligned with an object is
 * t = s^α u^β, of the score s that it gives the object's class and the IoU u of its box with the object's, with α = ½ and β = 6.
 * The best `candidates` locations whose centers lie in the object are assigned to it (more where the last of them are equal); a location
 * that several objects claim is assigned to the one with the largest IoU. Targets are t̂: t scaled so that the largest of an object
 * is the largest IoU of its locations.
 *
 * When centers are looked for, an object narrower than the finest cell counts as one cell wide, so that none goes without.
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function alignTasks(
  predictions: YoloPredictions,
  { centers, strides, count }: FeaturePoints,
  boxes: Tensor,
  labels: Tensor,
  candidates: number,
): YoloTargets {
  const [m, classes] = [Number(labels.shape[1]), Number(predictions.scores.shape[2])];
  const scores = matmul(oneHot(labels, classes), predictions.scores.stopGradient(), { transposeB: true });
  const iou = boxOverlap(predictions.boxes.stopGradient().unsqueeze(1), boxes.unsqueeze(2));
  const alignment = scores.sqrt().mul(iou.square().mul(iou).square());

  const { dx, dy, halfWidth, halfHeight } = offsets(centers, boxes);
  const halfCell = strides.min().mul(0.5);
  const inside = logicalAnd(
    dx.lessEqual(halfWidth.maximum(halfCell)),
    dy.lessEqual(halfHeight.maximum(halfCell)),
  );
  const eligible = logicalAnd(inside, areObjects(labels));
  const ranked = where(eligible, alignment, -1);
  const last = topK(ranked, Math.min(candidates, count), 2).values.min(2, true);
  const chosen = logicalAnd(ranked.greaterEqual(last), eligible);

  const assignment = assignHighest(where(chosen, iou.add(1), 0));
  const rows = arange(0, m).reshape([1, m, 1]);
  const own = logicalAnd(chosen, assignment.owner.unsqueeze(1).equal(rows));
  const aligned = where(own, alignment, 0);
  const scale = where(own, iou, 0).max(2, true).div(aligned.max(2, true).maximum(TINY));
  const weights = aligned.mul(scale).sum(1);
  return {
    ...assignment,
    boxes: rowsAt(boxes, assignment.owner),
    scores: ownClasses(labels, assignment, classes).mul(weights.unsqueeze(2)),
    weights,
  };
}

/** Options of the anchor-free YOLO. */
export const yoloOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("pan"),
  ...pyramidOptions,
  bins: unitCount(2)
    .default(16)
    .describe("whole distances in strides, from 0 on, that the distribution of an edge is over"),
  candidates: unitCount().default(10).describe("locations that may be assigned to an object"),
  boxGain: amount().default(7.5).describe("weight of the box loss (CIoU)"),
  classGain: amount().default(0.5).describe("weight of the class loss (binary cross entropy)"),
  distributionGain: amount().default(1.5).describe("weight of the distribution focal loss"),
});

export type YoloOptions = z.output<typeof yoloOptions>;

/**
 * A YOLO as it is today: no anchors, a decoupled head, task-aligned assignment, CIoU and distribution focal loss. Its parts were
 * published apart, in the papers named beside each.
 */
export class Yolo extends DenseDetector<YoloOptions, YoloOutputs, FeaturePoints> {
  readonly needsSuppression = true;
  readonly head: YoloHead;

  /** @throws OptionError where options do not fit the data */
  constructor(options: YoloOptions, data: DetectionInfo) {
    super({ name: "yolo", title: "Anchor-free YOLO" }, options, data, options);
    this.head = new YoloHead(this.features.levels, this.classes, options.bins);
  }

  protected geometryOf(grids: readonly CellGrid[]): FeaturePoints {
    return featurePoints(grids);
  }

  /** Losses of boxes, classes and distributions, each divided by the sum of the targets' alignments. */
  protected lossesOf(outputs: YoloOutputs, objects: ObjectRows, points: FeaturePoints): Losses {
    return yoloLosses(outputs, points, objects, this.options);
  }

  protected decode({ distances, classes }: YoloOutputs, points: FeaturePoints): Decoded {
    return { boxes: boxesOfDistributions(distances, points), scores: classes.sigmoid() };
  }
}

/** The losses of what the head predicts, for objects [n, m]: boxes where a row is none are ignored. */
export function yoloLosses(
  { distances, classes }: YoloOutputs,
  points: FeaturePoints,
  { boxes, labels, ignored, invalid }: ObjectRows,
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
  const label = outsideRegions(sure, targets.positive, points.centers, ignored, invalid)
    .sum()
    .div(norm)
    .mul(options.classGain);
  return { total: box.add(label).add(distribution), box, class: label, distribution };
}

/** The anchor-free YOLO as the catalogue has it. */
export const yoloDefinition = defineDetector({
  name: "yolo",
  summary: "an anchor-free YOLO: decoupled head, task-aligned assignment, CIoU and distribution focal loss",
  paper: "Feng et al. 2021, TOOD: Task-aligned One-stage Object Detection, arXiv:2108.07755",
  options: yoloOptions,
  build: (options, data) => new Yolo(options, data),
});
