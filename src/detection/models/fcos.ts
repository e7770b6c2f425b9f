import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import { amount } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { Conv2d } from "../../nn/convolution.ts";
import { ones } from "../../nn/initializers.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { constant, float32, logicalAnd, Parameter, split, type Tensor, where } from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { boxesOfDistances, squeezedSides } from "../boxes/decoding.ts";
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
import { atLeastOne, binaryCrossEntropy, boxLoss, focalLoss, PRIOR_LOGIT } from "../loss/losses.ts";
import {
  type FeaturePoints,
  featureOptions,
  featurePoints,
  featureRows,
  pyramidOptions,
} from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { clipped } from "../regions/proposals.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";
import { focalOptions, type HeadTowerOptions, TowerHead, towerOptions, towerOutput } from "./tower-head.ts";

/** What the head predicts of each of k locations. */
export interface FcosOutputs {
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
  /** Distances to the left, top, right and bottom edge in strides, [n, k, 4]; above 0, or not below it. */
  readonly distances: Tensor;
  /** Logit of how central the location is, [n, k]. */
  readonly centerness: Tensor;
}

/** Largest logarithm of a distance in strides: more than any image has. */
const MOST_LOG = 8;

/** First distances in strides, so that first boxes are 4 strides wide: what is typical for a level. */
const FIRST = 2;

/** What the head is made from. */
type FcosHeadOptions = HeadTowerOptions & Pick<FcosOptions, "distances">;

/**
 * The head of FCOS (Tian et al. 2019, section 3.1 and figure 2), the same for all levels: one tower for classes, one for
 * distances, which are exp(s x) with a factor s of each level (section 3.2), here in strides; or max(0, x), as in torchvision. Center-ness
 * hangs on the tower of distances, as in the version of 2022 ("FCOS: A simple and strong anchor-free object detector", section 3.4).
 */
class FcosHead extends TowerHead {
  readonly classes: Conv2d;
  readonly distances: Conv2d;
  /** Named as in weights files. */
  readonly centreness: Conv2d;
  readonly scales: readonly Parameter[];

  private readonly form: FcosOptions["distances"];

  constructor(levels: readonly FeatureLevel[], classes: number, options: FcosHeadOptions) {
    super(levels, options);
    this.form = options.distances;
    this.classes = towerOutput(levels, classes, PRIOR_LOGIT);
    this.distances = towerOutput(levels, 4, this.form === "exp" ? Math.log(FIRST) : FIRST);
    this.centreness = towerOutput(levels, 1, 0);
    this.scales = this.form === "exp" ? levels.map(() => new Parameter([1], ones)) : [];
  }

  /** Maps of the levels → predictions of all locations. @throws ShapeError */
  forward(maps: readonly Tensor[]): FcosOutputs {
    const boxes = maps.map((map) => this.boxTower.forward(map));
    const scaled = boxes.map((tower, i) => {
      const raw = this.distances.forward(tower);
      return this.form === "relu" ? raw.relu() : raw.mul(inputAt(this.scales, i)).minimum(MOST_LOG).exp();
    });
    return {
      classes: featureRows(maps.map((map) => this.classes.forward(this.classTower.forward(map)))),
      distances: featureRows(scaled),
      centerness: featureRows(boxes.map((tower) => this.centreness.forward(tower))).squeeze(2),
    };
  }
}

/** What locations should predict. */
export interface FcosTargets extends Assignment {
  /** Box of the object that each location is assigned to, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** 1 for its class, [n, k, classes]. */
  readonly classes: Tensor;
  /** How central the location is in it, [n, k]; any where there is none. */
  readonly centerness: Tensor;
}

/** The largest distance from a location to an edge of the objects that are assigned to its level, from and up to: [k] each. */
export interface SizeRanges {
  readonly from: Tensor;
  readonly to: Tensor;
}

