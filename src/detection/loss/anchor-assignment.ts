import { z } from "zod";
import { share, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { argMax, inputAt } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  logicalAnd,
  logicalNot,
  logicalOr,
  split,
  type Tensor,
  topK,
  where,
} from "../../tensor/index.ts";
import type { AnchorLevel } from "../boxes/anchors.ts";
import {
  type Assignment,
  areObjects,
  assignHighest,
  centersOf,
  checkThresholds,
  offsets,
  ownClasses,
  rowsAt,
} from "./assignment.ts";
import { boxOverlap } from "./losses.ts";

// Which anchors learn which object: by overlap alone, as RetinaNet has it; in two stages, as S³FD; by thresholds that follow from each
// object's own anchors, as ATSS. Tensors [n, m, k] of all objects and anchors are the largest of a training step: every pass counts.

/** Anchors over an image, level by level. */
export interface PlacedAnchors {
  /** [k, 4]. */
  readonly anchors: Tensor;
  readonly levels: readonly AnchorLevel[];
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

/** IoU of objects with anchors, [n, m, k]. Rows that are no objects have no area, and so no overlap. */
function overlaps(anchors: Tensor, boxes: Tensor, labels: Tensor): Tensor {
  const objects = where(areObjects(labels), boxes, 0);
  return boxOverlap(anchors.unsqueeze(0).unsqueeze(0), objects.unsqueeze(2));
}

/** The object of each anchor by IoU, where the best anchors of an object go first; and its rank, which is above 1 for those. */
function byOverlap(iou: Tensor, foreground: number): Assignment & { readonly highest: Tensor } {
  const best = iou.greaterEqual(iou.max(2, true).maximum(LEAST_OVERLAP));
  const ranks = iou.add(best.cast("float32"));
  const highest = ranks.max(1);
  const positive = highest.greaterEqual(Math.max(foreground, LEAST_OVERLAP));
  return { positive, owner: argMax(ranks, 1), highest };
}

/** Targets of anchors that all count. */
function targetsOf(
  { positive, owner }: Assignment,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
  counted = logicalOr(positive, logicalNot(positive)),
): RetinaNetTargets {
  const assignment = { positive, owner };
  return {
    ...assignment,
    boxes: rowsAt(boxes, owner),
    classes: ownClasses(labels, assignment, classes),
    counted,
  };
}

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
  const { highest, ...assignment } = byOverlap(overlaps(anchors, boxes, labels), foreground);
  const near = logicalAnd(highest.greaterEqual(background), logicalNot(assignment.positive));
  return targetsOf(assignment, boxes, labels, classes, logicalNot(near));
}

/** The IoU of the two stages of scale-compensated matching. */
export interface ScaleCompensation {
  /** From which IoU on an anchor is assigned in the first stage. */
  readonly foreground: number;
  /** Above which IoU the second stage looks for anchors. */
  readonly least: number;
}

/** Distances, and IoU, that differ by this factor or less are equal but for rounding. */
const ROUNDING = 1 + 1e-4;

/** Most anchors that the second stage adds to an object. */
const MOST_ADDED = 64;

