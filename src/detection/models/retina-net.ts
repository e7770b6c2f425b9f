import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import { amount, MOST } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { Conv2d } from "../../nn/convolution.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { concat, slice, split, type Tensor } from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { boxesOfDeltas } from "../boxes/decoding.ts";
import {
  type AssignmentOptions,
  assignAnchorsBy,
  assignmentOptions,
  checkAssignment,
  type PlacedAnchors,
  scaledAnchors,
  sparing,
} from "../loss/anchor-assignment.ts";
import { centersOf, type ObjectRows, outsideRegions, overlapsInvalid } from "../loss/assignment.ts";
import { atLeastOne, focalLoss, PRIOR_LOGIT } from "../loss/losses.ts";
import { type ContextKind, ContextModule, contextOption } from "../network/context.ts";
import { featureOptions, featureRows, pyramidOptions, sharedChannels } from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { clipped } from "../regions/proposals.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";
import { anchorCounts, layoutNotes, retinaAnchorOptions, retinaAnchors } from "./retina-anchors.ts";
import { focalOptions, type HeadTowerOptions, TowerHead, towerOptions, towerOutput } from "./tower-head.ts";

/** What the head predicts of each of k anchors. */
export interface RetinaNetOutputs {
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
  /** Deltas of the box from the anchor, [n, k, 4]. */
  readonly deltas: Tensor;
  /** While training, the same of the context anchors of each size, from that half as large on; default: of none. */
  readonly context?: readonly RetinaNetOutputs[];
}

/** The last convolutions of the towers. */
interface AnchorConvolutions {
  readonly classes: Conv2d;
  readonly deltas: Conv2d;
  /** Of the finest map, where it has other anchors than the others. */
  readonly finestClasses: Conv2d | undefined;
  readonly finestDeltas: Conv2d | undefined;
}

/** What a head is made for, beside its maps. */
interface RetinaNetHeadOptions extends HeadTowerOptions {
  readonly context: ContextKind;
  readonly maxOut: number;
  readonly contextAnchors: number;
}

/**
 * The head of RetinaNet (Lin et al. 2017, section 4 and figure 3), the same for all levels: a tower for classes and a tower for
 * boxes. Unlike in the paper, they have group normalization unless `headGroups` is 0: networks are trained from scratch here.
 */
class RetinaNetHead extends TowerHead implements AnchorConvolutions {
  readonly classes: Conv2d;
  readonly deltas: Conv2d;
  readonly finestClasses: Conv2d | undefined;
  readonly finestDeltas: Conv2d | undefined;
  /** Scores of background of each anchor of the finest map. */
  readonly background: Conv2d | undefined;
  readonly contextModule: ContextModule | undefined;
  readonly contextOutputs: readonly AnchorConvolutions[];
  private readonly finest: number;
  private readonly each: number;

  /** @param shapes anchors of a location of the finest level, and of each of the others */
  constructor(
    levels: readonly FeatureLevel[],
    classes: number,
    shapes: { readonly finest: number; readonly each: number },
    options: RetinaNetHeadOptions,
  ) {
    super(levels, options);
    const { context, maxOut, contextAnchors } = options;
    const { finest } = shapes;
    const each = levels.length > 1 ? shapes.each : finest;
    const outputs = (): AnchorConvolutions => {
      const pair = (count: number) => ({
        classes: towerOutput(levels, count * classes, PRIOR_LOGIT),
        deltas: towerOutput(levels, count * 4, 0),
      });
      const other = finest === each ? undefined : pair(finest);
      return { ...pair(each), finestClasses: other?.classes, finestDeltas: other?.deltas };
    };
    ({
      classes: this.classes,
      deltas: this.deltas,
      finestClasses: this.finestClasses,
      finestDeltas: this.finestDeltas,
    } = outputs());
    if (maxOut > 0) this.background = towerOutput(levels, finest * maxOut, 0);
    if (context !== "none") {
      this.contextModule = new ContextModule(context, sharedChannels(levels), options.headGroups);
    }
    this.contextOutputs = Array.from({ length: contextAnchors }, outputs);
    this.finest = finest;
    this.each = each;
  }

