import { constant, float32, logicalAnd, split, type Tensor, where } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { type Assignment, areObjects, assignHighest, offsets, ownClasses, rowsAt } from "./assignment.ts";
import type { FeaturePoints } from "./feature-points.ts";

/** What places ought to say. */
export interface FcosTargets extends Assignment {
  /** Box of the object that each place answers for, [n, k, 4]; any where there is none. */
  readonly boxes: Tensor;
  /** 1 for its class, [n, k, classes]. */
  readonly classes: Tensor;
  /** How central the place is in it, [n, k]; any where there is none. */
  readonly centreness: Tensor;
}

/** The largest distance from a place to an edge that its level answers for, from and up to: [k] each. */
export interface SizeRanges {
  readonly from: Tensor;
  readonly to: Tensor;
}

/**
 * Sizes by level (Tian et al. 2019, section 3.2): a level of stride s answers where the largest of the four distances is 4 s … 8
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
 * The assignment of FCOS (Tian et al. 2019, sections 3.1 and 3.2): a place answers for an object if it lies in its box and the
 * object has the size of its level; of several objects for the one with the smallest area. With a `radius` r, the place must also
 * lie within r strides of the object's centre along both axes (centre sampling, in the version of 2022).
 *
 * Along each axis half a stride around the centre always counts as inside, so that an object narrower than a cell has a place,
 * too.
 * @param radius in strides; 0 for anywhere in the box
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignBySize(
  { centres, strides }: FeaturePoints,
  ranges: SizeRanges,
  radius: number,
  boxes: Tensor,
  labels: Tensor,
  classes: number,
): FcosTargets {
  const { dx, dy, halfWidth, halfHeight } = offsets(centres, boxes);
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
    centreness: centrenessOf(own, { centres, strides }),
  };
}

/**
 * How central places are in boxes (Tian et al. 2019, equation 3): √(min(l, r) / max(l, r) · min(t, b) / max(t, b)), 1 in the
 * middle and 0 on an edge: boxes [n, k, 4] → [n, k]. A box narrower than a cell counts as one cell wide.
 */
export function centrenessOf(
  boxes: Tensor,
  { centres, strides }: Pick<FeaturePoints, "centres" | "strides">,
): Tensor {
  const [x1 = boxes, y1 = boxes, x2 = boxes, y2 = boxes] = split(boxes, 2, 4).map((side) => side.squeeze(2));
  const [x = centres, y = centres] = split(centres, 1, 2).map((axis) => axis.squeeze(1));
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
