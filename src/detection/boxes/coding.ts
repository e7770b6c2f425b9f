import { OptionError } from "../../errors.ts";
import { type BoxArray, boxAt, boxCount } from "./boxes.ts";

// What a head predicts for a box, and back. Everything here is numbers; `decoding.ts` has the inverses for tensors.

/** Largest log-ratio of sides that is decoded: a prediction cannot be wider than 62.5 anchors. */
export const MOST_LOG_RATIO = Math.log(1000 / 16);

/** By what the four deltas are multiplied when encoded: x, y, width and height. */
export type DeltaWeights = readonly [x: number, y: number, width: number, height: number];

/** Nearest that a center is encoded to the border of its range, as a share of it: a sigmoid never arrives there. */
const BORDER = 1e-6;

/** @throws OptionError where there are not as many boxes as anchors, or one is empty */
function checkPairs(name: string, boxes: BoxArray, anchors: BoxArray): void {
  if (boxCount(boxes) !== boxCount(anchors)) {
    throw new OptionError(
      `${name}: ${boxCount(boxes)} boxes and ${boxCount(anchors)} anchors do not belong together`,
    );
  }
  for (const [kind, array] of [
    ["box", boxes],
    ["anchor", anchors],
  ] as const) {
    for (let i = 0; i < array.length / 4; i++) {
      const [x1, y1, x2, y2] = boxAt(array, i);
      if (!(x2 > x1 && y2 > y1))
        throw new OptionError(`${name}: ${kind} ${i}, [${x1},${y1},${x2},${y2}], is empty`);
    }
  }
}

/** A box by its center and its sides. */
function centered(boxes: ArrayLike<number>, index: number): readonly [number, number, number, number] {
  const [x1, y1, x2, y2] = boxAt(boxes, index);
  return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
}

function fill<T extends BoxArray>(
  like: T,
  compute: (index: number) => readonly [number, number, number, number],
): T {
  const result = like.slice() as T;
  for (let i = 0; i < result.length / 4; i++) result.set(compute(i), 4 * i);
  return result;
}

/**
 * Boxes relative to anchors (Ren et al. 2015, "Faster R-CNN", equation 2): (x − xₐ) / wₐ, (y − yₐ) / hₐ, log(w / wₐ), log(h / hₐ)
 * of centers and sides, times the weights.
 * @throws OptionError where there are not as many boxes as anchors, or one is empty
 */
export function encodeDeltas<T extends BoxArray>(
  boxes: T,
  anchors: BoxArray,
  weights: DeltaWeights = [1, 1, 1, 1],
): T {
  checkPairs("encodeDeltas", boxes, anchors);
  return fill(boxes, (i) => {
    const [x, y, w, h] = centered(boxes, i);
    const [ax, ay, aw, ah] = centered(anchors, i);
    return [
      (weights[0] * (x - ax)) / aw,
      (weights[1] * (y - ay)) / ah,
      weights[2] * Math.log(w / aw),
      weights[3] * Math.log(h / ah),
    ];
  });
}

/** The boxes that deltas stand for: the inverse of `encodeDeltas`. Sides are at most 62.5 times those of the anchor. */
export function decodeDeltas<T extends BoxArray>(
  deltas: T,
  anchors: BoxArray,
  weights: DeltaWeights = [1, 1, 1, 1],
): T {
  return fill(deltas, (i) => {
    const [dx, dy, dw, dh] = boxAt(deltas, i);
    const [ax, ay, aw, ah] = centered(anchors, i);
    return edges(
      ax + (dx / weights[0]) * aw,
      ay + (dy / weights[1]) * ah,
      aw * Math.exp(Math.min(dw / weights[2], MOST_LOG_RATIO)),
      ah * Math.exp(Math.min(dh / weights[3], MOST_LOG_RATIO)),
    );
  });
}

function edges(x: number, y: number, w: number, h: number): readonly [number, number, number, number] {
  return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
}

/** How a YOLO head writes boxes. */
export interface YoloCoding {
  /** Side of the cell of each anchor, in pixels. */
  readonly strides: ArrayLike<number>;
  /**
   * How many cells the center may range over, centered on its own: 1 in YOLOv2 and v3; more lets it reach the cell's border
   * (Bochkovskiy et al. 2020, "YOLOv4", section 3.4). Default: 1.
   */
  readonly reach?: number;
}