  /** Maps of the levels → predictions of all anchors, location by location, shape by shape. @throws ShapeError */
  forward(maps: readonly Tensor[]): RetinaNetOutputs {
    const { contextModule } = this;
    const wide = contextModule === undefined ? maps : maps.map((map) => contextModule.forward(map));
    const forClasses = wide.map((map) => this.classTower.forward(map));
    const forBoxes = wide.map((map) => this.boxTower.forward(map));
    const predicted = (of: AnchorConvolutions): RetinaNetOutputs => ({
      classes: this.anchorRows(forClasses, of.classes, of.finestClasses),
      deltas: this.anchorRows(forBoxes, of.deltas, of.finestDeltas),
    });
    const { classes, deltas } = predicted(this);
    return {
      classes: this.overBackground(classes, forClasses),
      deltas,
      ...(this.contextOutputs.length > 0 && { context: this.contextOutputs.map(predicted) }),
    };
  }

  /** Maps of towers → what a convolution makes of them, a row for each anchor. */
  private anchorRows(maps: readonly Tensor[], usual: Conv2d, finest: Conv2d | undefined): Tensor {
    const own = maps.map((map, i) => (i === 0 ? (finest ?? usual) : usual).forward(map));
    if (finest === undefined) return rowsOf(own, this.each);
    const levels = own.map((map, i) => rowsOf([map], i === 0 ? this.finest : this.each));
    return levels.length === 1 ? inputAt(levels, 0) : concat(levels, 1);
  }

  /**
   * Max-out background label (Zhang et al. 2017, "S³FD", section 3.3): anchors of the finest map, of which by far the most are background,
   * have several scores for that, of which the largest counts. The probability of a class is the softmax of its score and that one,
   * which is the sigmoid of their difference.
   */
  private overBackground(classes: Tensor, maps: readonly Tensor[]): Tensor {
    if (this.background === undefined) return classes;
    const scores = rowsOf([this.background.forward(inputAt(maps, 0))], this.finest);
    const largest = scores.max(2, true);
    const [count, all] = [sizeAt("RetinaNet", scores, 1), sizeAt("RetinaNet", classes, 1)];
    const finest = slice(classes, 1, 0, count).sub(largest);
    return count === all ? finest : concat([finest, slice(classes, 1, count, all)], 1);
  }
}

/** Maps whose channels are the numbers of several shapes, one shape after another, as a row for each shape of each location. */
function rowsOf(maps: readonly Tensor[], shapes: number): Tensor {
  const rows = featureRows(maps);
  return rows.reshape([
    dimAt(rows, 0),
    sizeAt("RetinaNet", rows, 1) * shapes,
    sizeAt("RetinaNet", rows, 2) / shapes,
  ]);
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

/** Weight of the loss of context anchors where none is given. */
const CONTEXT_GAIN = 0.5;

/** Options of RetinaNet. */
export const retinaNetOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  ...towerOptions,
  ...retinaAnchorOptions,
  ...assignmentOptions,
  context: contextOption,
  topDownFrom: z
    .literal([8, 16, 32])
    .default(32)
    .describe(
      "PyramidBox's low-level pyramid, of neck fpn: stride of the map from which on finer ones are given what coarser ones know; 16 or 8: maps beyond hand nothing down, as what they see is too large for small objects",
    ),
  maxOut: z
    .int()
    .min(0)
    .max(MOST.shapes)
    .default(0)
    .describe(
      "S³FD's max-out background label: scores for background of each anchor of the finest map, of which the largest counts; 3 in the paper; 0: none",
    ),
  contextAnchors: z
    .int()
    .min(0)
    .max(4)
    .default(0)
    .describe(
      "PyramidBox's loss of context anchors: while training, anchors also learn of objects that are a half as large, a quarter, and so on, in this many steps; 2 in the paper; 0: off",
    ),
  contextGain: amount().default(CONTEXT_GAIN).describe("weight of the loss of context anchors"),
  ...focalOptions,
});