/**
 * Scale-compensated matching (Zhang et al. 2017, "S³FD", section 3.2). Objects whose size lies between those of anchors, and the
 * smallest, overlap with few of them. So in a first stage anchors are assigned by overlap from a lower threshold on, `foreground`. In a
 * second stage each object that has fewer anchors than the N that objects of its image have on average (those that have any; rounded)
 * gets the anchors with the largest IoU above `least` up to N, of those that the first stage has left free. One that several objects ask
 * for goes to that of the largest IoU. All other anchors are background. At most 64 are added to an object, more where the last of them
 * are equal.
 * @param anchors [k, 4]
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignCompensated(
  anchors: Tensor,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
  { foreground, least }: ScaleCompensation,
): RetinaNetTargets {
  const [m, k] = [Number(labels.shape[1]), Number(anchors.shape[0])];
  const iou = overlaps(anchors, boxes, labels);
  const first = byOverlap(iou, foreground);
  const taken = first.positive.unsqueeze(1);
  const rows = arange(0, m).reshape([1, m, 1]);
  const own = logicalAnd(taken, first.owner.unsqueeze(1).equal(rows)).cast("float32").sum(2, true);
  const withAny = own.minimum(1).sum(1, true).maximum(1);
  const average = own.sum(1, true).div(withAny).add(0.5).floor();

  const most = Math.min(MOST_ADDED, k);
  const missing = where(areObjects(labels), average.sub(own), 0).clamp(0, most);
  const free = where(logicalAnd(logicalNot(taken), iou.greater(least)), iou, 0);
  const places = arange(1, most + 1, 1, "float32").reshape([1, 1, most]);
  const last = where(places.equal(missing), topK(free, most, 2).values, 0).sum(2, true);
  const enough = last.mul(1 / ROUNDING).maximum(LEAST_OVERLAP);
  const asked = logicalAnd(free.greaterEqual(enough), missing.greater(0));
  const second = assignHighest(where(asked, free, 0));
  const assignment = {
    positive: logicalOr(first.positive, second.positive),
    owner: where(first.positive, first.owner, second.owner),
  };
  return targetsOf(assignment, boxes, labels, classes);
}

/** What rounding may do to the mean of equal numbers of 0 … 1, and to distances in pixels. */
const [IOU_ROUNDING, PIXEL_ROUNDING] = [1e-6, 1e-3];

/**
 * Adaptive training sample selection (Zhang et al. 2020, "Bridging the gap between anchor-based and anchor-free detection", algorithm 1).
 * An object's candidates are, of each level, the anchors of the `nearest` cells whose centers are nearest to its own (more where the
 * last of them are equally near). The mean and the standard deviation of their IoU with it add up to its threshold. Assigned to it are
 * the candidates from that IoU on whose center lies in it; one of several objects to that of the largest IoU. All other anchors are
 * background.
 *
 * Unlike in the paper, an object narrower than the finest cell counts as one cell wide when it is asked whether a center lies in it, so
 * that small ones are not left out for want of a center.
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignAdaptively(
  { anchors, levels }: PlacedAnchors,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
  nearest: number,
): RetinaNetTargets {
  const iou = overlaps(anchors, boxes, labels);
  const { dx, dy, halfWidth, halfHeight } = offsets(centersOf(anchors), boxes);
  const distances = split(
    dx.square().add(dy.square()),
    2,
    levels.map(({ count }) => count),
  );
  const near = levels.map(({ count, perCell }, i) => {
    const own = inputAt(distances, i);
    const last = topK(own, Math.min(nearest * perCell, count), 2, "smallest").values.max(2, true);
    return own.lessEqual(last.mul(ROUNDING).add(PIXEL_ROUNDING ** 2)).cast("float32");
  });
  const candidates = concat(near, 2);
  const count = candidates.sum(2, true);
  const mean = iou.mul(candidates).sum(2, true).div(count);
  const squares = iou.sub(mean).square().mul(candidates).sum(2, true);
  const deviation = squares.div(count.sub(1).maximum(1)).sqrt();
  const halfCell = Math.min(...levels.map(({ stride }) => stride)) / 2 + PIXEL_ROUNDING;
  const inside = logicalAnd(
    dx.lessEqual(halfWidth.maximum(halfCell)),
    dy.lessEqual(halfHeight.maximum(halfCell)),
  );
  const good = logicalAnd(
    candidates.greater(0),
    iou.greaterEqual(mean.add(deviation).sub(IOU_ROUNDING).maximum(LEAST_OVERLAP)),
  );
  const chosen = logicalAnd(logicalAnd(good, inside), areObjects(labels));
  return targetsOf(assignHighest(where(chosen, iou, 0)), boxes, labels, classes);
}

/** The assignment that has each option, and what it is where none is given. */
const OWN_OPTIONS = {
  foreground: { of: "overlap", usual: 0.5 },
  background: { of: "overlap", usual: 0.4 },
  s3fdForeground: { of: "s3fd", usual: 0.35 },
  s3fdLeast: { of: "s3fd", usual: 0.1 },
  atssNearest: { of: "atss", usual: 9 },
} as const;

