import { z } from "zod";
import { list, MOST, positiveAmount, shapeCount, share } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { Conv2d } from "../../nn/convolution.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { argMax } from "../../tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  logicalAnd,
  logicalNot,
  split,
  type Tensor,
  where,
} from "../../tensor/index.ts";
import { anchorLevels, anchorShapes, type CellGrid } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { boxesOfDeltas } from "../boxes/decoding.ts";
import {
  type Assignment,
  areObjects,
  centersOf,
  checkThresholds,
  type ObjectRows,
  outsideRegions,
  overlapsInvalid,
  ownClasses,
  rowsAt,
} from "../loss/assignment.ts";
import { atLeastOne, boxOverlap, focalLoss, PRIOR_LOGIT } from "../loss/losses.ts";
import type { FeatureLevel } from "../network/backbones.ts";
import type { SharedTower } from "../network/blocks.ts";
import { featureOptions, featureRows, pyramidOptions } from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { clipped } from "../regions/proposals.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";
import { focalOptions, type HeadTowerOptions, TowerHead, towerOptions, towerOutput } from "./tower-head.ts";

/** What the head predicts of each of k anchors. */
export interface RetinaNetOutputs {
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
  /** Deltas of the box from the anchor, [n, k, 4]. */
  readonly deltas: Tensor;
}

/**
 * The head of RetinaNet (Lin et al. 2017, section 4 and figure 3), the same for all levels: a tower for classes and a tower for
 * boxes. Unlike in the paper, they have group normalization unless `headGroups` is 0: networks are trained from scratch here.
 */
class RetinaNetHead extends TowerHead {
  readonly classes: Conv2d;
  readonly deltas: Conv2d;
  private readonly shapes: number;

  /** @param shapes anchors of a location */
  constructor(levels: readonly FeatureLevel[], classes: number, shapes: number, towers: HeadTowerOptions) {
    super(levels, towers);
    this.classes = towerOutput(levels, shapes * classes, PRIOR_LOGIT);
    this.deltas = towerOutput(levels, shapes * 4, 0);
    this.shapes = shapes;
  }

  /** Maps of the levels → predictions of all anchors, location by location, shape by shape. @throws ShapeError */
  forward(maps: readonly Tensor[]): RetinaNetOutputs {
    const anchors = (tower: SharedTower, output: Conv2d): Tensor => {
      const rows = featureRows(maps.map((map) => output.forward(tower.forward(map))));
      return rows.reshape([
        dimAt(rows, 0),
        sizeAt("RetinaNet", rows, 1) * this.shapes,
        sizeAt("RetinaNet", rows, 2) / this.shapes,
      ]);
    };
    return {
      classes: anchors(this.classTower, this.classes),
      deltas: anchors(this.boxTower, this.deltas),
    };
  }
}

/** Smallest side in pixels that is encoded: rows that are no objects have none. */
const LEAST_SIDE = 1e-3;

/** As `encodeDeltas`, of tensors: boxes [n, k, 4] relative to anchors that broadcast with them. */
export function deltasOf(boxes: Tensor, anchors: Tensor): Tensor {
  const centered = (edges: Tensor): readonly [Tensor, Tensor] => {
    const [low, high] = split(edges, edges.rank - 1, 2);
    return [low.add(high).mul(0.5), high.sub(low).maximum(LEAST_SIDE)];
  };
  const [center, side] = centered(boxes);
  const [anchor, size] = centered(anchors);
  return concat([center.sub(anchor).div(size), side.div(size).log()], boxes.rank - 1);
}

/** Huber's loss with slope 1 (Girshick 2015, "Fast R-CNN", equation 3): x² / 2β up to |x| = β, |x| − β / 2 beyond. */
export function smoothL1(x: Tensor, beta: number): Tensor {
  const size = x.abs();
  const inner = size.minimum(beta);
  return inner
    .square()
    .mul(0.5 / beta)
    .add(size.sub(inner));
}