export type RetinaNetOptions = z.output<typeof retinaNetOptions>;

/** Anchors over images of a size. */
interface RetinaNetGeometry extends PlacedAnchors {
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
    checkAssignment(options);
    if (options.contextAnchors === 0 && options.contextGain !== CONTEXT_GAIN) {
      throw new OptionError(
        "option contextGain: is the weight of the loss of context anchors; give contextAnchors, or leave it out",
      );
    }
    this.head = new RetinaNetHead(this.features.levels, this.classes, anchorCounts(options), options);
  }

  protected geometryOf(grids: readonly CellGrid[], image: Size): RetinaNetGeometry {
    return { ...retinaAnchors(this.options, grids, image), image };
  }

  protected lossesOf(outputs: RetinaNetOutputs, objects: ObjectRows, placed: RetinaNetGeometry): Losses {
    return retinaNetLosses(outputs, placed, objects, this.options);
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

/** What decides the losses. */
type RetinaNetLossOptions = AssignmentOptions &
  Pick<RetinaNetOptions, "focalAlpha" | "focalGamma" | "contextGain">;

/**
 * The losses of what the head predicts, for objects [n, m], divided by the number of anchors that are assigned to one (section 4.1). Context
 * anchors have the same ones, of anchors that are a half as large, a quarter, and so on (Tang et al. 2018, "PyramidBox", section 3.3,
 * equations 1 to 3): so an anchor around the head and shoulders learns of the face in it.
 */
export function retinaNetLosses(
  { context = [], ...outputs }: RetinaNetOutputs,
  placed: PlacedAnchors,
  objects: ObjectRows,
  options: RetinaNetLossOptions,
): Losses {
  const own = anchorLosses(outputs, placed, objects, options);
  const usual = { class: own.class, box: own.box };
  if (context.length === 0) return { total: own.class.add(own.box), ...usual };
  const parts = context.map((each, i) => {
    const smaller = { ...placed, anchors: scaledAnchors(placed.anchors, 2 ** -(i + 1)) };
    const of = anchorLosses(each, smaller, objects, options);
    return of.class.add(of.box);
  });
  const around = parts.reduce((sum, part) => sum.add(part)).mul(options.contextGain);
  return { total: own.class.add(own.box).add(around), ...usual, context: around };
}

/** The losses of one set of predictions. */
function anchorLosses(
  { classes, deltas }: Pick<RetinaNetOutputs, "classes" | "deltas">,
  placed: PlacedAnchors,
  { boxes, labels, ignored, invalid }: ObjectRows,
  options: RetinaNetLossOptions,
): Readonly<Record<"class" | "box", Tensor>> {
  const { focalAlpha, focalGamma } = options;
  const { anchors } = placed;
  const assigned = assignAnchorsBy(options, placed, boxes, labels, Number(classes.shape[2]));
  const targets = invalid === undefined ? assigned : sparing(assigned, overlapsInvalid(anchors, invalid));
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const focal = focalLoss(classes, targets.classes, { alpha: focalAlpha, gamma: focalGamma });
  const counted = focal.sum(2).mul(targets.counted.cast("float32"));
  const label = outsideRegions(counted, targets.positive, centersOf(anchors), ignored).sum().div(positives);
  const errors = smoothL1(deltas.sub(deltasOf(targets.boxes, anchors)), BETA).sum(2);
  return { class: label, box: errors.mul(positive).sum().div(positives) };
}

/** RetinaNet as the catalogue has it. */
export const retinaNetDefinition = defineDetector({
  name: "retina-net",
  summary: "anchors of several shapes at each location of a feature pyramid, with focal loss",
  paper: "Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002",
  options: retinaNetOptions,
  build: (options, data) => new RetinaNet(options, data),
  notes: layoutNotes,
});
