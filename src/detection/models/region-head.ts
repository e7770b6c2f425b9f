import { normal, zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import {
  concat,
  constant,
  float32,
  gatherElements,
  logicalAnd,
  logicalOr,
  oneHot,
  slice,
  type Tensor,
  uniform,
  where,
} from "../../tensor/index.ts";
import type { DeltaWeights } from "../boxes/coding.ts";
import { boxesOfDeltas } from "../boxes/decoding.ts";
import { areObjects, type ObjectRows, rowsAt } from "../loss/assignment.ts";
import { matchBoxes } from "../regions/matching.ts";
import type { Proposals } from "../regions/proposals.ts";
import { sampleRows } from "../regions/sampling.ts";
import { deltasOf, smoothL1 } from "./retina-net.ts";

/** What a head predicts of regions. */
export interface RegionOutputs {
  /** Logits of background and of the classes after it, [n, R, 1 + classes]. */
  readonly classes: Tensor;
  /** Deltas of the box from the region, weighted, of each of the classes, background too, or one for all: [n, R, 1 + classes or 1, 4]. */
  readonly deltas: Tensor;
}

/** What a head of regions is made from. */
export interface RegionHeadOptions {
  /** Channels of the maps. */
  readonly channels: number;
  readonly classes: number;
  /** Units of both hidden layers. */
  readonly hidden: number;
  /** Whether each class has deltas of its own. */
  readonly classSpecific: boolean;
  /** Bins along each side of a region. */
  readonly bins: number;
}

/**
 * The head of Fast R-CNN with two hidden layers (Lin et al. 2017, "Feature pyramid networks", section 4.2): the bins of a region → logits of
 * its classes and deltas of its box. Weights have the layout of torchvision's `TwoMLPHead` and `FastRCNNPredictor`, with background as
 * the first class.
 */
export class RegionHead {
  readonly fc6: Linear;
  readonly fc7: Linear;
  readonly classes: Linear;
  readonly deltas: Linear;
  private readonly options: RegionHeadOptions;

  constructor(options: RegionHeadOptions) {
    const { channels, classes, hidden, classSpecific, bins } = options;
    this.options = options;
    this.fc6 = new Linear(channels * bins * bins, hidden);
    this.fc7 = new Linear(hidden, hidden);
    this.classes = new Linear(hidden, 1 + classes, {
      initializeWeight: normal(0.01),
      initializeBias: zeros,
    });
    this.deltas = new Linear(hidden, 4 * (classSpecific ? 1 + classes : 1), {
      initializeWeight: normal(0.001),
      initializeBias: zeros,
    });
  }

  /**
   * Bins of regions → predictions: [n, R, bins · C, bins], as `roiAlign` gives them, or [n, R, C, bins, bins], as `readRegions` does.
   * @throws ShapeError
   */
  forward(features: Tensor): RegionOutputs {
    const { channels, bins, hidden } = this.options;
    const [n, count] = [dimAt(features, 0), sizeAt("RegionHead", features, 1)];
    // Columns of the weight in the order of the features: it is smaller than they are.
    const weight =
      features.rank === 5
        ? this.fc6.weight
        : this.fc6.weight
            .reshape([hidden, channels, bins, bins])
            .transpose([0, 2, 1, 3])
            .reshape([hidden, channels * bins * bins]);
    const rows = features.reshape([n, count, channels * bins * bins]);
    const h = this.fc7.forward(this.fc6.apply(rows, weight).relu()).relu();
    const deltas = this.deltas.forward(h);
    return {
      classes: this.classes.forward(h),
      deltas: deltas.reshape([n, count, sizeAt("RegionHead", deltas, 2) / 4, 4]),
    };
  }
}

/** How the four deltas are weighted (Girshick's code: deviations of .1 and .2), for the first of several stages and the ones after it. */
export function stageWeights(stage: number): DeltaWeights {
  const factor = stage + 1;
  return [10 * factor, 10 * factor, 5 * factor, 5 * factor];
}

/** Regions that are learnt from, with what is right for each. */
export interface RegionTargets {
  /** [n, S, 4]. */
  readonly regions: Tensor;
  /** The row of the object that a region is matched with, [n, S] (int64); any where there is none. */
  readonly owner: Tensor;
  /** Whether it is matched with one, [n, S] (bool). */
  readonly positive: Tensor;
  /** Whether it counts at all, [n, S] (bool). */
  readonly taken: Tensor;
  /** Rows in which positive ones can stand: the first so many. */
  readonly positives: number;
}

/** How regions are chosen to learn from. */
export interface RegionTargetOptions {
  /** From which IoU with an object on a region is one. */
  readonly iou: number;
  /** Regions of an image, and how many of them are objects at most. */
  readonly count: number;
  readonly positives: number;
}

/**
 * A sample of the proposals and the objects themselves, which stand in as perfect proposals: while the first stage knows nothing yet, there
 * would be no positive region otherwise.
 */
export function regionTargets(
  { boxes }: Proposals,
  objects: ObjectRows,
  { iou, count, positives }: RegionTargetOptions,
): RegionTargets {
  const all = concat([boxes, where(areObjects(objects.labels), objects.boxes, 0)], 1);
  const matches = matchBoxes(all, objects, { foreground: iou, background: iou });
  const rows = sampleRows(matches, uniform(all.shape.slice(0, 2)), { count, positives });
  return {
    regions: rowsAt(all, rows.indices),
    owner: gatherElements(matches.owner, rows.indices, 1),
    positive: rows.positive,
    taken: rows.taken,
    positives: rows.positives,
  };
}

/** Regions that a head has refined, matched anew with a higher IoU for the head after it (Cai and Vasconcelos 2018, "Cascade R-CNN", section 4.3). */
export function rematched(targets: RegionTargets, objects: ObjectRows, iou: number): RegionTargets {
  const { owner, positive, negative } = matchBoxes(targets.regions, objects, {
    foreground: iou,
    background: iou,
  });
  const own = logicalAnd(positive, targets.taken);
  return {
    regions: targets.regions,
    owner,
    positive: own,
    taken: logicalOr(own, logicalAnd(negative, targets.taken)),
    positives: sizeAt("rematched", positive, 1),
  };
}

/** Where the box loss turns from a square to a line, in weighted deltas, as in torchvision. */
export const REGION_BETA = 1 / 9;

/**
 * The losses of a head (Girshick 2015, "Fast R-CNN", equation 1): cross entropy of the classes over all regions, and smooth L1 of the deltas
 * over the positive ones, both divided by the number of regions, those that do not count too.
 */
export function regionLosses(
  { classes, deltas }: RegionOutputs,
  { regions, owner, positive, taken, positives }: RegionTargets,
  { boxes, labels }: ObjectRows,
  weights: DeltaWeights,
): { readonly class: Tensor; readonly box: Tensor } {
  const rows = sizeAt("regionLosses", classes, 1);
  const each = taken.cast("float32").mul(1 / rows);
  const own = where(positive, gatherElements(labels, owner, 1).add(1), 0);
  const right = oneHot(own, sizeAt("regionLosses", classes, 2));
  const entropy = classes.logSoftmax().mul(right).sum(2).neg();

  const first = (x: Tensor): Tensor => slice(x, 1, 0, positives);
  const [from, kinds] = [first(regions), sizeAt("regionLosses", deltas, 2)];
  const wanted = deltasOf(rowsAt(boxes, first(owner)), from).mul(constant(float32(weights, [4])));
  const ofClass = kinds > 1 ? first(deltas).mul(first(right).unsqueeze(3)).sum(2) : first(deltas).squeeze(2);
  const errors = smoothL1(ofClass.sub(wanted), REGION_BETA).sum(2);
  const counted = first(positive)
    .cast("float32")
    .mul(1 / rows);
  return {
    class: entropy.mul(each).sum(1).mean(),
    box: where(first(positive), errors, 0).mul(counted).sum(1).mean(),
  };
}

/** Boxes of each class but background, [n, R, classes or 1, 4], from deltas of regions [n, R, 4]. */
export function regionBoxes({ deltas }: RegionOutputs, regions: Tensor, weights: DeltaWeights): Tensor {
  const kinds = sizeAt("regionBoxes", deltas, 2);
  const own = kinds > 1 ? slice(deltas, 2, 1) : deltas;
  return boxesOfDeltas(own, regions.unsqueeze(2), weights);
}