/** What anchors should predict. */
export interface RetinaNetTargets extends Assignment {
  /** Box of the object that each anchor is assigned to, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** 1 for its class, [n, k, classes]. */
  readonly classes: Tensor;
  /** Whether the anchor counts for the class loss, [n, k] (bool): it is right for an object, or far from all. */
  readonly counted: Tensor;
}

/** From which IoU on an anchor is assigned to an object, and below which it is background. */
export interface OverlapThresholds {
  readonly foreground: number;
  readonly background: number;
}

/** Least IoU with which an anchor can be the best of an object: there must be some. */
const LEAST_OVERLAP = 1e-9;

/**
 * Assignment by overlap (Lin et al. 2017, "Focal loss", section 4): an anchor is assigned to the object with which its IoU is
 * largest, if that is at least `foreground`; below `background` it is background; between it counts for nothing. Beside that, the
 * anchors with the largest IoU of an object are assigned to it however small that is, as in Faster R-CNN (Ren et al. 2015, section
 * 3.1.2), so that none goes without.
 * @param anchors [k, 4]
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignByOverlap(
  anchors: Tensor,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
  { foreground, background }: OverlapThresholds,
): RetinaNetTargets {
  // Rows that are no objects have no area, and so no overlap. These tensors are [n, m, k], the largest of the step: every pass counts.
  const objects = where(areObjects(labels), boxes, 0);
  const iou = boxOverlap(anchors.unsqueeze(0).unsqueeze(0), objects.unsqueeze(2));
  const best = iou.greaterEqual(iou.max(2, true).maximum(LEAST_OVERLAP));
  const ranks = iou.add(best.cast("float32"));
  const highest = ranks.max(1);
  const positive = highest.greaterEqual(Math.max(foreground, LEAST_OVERLAP));
  const near = logicalAnd(highest.greaterEqual(background), logicalNot(positive));
  const assignment = { positive, owner: argMax(ranks, 1) };
  return {
    ...assignment,
    boxes: rowsAt(boxes, assignment.owner),
    classes: ownClasses(labels, assignment, classes),
    counted: logicalNot(near),
  };
}

/** Targets without those anchors, [n, k] (bool): they are assigned to no object and count for nothing. */
export function sparing<T extends Pick<RetinaNetTargets, "positive" | "counted">>(
  targets: T,
  spared: Tensor,
): T {
  const others = logicalNot(spared);
  return {
    ...targets,
    positive: logicalAnd(targets.positive, others),
    counted: logicalAnd(targets.counted, others),
  };
}

/** The option of where anchors stand. */
export const anchorOriginOption = z
  .enum(["center", "corner"])
  .default("center")
  .describe(
    "where anchors of a cell stand: around its center, or its corner and in whole pixels as torchvision's",
  );

/** Options of RetinaNet. */
export const retinaNetOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  ...towerOptions,
  anchorScale: positiveAmount()
    .default(2)
    .describe("side of a level's smallest anchors in strides; 4 in the paper, for images of 800 pixels"),
  anchorSizes: shapeCount()
    .default(3)
    .describe("sizes of anchors of a level: this many steps to twice the smallest"),
  anchorRatios: list(positiveAmount(), MOST.shapes)
    .min(1)
    .default([0.5, 1, 2])
    .describe("shapes of anchors, height / width"),
  anchorOrigin: anchorOriginOption,
  foreground: share().default(0.5).describe("IoU with an object from which on an anchor is assigned to it"),
  background: share().default(0.4).describe("IoU below which an anchor is background"),
  ...focalOptions,
});

export type RetinaNetOptions = z.output<typeof retinaNetOptions>;

/** Anchors over images of a size. */
interface RetinaNetGeometry {
  /** Of all locations, [k, 4]. */
  readonly anchors: Tensor;
  readonly image: Size;
}

/** Where the box loss turns from a square to a line, in deltas. */
const BETA = 1 / 9;

