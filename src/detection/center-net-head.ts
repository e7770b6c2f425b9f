import { Conv2d } from "../nn/convolution.ts";
import { constant } from "../nn/initialisers.ts";
import { concat, type Initialiser, maxPool2d, oneHot, stack, type Tensor, where } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { rowsAt } from "./assignment.ts";
import { ConvBlock } from "./backbone-block.ts";
import { bestPairs } from "./box-decoding.ts";
import type { Decoded } from "./detector.ts";
import { PRIOR_LOGIT } from "./detector-losses.ts";
import { featureRows } from "./feature-points.ts";

/** What the head says of each cell of its map. */
export interface CenterNetOutputs {
  /** Logit of each class's heat, [n, classes, rows, columns]. */
  readonly heat: Tensor;
  /** Where in its cell a centre lies, x and y in cells, [n, cells, 2]. */
  readonly offsets: Tensor;
  /** Width and height of the object in cells, [n, cells, 2]. */
  readonly sizes: Tensor;
}

/** A 3×3 and a 1×1 convolution. */
class Branch {
  readonly hidden: ConvBlock;
  readonly output: Conv2d;

  constructor(channels: number, outputs: number, initialiseBias: Initialiser) {
    this.hidden = new ConvBlock(channels, channels, 3);
    this.output = new Conv2d(channels, outputs, 1, { initialiseBias });
  }

  forward(x: Tensor): Tensor {
    return this.output.forward(this.hidden.forward(x));
  }
}

/**
 * Cells that a side is first. What the branch says counts in this unit: in cells, an optimiser whose steps are of one size would need
 * hundreds of them to reach large objects.
 */
const FIRST_SIDE = 8;

/** The heads of CenterNet (Zhou et al. 2019, section 4): heat, offsets and sizes, each a branch on the same map. */
export class CenterNetHead {
  readonly heat: Branch;
  readonly offsets: Branch;
  readonly sizes: Branch;

  constructor(channels: number, classes: number) {
    this.heat = new Branch(channels, classes, constant(PRIOR_LOGIT));
    this.offsets = new Branch(channels, 2, constant(0.5));
    this.sizes = new Branch(channels, 2, constant(1));
  }

  /** @throws ShapeError */
  forward(map: Tensor): CenterNetOutputs {
    return {
      heat: this.heat.forward(map),
      offsets: featureRows([this.offsets.forward(map)]),
      sizes: featureRows([this.sizes.forward(map)]).mul(FIRST_SIDE),
    };
  }
}

/**
 * Objects at the peaks of the heat (Zhou et al. 2019, section 4, "From points to bounding boxes"): cells that are not below their
 * eight neighbours, the best `count` over all classes. No suppression follows.
 */
export function peaks({ heat, offsets, sizes }: CenterNetOutputs, grid: CellGrid, count: number): Decoded {
  const [n = 1, classes = 1, rows = 1, columns = 1] = heat.shape;
  const highest = maxPool2d(heat, { kernel: 3, stride: 1, padding: 1 });
  const kept = where(heat.greaterEqual(highest), heat.sigmoid(), 0);
  const best = bestPairs(kept.reshape([n, classes, Number(rows) * Number(columns)]), count);
  const row = best.places.div(Number(columns)).floor();
  const column = best.places.sub(row.mul(Number(columns)));
  const at = (rowsOfMap: Tensor): Tensor => rowsAt(rowsOfMap, best.places.cast("int64"));
  const centres = stack([column, row], 2).add(at(offsets));
  const half = at(sizes).relu().mul(0.5);
  return {
    boxes: concat([centres.sub(half), centres.add(half)], 2).mul(grid.stride),
    scores: oneHot(best.labels.cast("int64"), Number(classes)).mul(best.scores.unsqueeze(2)),
  };
}
