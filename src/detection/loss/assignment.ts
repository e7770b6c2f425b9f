import type { SymbolicDetectionBatch } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import { dimAt } from "../../tensor/graph.ts";
import { argMax, broadcastTo, lowerTriangular } from "../../tensor/index.operations.ts";
import {
  full,
  gatherElements,
  logicalAnd,
  logicalNot,
  logicalOr,
  oneHot,
  split,
  type Tensor,
  where,
} from "../../tensor/index.ts";
import { sides } from "../boxes/decoding.ts";
import { boxOverlap } from "./losses.ts";

// What target assignments have in common. Objects are rows [n, m], some of which stand for none (label −1); locations are the k locations or
// anchors of all maps. All shapes are fixed, so that an assignment is a part of the training step.

/**
 * The objects of a batch: boxes [n, m, 4] and labels [n, m] (int64), −1 where a row is none; and ignored regions [n, r, 4] and objects of
 * sizes that are not learnt [n, i, 4], if there are any.
 */
export type ObjectRows = Omit<SymbolicDetectionBatch, "x">;

/** The object that each location is assigned to. */
export interface Assignment {
  /** Whether the location is assigned to one at all, [n, k] (bool). */
  readonly positive: Tensor;
  /** Its row, [n, k] (int64); any where there is none. */
  readonly owner: Tensor;
}

/** Checks the IoU from which on a candidate is an object against that below which it is background. @throws OptionError */
export function checkThresholds({
  foreground,
  background,
}: {
  readonly foreground: number;
  readonly background: number;
}): void {
  if (background > foreground) {
    throw new OptionError(`option background: ${background} must not be above foreground, ${foreground}`);
  }
}

/**
 * Each location is assigned to the object of the highest rank, if that is above 0; of equal ones for the first. Ranks are [n, m, k].
 */
export function assignHighest(ranks: Tensor): Assignment {
  return { positive: ranks.max(1).greater(0), owner: argMax(ranks, 1) };
}

/** Which rows are objects: labels [n, m] → [n, m, 1] (bool). */
export function areObjects(labels: Tensor): Tensor {
  return labels.greaterEqual(0).unsqueeze(2);
}

/** How locations lie to the centers of objects. */
export interface Offsets {
  /** Distance of each location from each object's center along an axis, [n, m, k]. */
  readonly dx: Tensor;
  readonly dy: Tensor;
  /** Half the sides of each object, [n, m, 1]. */
  readonly halfWidth: Tensor;
  readonly halfHeight: Tensor;
}

/** Offsets of locations [k, 2] from boxes [n, m, 4]. */
export function offsets(centers: Tensor, boxes: Tensor): Offsets {
  const [x1, y1, x2, y2] = sides(boxes);
  const [x, y] = split(centers.transpose().unsqueeze(0), 1, 2);
  return {
    dx: x.sub(x1.add(x2).mul(0.5)).abs(),
    dy: y.sub(y1.add(y2).mul(0.5)).abs(),
    halfWidth: x2.sub(x1).mul(0.5),
    halfHeight: y2.sub(y1).mul(0.5),
  };
}

/**
 * Which locations lie in a region of their image: centers [k, 2], regions [n, r, 4], of which those without an area are none → [n, k]
 * (bool).
 */
export function liesIn(centers: Tensor, regions: Tensor): Tensor {
  const { dx, dy, halfWidth, halfHeight } = offsets(centers, regions);
  return logicalAnd(dx.less(halfWidth), dy.less(halfHeight)).cast("float32").max(1).greater(0);
}

/**
 * Losses of what locations are sure of, 0 where a location lies in an ignored region and is assigned to no object: what is there, nobody
 * has said.
 * @param losses [n, k, …]
 * @param positive whether a location is assigned to an object, [n, k] (bool)
 * @param regions of several kinds, each [n, r, 4]: ignored regions, and for detectors without anchors the objects of sizes that are not
 * learnt
 */
export function outsideRegions(
  losses: Tensor,
  positive: Tensor,
  centers: Tensor,
  ...regions: readonly (Tensor | undefined)[]
): Tensor {
  const inside = liesInAny(centers, regions);
  if (inside === undefined) return losses;
  const unsaid = logicalAnd(inside, logicalNot(positive));
  return where(losses.rank > 2 ? unsaid.unsqueeze(2) : unsaid, 0, losses);
}

/** As `liesIn`, for regions of several kinds; undefined where there are none. */
export function liesInAny(centers: Tensor, regions: readonly (Tensor | undefined)[]): Tensor | undefined {
  let inside: Tensor | undefined;
  for (const own of regions) {
    if (own === undefined) continue;
    const lies = liesIn(centers, own);
    inside = inside === undefined ? lies : logicalOr(inside, lies);
  }
  return inside;
}

/** IoU with an object of a size that is not learnt above which an anchor is not trained (Singh and Davis 2018, "SNIP", section 5.1). */
const INVALID_OVERLAP = 0.3;

/**
 * Which anchors are not trained, as they overlap an object of a size that is not learnt at this scale by an IoU above 0.3: neither as
 * background nor for another object. Anchors that merely have their center in such an object are.
 * @param anchors [k, 4], or those of each image [n, k, 4]
 * @param invalid [n, i, 4], of which those without an area are none
 * @returns [n, k] (bool)
 */
export function overlapsInvalid(anchors: Tensor, invalid: Tensor): Tensor {
  const each = anchors.rank === 2 ? anchors.unsqueeze(0) : anchors;
  const iou = boxOverlap(each.unsqueeze(1), invalid.unsqueeze(2));
  return iou.max(1).greater(INVALID_OVERLAP);
}

/** Centers of boxes: [k, 4] → [k, 2]. */
export function centersOf(boxes: Tensor): Tensor {
  const [low, high] = split(boxes, 1, 2);
  return low.add(high).mul(0.5);
}

/** The rows at locations, each sample its own: rows [n, m, c] at [n, k] (int64) → [n, k, c]. */
export function rowsAt(rows: Tensor, places: Tensor): Tensor {
  const shape = [dimAt(places, 0), dimAt(places, 1), dimAt(rows, 2)];
  return gatherElements(rows, broadcastTo(places.unsqueeze(2), shape), 1);
}

/** 1 for the class of the object that each location is assigned to, zeros where there is none: labels [n, m] → [n, k, classes]. */
export function ownClasses(labels: Tensor, { owner, positive }: Assignment, classes: number): Tensor {
  return oneHot(gatherElements(labels, owner, 1), classes).mul(positive.cast("float32").unsqueeze(2));
}

/**
 * Which rows are objects that have their location for themselves or are the first there, 1 or 0: places [n, m] (int64), labels [n,
 * m] → [n, m].
 */
export function firstAtPlace(places: Tensor, labels: Tensor): Tensor {
  const m = Number(places.shape[1]);
  const isObject = labels.greaterEqual(0).cast("float32");
  const earlier = lowerTriangular(full([m, m], 1), -1);
  const same = places.unsqueeze(2).equal(places.unsqueeze(1)).cast("float32").mul(earlier);
  const taken = same.mul(isObject.unsqueeze(1)).sum(2);
  return isObject.mul(taken.less(0.5).cast("float32"));
}