/**
 * Sizes by level (Tian et al. 2019, section 3.2): objects are assigned to a level of stride s where the largest of the four distances is 4 s … 8
 * s, which is 64 … 128 for stride 16; the finest level for all smaller ones, the coarsest for all larger ones.
 */
export function sizeRanges(grids: readonly CellGrid[]): SizeRanges {
  const each = (bound: (stride: number, level: number) => number): Tensor => {
    const bounds = grids.flatMap(({ rows, columns, stride }, level) =>
      new Array<number>(rows * columns).fill(bound(stride, level)),
    );
    return constant(float32(bounds, [bounds.length]));
  };
  return {
    from: each((stride, level) => (level === 0 ? 0 : 4 * stride)),
    to: each((stride, level) => (level === grids.length - 1 ? Number.POSITIVE_INFINITY : 8 * stride)),
  };
}

/**
 * The assignment of FCOS (Tian et al. 2019, sections 3.1 and 3.2): a location is assigned to an object if it lies in its box and the
 * object has the size of its level; of several objects for the one with the smallest area. With a `radius` r, the location must also
 * lie within r strides of the object's center along both axes (center sampling, in the version of 2022).
 *
 * Along each axis half a stride around the center always counts as inside, so that an object narrower than a cell has a location,
 * too.
 * @param radius in strides; 0 for anywhere in the box
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignBySize(
  { centers, strides }: FeaturePoints,
  ranges: SizeRanges,
  radius: number,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
): FcosTargets {
  const { dx, dy, halfWidth, halfHeight } = offsets(centers, boxes);
  const stride = strides.squeeze(1);
  const near = (distance: Tensor, half: Tensor): Tensor => {
    const reach = radius === 0 ? half : half.minimum(stride.mul(radius));
    return distance.lessEqual(reach.maximum(stride.mul(0.5)));
  };
  const largest = dx.add(halfWidth).maximum(dy.add(halfHeight));
  const fits = logicalAnd(largest.greaterEqual(ranges.from), largest.lessEqual(ranges.to));
  const inside = logicalAnd(near(dx, halfWidth), near(dy, halfHeight));
  const eligible = logicalAnd(logicalAnd(inside, fits), areObjects(labels));
  const smallness = halfWidth.mul(halfHeight).add(1).reciprocal();
  const assignment = assignHighest(where(eligible, smallness, 0));
  const own = rowsAt(boxes, assignment.owner);
  return {
    ...assignment,
    boxes: own,
    classes: ownClasses(labels, assignment, classes),
    centerness: centernessOf(own, { centers, strides }),
  };
}

/**
 * How central locations are in boxes (Tian et al. 2019, equation 3): √(min(l, r) / max(l, r) · min(t, b) / max(t, b)), 1 in the
 * middle and 0 on an edge: boxes [n, k, 4] → [n, k]. A box narrower than a cell counts as one cell wide.
 */
export function centernessOf(
  boxes: Tensor,
  { centers, strides }: Pick<FeaturePoints, "centers" | "strides">,
): Tensor {
  const [x1, y1, x2, y2] = squeezedSides(boxes);
  const [columnX, columnY] = split(centers, 1, 2);
  const [x, y] = [columnX.squeeze(1), columnY.squeeze(1)];
  const half = strides.squeeze(1).mul(0.5);
  const along = (at: Tensor, from: Tensor, to: Tensor): Tensor => {
    const reach = to.sub(from).mul(0.5).maximum(half);
    const distance = at.sub(from.add(to).mul(0.5)).abs();
    return reach.sub(distance).relu().div(reach.add(distance));
  };
  return along(x, x1, x2)
    .mul(along(y, y1, y2))
    .sqrt();
}

/** Options of FCOS. */
export const fcosOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  ...towerOptions,
  distances: z
    .enum(["exp", "relu"])
    .default("exp")
    .describe(
      "how distances to the edges are predicted: exp(s x) with a factor s of each level, or max(0, x), as in torchvision",
    ),
  anchorOrigin: z
    .enum(["center", "corner"])
    .default("center")
    .describe("where a cell's location stands: in its center, or in its upper left corner as torchvision's"),
  radius: amount()
    .default(1.5)
    .describe(
      "strides from an object's center within which locations are assigned to it; 0: anywhere in its box",
    ),
  ...focalOptions,
});

