import { Conv2d } from "../nn/convolution.ts";
import { constant, normal, zeros } from "../nn/initialisers.ts";
import { concat, split, type Tensor } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { PRIOR_LOGIT } from "./detector-losses.ts";
import { featureRows } from "./feature-points.ts";
import { SharedTower } from "./shared-tower.ts";

/** What the head says of each of k anchors. */
export interface RetinaNetOutputs {
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
  /** Deltas of the box from the anchor, [n, k, 4]. */
  readonly deltas: Tensor;
}

/**
 * The head of RetinaNet (Lin et al. 2017, section 4 and figure 3), the same for all levels: a tower for classes and a tower for
 * boxes. Unlike in the paper, they have group normalisation: networks are trained from scratch here.
 */
export class RetinaNetHead {
  readonly classTower: SharedTower;
  readonly boxTower: SharedTower;
  readonly classes: Conv2d;
  readonly deltas: Conv2d;
  private readonly shapes: number;

  /** @param shapes anchors of a place */
  constructor(levels: readonly FeatureLevel[], classes: number, shapes: number, blocks: number) {
    const [{ channels } = { channels: 1 }] = levels;
    const start = { padding: 1, initialiseWeight: normal(0.01) };
    this.classTower = new SharedTower(channels, blocks);
    this.boxTower = new SharedTower(channels, blocks);
    this.classes = new Conv2d(channels, shapes * classes, 3, {
      ...start,
      initialiseBias: constant(PRIOR_LOGIT),
    });
    this.deltas = new Conv2d(channels, shapes * 4, 3, { ...start, initialiseBias: zeros });
    this.shapes = shapes;
  }

  /** Maps of the levels → what is said of all anchors, place by place, shape by shape. @throws ShapeError */
  forward(maps: readonly Tensor[]): RetinaNetOutputs {
    const anchors = (tower: SharedTower, output: Conv2d): Tensor => {
      const rows = featureRows(maps.map((map) => output.forward(tower.forward(map))));
      const [n = 1, places, values] = rows.shape;
      return rows.reshape([n, Number(places) * this.shapes, Number(values) / this.shapes]);
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
  const centred = (edges: Tensor): readonly Tensor[] => {
    const axis = edges.rank - 1;
    const [low = edges, high = edges] = split(edges, axis, 2);
    return [low.add(high).mul(0.5), high.sub(low).maximum(LEAST_SIDE)];
  };
  const [centre = boxes, side = boxes] = centred(boxes);
  const [anchor = anchors, size = anchors] = centred(anchors);
  return concat([centre.sub(anchor).div(size), side.div(size).log()], boxes.rank - 1);
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