/**
 * RetinaNet (Lin et al. 2017, "Focal loss for dense object detection"): anchors of several shapes at each location of a pyramid; the
 * focal loss copes with the many that are background.
 */
export class RetinaNet extends DenseDetector<RetinaNetOptions, RetinaNetOutputs, RetinaNetGeometry> {
  readonly needsSuppression = true;
  readonly head: RetinaNetHead;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: RetinaNetOptions, data: DetectionInfo) {
    super({ name: "retina-net", title: "RetinaNet" }, options, data, options);
    const { anchorSizes, anchorRatios } = options;
    checkThresholds(options);
    this.head = new RetinaNetHead(
      this.features.levels,
      this.classes,
      anchorSizes * anchorRatios.length,
      options,
    );
  }

  protected geometryOf(grids: readonly CellGrid[], image: Size): RetinaNetGeometry {
    const { anchorScale, anchorSizes, anchorRatios, anchorOrigin } = this.options;
    // Where anchors have whole pixels, torchvision cuts off their sizes, too: 40 for 32 · 2^(1/3).
    const whole = (size: number): number => (anchorOrigin === "corner" ? Math.floor(size) : size);
    const { boxes } = anchorLevels(
      grids.map((grid) => {
        const sizes = Array.from({ length: anchorSizes }, (_, i) =>
          whole(grid.stride * anchorScale * 2 ** (i / anchorSizes)),
        );
        return { ...grid, shapes: anchorShapes(sizes, anchorRatios), origin: anchorOrigin, image };
      }),
    );
    return { anchors: constant(float32(boxes, [boxes.length / 4, 4])), image };
  }

  protected lossesOf(outputs: RetinaNetOutputs, objects: ObjectRows, { anchors }: RetinaNetGeometry): Losses {
    return retinaNetLosses(outputs, anchors, objects, this.options);
  }

  /** As in torchvision, boxes of anchors at corners end at the image's border, which decides what is suppressed. */
  protected decode({ classes, deltas }: RetinaNetOutputs, { anchors, image }: RetinaNetGeometry): Decoded {
    const boxes = boxesOfDeltas(deltas, anchors);
    return {
      boxes: this.options.anchorOrigin === "corner" ? clipped(boxes, image) : boxes,
      scores: classes.sigmoid(),
    };
  }
}

/** The losses of what the head predicts, for objects [n, m], divided by the number of anchors that are assigned to one (section 4.1). */
export function retinaNetLosses(
  { classes, deltas }: RetinaNetOutputs,
  anchors: Tensor,
  { boxes, labels, ignored, invalid }: ObjectRows,
  options: Pick<RetinaNetOptions, "foreground" | "background" | "focalAlpha" | "focalGamma">,
): Losses {
  const { foreground, background, focalAlpha, focalGamma } = options;
  const assigned = assignByOverlap(anchors, boxes, labels, Number(classes.shape[2]), {
    foreground,
    background,
  });
  const targets = invalid === undefined ? assigned : sparing(assigned, overlapsInvalid(anchors, invalid));
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const focal = focalLoss(classes, targets.classes, { alpha: focalAlpha, gamma: focalGamma });
  const counted = focal.sum(2).mul(targets.counted.cast("float32"));
  const label = outsideRegions(counted, targets.positive, centersOf(anchors), ignored).sum().div(positives);
  const errors = smoothL1(deltas.sub(deltasOf(targets.boxes, anchors)), BETA).sum(2);
  const box = errors.mul(positive).sum().div(positives);
  return { total: label.add(box), class: label, box };
}

/** RetinaNet as the catalogue has it. */
export const retinaNetDefinition = defineDetector({
  name: "retina-net",
  summary: "anchors of several shapes at each location of a feature pyramid, with focal loss",
  paper: "Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002",
  options: retinaNetOptions,
  build: (options, data) => new RetinaNet(options, data),
});