export type FcosOptions = z.output<typeof fcosOptions>;

/** Locations over images of a size, and the sizes of objects that are assigned to them. */
interface FcosGeometry {
  readonly points: FeaturePoints;
  readonly ranges: SizeRanges;
  readonly image: Size;
}

/**
 * FCOS (Tian et al. 2019, "FCOS: Fully convolutional one-stage object detection"): each location of a pyramid predicts the class of the
 * object that it lies in, the distances to the four edges, and how central it is.
 */
export class Fcos extends DenseDetector<FcosOptions, FcosOutputs, FcosGeometry> {
  readonly needsSuppression = true;
  readonly head: FcosHead;

  /** @throws OptionError where options do not fit the data */
  constructor(options: FcosOptions, data: DetectionInfo) {
    super({ name: "fcos", title: "FCOS" }, options, data, options);
    this.head = new FcosHead(this.features.levels, this.classes, options);
  }

  protected geometryOf(grids: readonly CellGrid[], image: Size): FcosGeometry {
    const points = featurePoints(grids, { origin: this.options.anchorOrigin, image });
    return { points, ranges: sizeRanges(grids), image };
  }

  /** Equation 2 of the paper. */
  protected lossesOf(outputs: FcosOutputs, objects: ObjectRows, { points, ranges }: FcosGeometry): Losses {
    return fcosLosses(outputs, points, ranges, objects, this.options);
  }

  /**
   * Scores are √(p · center-ness), as in the version of 2022: those of the paper, squared. As in torchvision, boxes of locations at corners end
   * at the image's border, which decides what is suppressed.
   */
  protected decode(
    { classes, distances, centerness }: FcosOutputs,
    { points, image }: FcosGeometry,
  ): Decoded {
    const { centers, strides } = points;
    const boxes = boxesOfDistances(distances, centers, strides);
    return {
      boxes: this.options.anchorOrigin === "corner" ? clipped(boxes, image) : boxes,
      scores: classes.sigmoid().mul(centerness.sigmoid().unsqueeze(2)).sqrt(),
    };
  }
}

/**
 * The losses of what the head predicts, for objects [n, m]: focal loss of classes and cross entropy of center-ness, divided by the
 * number of locations that are assigned to an object; GIoU loss of boxes, weighted by the center-ness that is right, as in the authors'
 * code.
 */
export function fcosLosses(
  { classes, distances, centerness }: FcosOutputs,
  points: FeaturePoints,
  ranges: SizeRanges,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { radius, focalAlpha, focalGamma }: Pick<FcosOptions, "radius" | "focalAlpha" | "focalGamma">,
): Losses {
  const count = Number(classes.shape[2]);
  const targets = assignBySize(points, ranges, radius, boxes, labels, count);
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const focal = focalLoss(classes, targets.classes, { alpha: focalAlpha, gamma: focalGamma });
  const label = outsideRegions(focal, targets.positive, points.centers, ignored, invalid)
    .sum()
    .div(positives);
  const weights = targets.centerness.mul(positive);
  const predicted = boxesOfDistances(distances, points.centers, points.strides);
  const box = boxLoss(predicted, targets.boxes, "giou").mul(weights).sum().div(weights.sum().maximum(1e-6));
  const center = binaryCrossEntropy(centerness, targets.centerness).mul(positive).sum().div(positives);
  return { total: label.add(box).add(center), class: label, box, centerness: center };
}

/** FCOS as the catalogue has it. */
export const fcosDefinition = defineDetector({
  name: "fcos",
  summary:
    "each location of a feature pyramid predicts class, distances to the edges and center-ness; no anchors",
  paper: "Tian et al. 2019, FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355",
  options: fcosOptions,
  build: (options, data) => new Fcos(options, data),
});