/** Options of which anchors learn which object. */
export const assignmentOptions = {
  assignment: z
    .enum(["overlap", "s3fd", "atss"])
    .default("overlap")
    .describe(
      "which anchors learn an object. overlap: those of an IoU from foreground on, and its best ones; s3fd: scale-compensated matching, which gives small objects as many as others have on average; atss: adaptive training sample selection, of the anchors nearest to its center those of an IoU above their mean plus deviation",
    ),
  foreground: share()
    .default(OWN_OPTIONS.foreground.usual)
    .describe("assignment overlap: IoU with an object from which on an anchor is assigned to it"),
  background: share()
    .default(OWN_OPTIONS.background.usual)
    .describe("assignment overlap: IoU below which an anchor is background"),
  s3fdForeground: share()
    .default(OWN_OPTIONS.s3fdForeground.usual)
    .describe("assignment s3fd: IoU from which on an anchor is assigned to an object in the first stage"),
  s3fdLeast: share()
    .default(OWN_OPTIONS.s3fdLeast.usual)
    .describe("assignment s3fd: IoU above which the second stage adds anchors to objects that have few"),
  atssNearest: unitCount()
    .default(OWN_OPTIONS.atssNearest.usual)
    .describe(
      "assignment atss: cells of each level, nearest to the center of an object, whose anchors are looked at",
    ),
};

/** How anchors are assigned. */
export interface AssignmentOptions extends OverlapThresholds {
  readonly assignment: "overlap" | "s3fd" | "atss";
  readonly s3fdForeground: number;
  readonly s3fdLeast: number;
  readonly atssNearest: number;
}

/** @throws OptionError where thresholds contradict each other, or an option of another assignment is given */
export function checkAssignment(options: AssignmentOptions): void {
  const { assignment, s3fdForeground, s3fdLeast } = options;
  for (const [name, { of, usual }] of Object.entries(OWN_OPTIONS)) {
    if (of === assignment || options[name as keyof typeof OWN_OPTIONS] === usual) continue;
    throw new OptionError(
      `option ${name}: is of assignment ${of}, and without effect on ${assignment}; leave it out, or choose --assignment ${of}`,
    );
  }
  if (assignment === "overlap") checkThresholds(options);
  if (assignment === "s3fd" && s3fdLeast > s3fdForeground) {
    throw new OptionError(
      `option s3fdLeast: ${s3fdLeast} must not be above s3fdForeground, ${s3fdForeground}: the second stage adds anchors that the first one has not taken`,
    );
  }
}

/** The targets of anchors by the assignment that options name. */
export function assignAnchorsBy(
  options: AssignmentOptions,
  placed: PlacedAnchors,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
): RetinaNetTargets {
  switch (options.assignment) {
    case "overlap":
      return assignByOverlap(placed.anchors, boxes, labels, classes, options);
    case "s3fd":
      return assignCompensated(placed.anchors, boxes, labels, classes, {
        foreground: options.s3fdForeground,
        least: options.s3fdLeast,
      });
    case "atss":
      return assignAdaptively(placed, boxes, labels, classes, options.atssNearest);
  }
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

/**
 * Anchors of the same centers whose sides are those of the given ones times a factor.
 * @param anchors [k, 4]
 */
export function scaledAnchors(anchors: Tensor, factor: number): Tensor {
  const [low, high] = split(anchors, 1, 2);
  const center = low.add(high).mul(0.5);
  const half = high.sub(low).mul(0.5 * factor);
  return concat([center.sub(half), center.add(half)], 1);
}