/**
 * Boxes as YOLO predicts them (Redmon and Farhadi 2017, "YOLO9000", section 2, figure 3): b = σ(t) + c for the center in cells
 * with the corner c of the cell, and b = p eᵗ for sides with the anchor's side p. With a `reach` α, b = α σ(t) − (α − 1) / 2 + c.
 * A center on the border of its range, up to rounding, is encoded 10⁻⁶ of the range inside.
 * @param anchors boxes centered on the centers of their cells, as `anchorGrid` makes them
 * @throws OptionError where there are not as many boxes as anchors, one is empty, or the center of a box is out of the cell's reach
 */
export function encodeYolo<T extends BoxArray>(
  boxes: T,
  anchors: BoxArray,
  { strides, reach = 1 }: YoloCoding,
): T {
  checkPairs("encodeYolo", boxes, anchors);
  return fill(boxes, (i) => {
    const [x, y, w, h] = centered(boxes, i);
    const [ax, ay, aw, ah] = centered(anchors, i);
    const stride = strides[i] ?? Number.NaN;
    const logit = (offset: number): number => {
      const share = offset / (stride * reach) + 0.5;
      if (!(share >= -BORDER && share <= 1 + BORDER)) {
        throw new OptionError(
          `encodeYolo: the center (${x}, ${y}) of box ${i} is out of reach of its cell around (${ax}, ${ay})`,
        );
      }
      const inside = Math.min(Math.max(share, BORDER), 1 - BORDER);
      return Math.log(inside / (1 - inside));
    };
    return [logit(x - ax), logit(y - ay), Math.log(w / aw), Math.log(h / ah)];
  });
}

/** The boxes that YOLO's numbers stand for: the inverse of `encodeYolo`. */
export function decodeYolo<T extends BoxArray>(
  codes: T,
  anchors: BoxArray,
  { strides, reach = 1 }: YoloCoding,
): T {
  return fill(codes, (i) => {
    const [tx, ty, tw, th] = boxAt(codes, i);
    const [ax, ay, aw, ah] = centered(anchors, i);
    const range = (strides[i] ?? Number.NaN) * reach;
    const offset = (t: number) => (1 / (1 + Math.exp(-t)) - 0.5) * range;
    return edges(
      ax + offset(tx),
      ay + offset(ty),
      aw * Math.exp(Math.min(tw, MOST_LOG_RATIO)),
      ah * Math.exp(Math.min(th, MOST_LOG_RATIO)),
    );
  });
}

/**
 * Boxes as distances from points to their left, top, right and bottom edge (Tian et al. 2019, "FCOS", equation 1), divided by
 * the strides where they are given. Distances are negative for a point outside.
 * @param points x and y of a point for each box, as `cellCenters` makes them
 * @throws OptionError where there are not as many boxes as points
 */
export function encodeDistances<T extends BoxArray>(
  boxes: T,
  points: ArrayLike<number>,
  strides?: ArrayLike<number>,
): T {
  if (2 * boxCount(boxes) !== points.length) {
    throw new OptionError(
      `encodeDistances: ${boxCount(boxes)} boxes need as many points; there are ${points.length / 2}`,
    );
  }
  return fill(boxes, (i) => {
    const [x, y, unit] = [points[2 * i] ?? 0, points[2 * i + 1] ?? 0, strides?.[i] ?? 1];
    const [x1, y1, x2, y2] = boxAt(boxes, i);
    return [(x - x1) / unit, (y - y1) / unit, (x2 - x) / unit, (y2 - y) / unit];
  });
}

/** The boxes that distances from points stand for: the inverse of `encodeDistances`. */
export function decodeDistances<T extends BoxArray>(
  distances: T,
  points: ArrayLike<number>,
  strides?: ArrayLike<number>,
): T {
  return fill(distances, (i) => {
    const [x, y, unit] = [points[2 * i] ?? 0, points[2 * i + 1] ?? 0, strides?.[i] ?? 1];
    const [left, top, right, bottom] = boxAt(distances, i);
    return [x - left * unit, y - top * unit, x + right * unit, y + bottom * unit];
  });
}
