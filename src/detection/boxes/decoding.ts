import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { shapeError } from "../../tensor/index.operations.ts";
import { concat, split, type Tensor, topK } from "../../tensor/index.ts";
import { type DeltaWeights, MOST_LOG_RATIO } from "./coding.ts";

// From a head's predictions to boxes, while tracing and with gradients. Predictions are [..., 4]; what they are
// relative to broadcasts with them.

/** The four numbers of boxes along their last axis. */
export type Sides = readonly [x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor];

/**
 * The four numbers of the last axis: x1, y1, x2 and y2 of boxes [..., 4], each [..., 1].
 * @param owner named in errors: whose boxes these are
 * @throws ShapeError where the last axis is not of size 4
 */
export function sides(boxes: Tensor, owner = "sides"): Sides {
  if (boxes.rank === 0 || boxes.shape[boxes.rank - 1] !== 4) {
    throw shapeError(owner, [boxes], "boxes [x1, y1, x2, y2] take a last axis of size 4");
  }
  return split(boxes, boxes.rank - 1, 4);
}

/** As `sides`, without the last axis: each [...]. @throws ShapeError where it is not of size 4 */
export function squeezedSides(boxes: Tensor, owner = "sides"): Sides {
  const [x1, y1, x2, y2] = sides(boxes, owner);
  const axis = boxes.rank - 1;
  return [x1.squeeze(axis), y1.squeeze(axis), x2.squeeze(axis), y2.squeeze(axis)];
}

/** Center and sides of boxes. */
function centered(name: string, boxes: Tensor): readonly [Tensor, Tensor, Tensor, Tensor] {
  const [x1, y1, x2, y2] = sides(boxes, name);
  return [x1.add(x2).mul(0.5), y1.add(y2).mul(0.5), x2.sub(x1), y2.sub(y1)];
}

function fromCenters(x: Tensor, y: Tensor, w: Tensor, h: Tensor): Tensor {
  const [halfW, halfH] = [w.mul(0.5), h.mul(0.5)];
  return concat([x.sub(halfW), y.sub(halfH), x.add(halfW), y.add(halfH)], x.rank - 1);
}

/** As `decodeDeltas`, of tensors: deltas [..., 4] and anchors that broadcast with them. @throws ShapeError */
export function boxesOfDeltas(deltas: Tensor, anchors: Tensor, weights: DeltaWeights = [1, 1, 1, 1]): Tensor {
  const [dx, dy, dw, dh] = sides(deltas, "boxesOfDeltas");
  const [ax, ay, aw, ah] = centered("boxesOfDeltas", anchors);
  return fromCenters(
    dx
      .mul(1 / weights[0])
      .mul(aw)
      .add(ax),
    dy
      .mul(1 / weights[1])
      .mul(ah)
      .add(ay),
    dw
      .mul(1 / weights[2])
      .minimum(MOST_LOG_RATIO)
      .exp()
      .mul(aw),
    dh
      .mul(1 / weights[3])
      .minimum(MOST_LOG_RATIO)
      .exp()
      .mul(ah),
  );
}

/** As `decodeYolo`, of tensors: codes [..., 4], anchors and strides [..., 1] that broadcast with them. @throws ShapeError */
export function boxesOfYolo(codes: Tensor, anchors: Tensor, strides: Tensor, reach = 1): Tensor {
  const [tx, ty, tw, th] = sides(codes, "boxesOfYolo");
  const [ax, ay, aw, ah] = centered("boxesOfYolo", anchors);
  const range = strides.mul(reach);
  return fromCenters(
    tx.sigmoid().sub(0.5).mul(range).add(ax),
    ty.sigmoid().sub(0.5).mul(range).add(ay),
    tw.minimum(MOST_LOG_RATIO).exp().mul(aw),
    th.minimum(MOST_LOG_RATIO).exp().mul(ah),
  );
}

/** As `decodeDistances`, of tensors: distances [..., 4], points [..., 2] and strides [..., 1]. @throws ShapeError */
export function boxesOfDistances(distances: Tensor, points: Tensor, strides: Tensor): Tensor {
  if (points.rank === 0 || points.shape[points.rank - 1] !== 2) {
    throw shapeError("boxesOfDistances", [points], "points take a last axis of size 2");
  }
  const [left, top, right, bottom] = sides(distances, "boxesOfDistances");
  const [x, y] = split(points, points.rank - 1, 2);
  return concat(
    [
      x.sub(left.mul(strides)),
      y.sub(top.mul(strides)),
      x.add(right.mul(strides)),
      y.add(bottom.mul(strides)),
    ],
    distances.rank - 1,
  );
}

/**
 * The best pairs of a class and a location, from the highest score down: scores [n, classes, k] → scores, labels and locations, each [n,
 * count] in float32, which holds whole numbers below 2²⁴ exactly.
 * @throws ShapeError where there are fewer pairs
 */
export function bestPairs(
  scores: Tensor,
  count: number,
): { readonly scores: Tensor; readonly labels: Tensor; readonly places: Tensor } {
  const [classes, size] = [sizeAt("bestPairs", scores, 1), sizeAt("bestPairs", scores, 2)];
  const { values, indices } = topK(scores.reshape([dimAt(scores, 0), classes * size]), count);
  const index = indices.cast("float32");
  const labels = index.div(size).floor();
  return { scores: values, labels, places: index.sub(labels.mul(size)) };
}
