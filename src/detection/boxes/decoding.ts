import { shapeError } from "../../tensor/index.operations.ts";
import { concat, split, type Tensor, topK } from "../../tensor/index.ts";
import { type DeltaWeights, MOST_LOG_RATIO } from "./coding.ts";

// The ways from a head's predictions to boxes, while tracing and with gradients. Predictions are [..., 4]; what they are
// relative to broadcasts with them.

/** The four numbers of the last axis, each [..., 1]. @throws ShapeError where it is not of size 4 */
function parts(name: string, x: Tensor): readonly [Tensor, Tensor, Tensor, Tensor] {
  if (x.rank === 0 || x.shape[x.rank - 1] !== 4) throw shapeError(name, [x], "takes a last axis of size 4");
  const [a = x, b = x, c = x, d = x] = split(x, x.rank - 1, 4);
  return [a, b, c, d];
}

/** Center and sides of boxes. */
function centered(name: string, boxes: Tensor): readonly [Tensor, Tensor, Tensor, Tensor] {
  const [x1, y1, x2, y2] = parts(name, boxes);
  return [x1.add(x2).mul(0.5), y1.add(y2).mul(0.5), x2.sub(x1), y2.sub(y1)];
}

function fromCenters(x: Tensor, y: Tensor, w: Tensor, h: Tensor): Tensor {
  const [halfW, halfH] = [w.mul(0.5), h.mul(0.5)];
  return concat([x.sub(halfW), y.sub(halfH), x.add(halfW), y.add(halfH)], x.rank - 1);
}

/** As `decodeDeltas`, of tensors: deltas [..., 4] and anchors that broadcast with them. @throws ShapeError */
export function boxesOfDeltas(deltas: Tensor, anchors: Tensor, weights: DeltaWeights = [1, 1, 1, 1]): Tensor {
  const [dx, dy, dw, dh] = parts("boxesOfDeltas", deltas);
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
  const [tx, ty, tw, th] = parts("boxesOfYolo", codes);
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
  const [left, top, right, bottom] = parts("boxesOfDistances", distances);
  const [x = points, y = points] = split(points, points.rank - 1, 2);
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
 * The best pairs of a class and a place, from the highest score down: scores [n, classes, k] → scores, labels and places, each [n,
 * count] in float32, which holds whole numbers below 2²⁴ exactly.
 * @throws ShapeError where there are fewer pairs
 */
export function bestPairs(
  scores: Tensor,
  count: number,
): { readonly scores: Tensor; readonly labels: Tensor; readonly places: Tensor } {
  const [n = 1, classes = 1, k = 1] = scores.shape;
  const size = Number(k);
  const { values, indices } = topK(scores.reshape([n, Number(classes) * size]), count);
  const index = indices.cast("float32");
  const labels = index.div(size).floor();
  return { scores: values, labels, places: index.sub(labels.mul(size)) };
}
