import { z } from "zod";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { amount, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { constant } from "../../nn/initializers.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import {
  arange,
  concat,
  type Initializer,
  logicalAnd,
  maxPool2d,
  oneHot,
  stack,
  type Tensor,
  where,
} from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import { bestPairs, squeezedSides } from "../boxes/decoding.ts";
import { liesInAny, type ObjectRows, rowsAt } from "../loss/assignment.ts";
import { atLeastOne, PRIOR_LOGIT } from "../loss/losses.ts";
import { featureOptions, featurePoints, featureRows, sharedChannels } from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector, onlyGrid } from "./detector.ts";

/** What the head predicts of each cell of its map. */
export interface CenterNetOutputs {
  /** Logit of each class's heat, [n, classes, rows, columns]. */
  readonly heat: Tensor;
  /** Where in its cell a center lies, x and y in cells, [n, cells, 2]. */
  readonly offsets: Tensor;
  /** Width and height of the object in cells, [n, cells, 2]. */
  readonly sizes: Tensor;
}

/** A 3×3 and a 1×1 convolution. */
class Branch {
  readonly hidden: ConvBlock;
  readonly output: Conv2d;

  constructor(channels: number, outputs: number, initializeBias: Initializer) {
    this.hidden = new ConvBlock(channels, channels, 3);
    this.output = new Conv2d(channels, outputs, 1, { initializeBias });
  }

  forward(x: Tensor): Tensor {
    return this.output.forward(this.hidden.forward(x));
  }
}

/**
 * Cells that a side is first. What the branch predicts counts in this unit: in cells, an optimizer whose steps are of one size would need
 * hundreds of them to reach large objects.
 */
const FIRST_SIDE = 8;

/** The heads of CenterNet (Zhou et al. 2019, section 4): heat, offsets and sizes, each a branch on the same map. */
class CenterNetHead {
  readonly heat: Branch;
  readonly offsets: Branch;
  readonly sizes: Branch;

  constructor(channels: number, classes: number) {
    this.heat = new Branch(channels, classes, constant(PRIOR_LOGIT));
    this.offsets = new Branch(channels, 2, constant(0.5));
    this.sizes = new Branch(channels, 2, constant(1));
  }

  /** The only map → what its cells predict. @throws ShapeError */
  forward(maps: readonly Tensor[]): CenterNetOutputs {
    const map = inputAt(maps, 0);
    return {
      heat: this.heat.forward(map),
      offsets: featureRows([this.offsets.forward(map)]),
      sizes: featureRows([this.sizes.forward(map)]).mul(FIRST_SIDE),
    };
  }
}

/**
 * Objects at the peaks of the heat (Zhou et al. 2019, section 4, "From points to bounding boxes"): cells that are not below their
 * eight neighbors, the best `count` over all classes. No suppression follows.
 */
export function peaks({ heat, offsets, sizes }: CenterNetOutputs, grid: CellGrid, count: number): Decoded {
  const [n, classes] = [dimAt(heat, 0), sizeAt("peaks", heat, 1)];
  const { rows, columns } = grid;
  const highest = maxPool2d(heat, { kernel: 3, stride: 1, padding: 1 });
  const kept = where(heat.greaterEqual(highest), heat.sigmoid(), 0);
  const best = bestPairs(kept.reshape([n, classes, rows * columns]), count);
  const row = best.places.div(columns).floor();
  const column = best.places.sub(row.mul(columns));
  const at = (rowsOfMap: Tensor): Tensor => rowsAt(rowsOfMap, best.places.cast("int64"));
  const centers = stack([column, row], 2).add(at(offsets));
  const half = at(sizes).relu().mul(0.5);
  return {
    boxes: concat([centers.sub(half), centers.add(half)], 2).mul(grid.stride),
    scores: oneHot(best.labels.cast("int64"), classes).mul(best.scores.unsqueeze(2)),
  };
}

/** What maps should hold, and where objects are in them. */
export interface CenterNetTargets {
  /** Heat of each class, [n, classes, rows, columns]: 1 at the cells of centers, falling off around them. */
  readonly heat: Tensor;
  /** The cell of each object's center, row by row, [n, m] (int64). */
  readonly places: Tensor;
  /** Where in its cell the center lies, x and y in cells, 0 … 1: [n, m, 2]. */
  readonly offsets: Tensor;
  /** Width and height in cells, [n, m, 2]. */
  readonly sizes: Tensor;
  /** 1 for an object, 0 for a row that is none, [n, m]. */
  readonly valid: Tensor;
}

/**
 * IoU with an object's box that a box whose corners lie within the radius has at least: 0.7 in the code of CornerNet and
 * CenterNet.
 */
const LEAST_OVERLAP = 0.7;

/**
 * How far both corners of a box may be moved so that the IoU with it stays above 0.7: the least of three cases (Law and Deng
 * 2018, "CornerNet", section 3.2), each the root of a quadratic equation. The moved box lies beside the old one, in it, or around
 * it.
 */
export function heatRadius(width: Tensor, height: Tensor, overlap = LEAST_OVERLAP): Tensor {
  const [sum, area] = [width.add(height), width.mul(height)];
  const root = (c: number): Tensor => sum.square().sub(area.mul(c)).relu().sqrt();
  // (w − r)(h − r) = 2 o / (1 + o) w h
  const beside = sum.sub(root((4 * (1 - overlap)) / (1 + overlap))).mul(1 / 2);
  // (w − 2r)(h − 2r) = o w h
  const inside = sum.sub(root(4 * (1 - overlap))).mul(1 / 4);
  // (w + 2r)(h + 2r) = w h / o
  const around = root(4 - 4 / overlap)
    .sub(sum)
    .mul(1 / 4);
  return beside.minimum(inside).minimum(around);
}

/**
 * The targets of CenterNet (Zhou et al. 2019, "Objects as points", section 3): around the cell of each object's center a Gaussian
 * of deviation (2r + 1) / 6 within the radius r of `heatRadius`, rounded down; where those of a class overlap, the larger value.
 * @param boxes [n, m, 4] in pixels
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function heatTargets(
  boxes: Tensor,
  labels: Tensor,
  { rows, columns, stride }: CellGrid,
  classes: number,
): CenterNetTargets {
  const [x1, y1, x2, y2] = squeezedSides(boxes.mul(1 / stride));
  const [x, y] = [x1.add(x2).mul(0.5), y1.add(y2).mul(0.5)];
  const [width, height] = [x2.sub(x1), y2.sub(y1)];
  const column = x.floor().clamp(0, columns - 1);
  const row = y.floor().clamp(0, rows - 1);
  const valid = labels.greaterEqual(0).cast("float32");

  const radius = heatRadius(width, height).floor().unsqueeze(2);
  const deviation = radius
    .mul(2)
    .add(1)
    .mul(1 / 6);
  const along = (center: Tensor, length: number): Tensor => {
    const distance = arange(0, length, 1, "float32").sub(center.unsqueeze(2));
    const bell = distance.div(deviation).square().mul(-0.5).exp();
    return where(distance.abs().lessEqual(radius), bell, 0);
  };
  const across = along(column, columns).unsqueeze(2);
  const down = along(row, rows);
  const heat = Array.from({ length: classes }, (_, label) => {
    const own = labels.equal(label).cast("float32").unsqueeze(2);
    return down.mul(own).unsqueeze(3).mul(across).max(1);
  });
  return {
    heat: stack(heat, 1),
    places: row.mul(columns).add(column).cast("int64"),
    offsets: stack([x.sub(column), y.sub(row)], 2),
    sizes: stack([width, height], 2),
    valid,
  };
}

/** Options of CenterNet. */
export const centerNetOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  stride: z.literal([4, 8, 16, 32]).default(4).describe("pixels between cells of the heat map"),
  peaks: unitCount().default(100).describe("most objects that are found in an image"),
  offsetGain: amount().default(1).describe("weight of the offset loss"),
  sizeGain: amount().default(0.1).describe("weight of the size loss, which is in cells"),
});

export type CenterNetOptions = z.output<typeof centerNetOptions>;

/** Channels of the neck for width 1: its map is fine, and so expensive. */
const CHANNELS = 32;

/**
 * CenterNet (Zhou et al. 2019, "Objects as points"): an object is the peak of a heat map at its center; offset and size are read
 * off there. No anchors, and no suppression.
 */
export class CenterNet extends DenseDetector<CenterNetOptions, CenterNetOutputs, CellGrid> {
  readonly needsSuppression: boolean;
  readonly head: CenterNetHead;

  /** @throws OptionError where options do not fit the data */
  constructor(options: CenterNetOptions, data: DetectionInfo) {
    super({ name: "center-net", title: "CenterNet" }, options, data, {
      ...options,
      finestStride: options.stride,
      levels: 1,
      neckChannels: CHANNELS,
    });
    this.head = new CenterNetHead(sharedChannels(this.features.levels), this.classes);
    // Of one branch the peaks are picked; several branches find the same objects.
    this.needsSuppression = this.features.trident.merges;
    this.geometryOf(this.grids);
  }

  /** @throws OptionError where there are fewer cells than peaks */
  protected geometryOf(grids: readonly CellGrid[]): CellGrid {
    const grid = onlyGrid(grids);
    const { peaks } = this.options;
    const cells = grid.rows * grid.columns * this.classes;
    if (peaks > cells) {
      throw new OptionError(`option peaks: the heat maps have ${cells} cells, fewer than ${peaks}`);
    }
    return grid;
  }

  /** Equation 4 of the paper. */
  protected lossesOf(outputs: CenterNetOutputs, objects: ObjectRows, grid: CellGrid): Losses {
    return centerNetLosses(outputs, grid, objects, this.options);
  }

  /** The largest of all branches. */
  heat(x: Tensor): Tensor {
    return this.outputs(x)
      .map(({ heat }) => heat.sigmoid())
      .reduce((a, b) => a.maximum(b));
  }

  protected decode(outputs: CenterNetOutputs, grid: CellGrid): Decoded {
    return peaks(outputs, grid, this.options.peaks);
  }
}

/**
 * Penalty-reduced focal loss of the heat (Zhou et al. 2019, equation 1, with α = 2 and β = 4): cells near a center are spared in
 * the measure in which their target y is near 1. Logits and targets of any shape; the sum is to be divided by the number of
 * objects.
 */
export function heatLoss(logits: Tensor, targets: Tensor): Tensor {
  const probability = logits.sigmoid();
  const center = probability.mul(-1).add(1).square().mul(logits.logSigmoid());
  const away = targets.mul(-1).add(1).square().square().mul(probability.square());
  const isCenter = targets.greaterEqual(1).cast("float32");
  return center.mul(isCenter).add(away.mul(logits.neg().logSigmoid())).neg();
}

/** Losses of the heat, 0 for cells in ignored regions but for the centers of objects. */
function outside(
  losses: Tensor,
  targets: Tensor,
  grid: CellGrid,
  regions: readonly (Tensor | undefined)[],
): Tensor {
  const lies = liesInAny(featurePoints([grid]).centers, regions);
  if (lies === undefined) return losses;
  const { rows, columns } = grid;
  const inside = lies.reshape([-1, 1, rows, columns]);
  return where(logicalAnd(inside, targets.less(1)), 0, losses);
}

/**
 * The losses of what the head predicts, for objects [n, m], each divided by the number of objects; L1 of offsets and sizes (equations
 * 2 and 3).
 */
export function centerNetLosses(
  { heat, offsets, sizes }: CenterNetOutputs,
  grid: CellGrid,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { offsetGain, sizeGain }: Pick<CenterNetOptions, "offsetGain" | "sizeGain">,
): Losses {
  const targets = heatTargets(boxes, labels, grid, Number(heat.shape[1]));
  const objects = atLeastOne(targets.valid);
  const distance = (predicted: Tensor, target: Tensor): Tensor =>
    rowsAt(predicted, targets.places).sub(target).abs().sum(2).mul(targets.valid).sum().div(objects);
  const heatPart = outside(heatLoss(heat, targets.heat), targets.heat, grid, [ignored, invalid])
    .sum()
    .div(objects);
  const offset = distance(offsets, targets.offsets).mul(offsetGain);
  const size = distance(sizes, targets.sizes).mul(sizeGain);
  return { total: heatPart.add(offset).add(size), heat: heatPart, offset, size };
}

/** CenterNet as the catalogue has it. */
export const centerNetDefinition = defineDetector({
  name: "center-net",
  summary: "objects are peaks of a heat map, with offset and size read off there; no anchors, no suppression",
  paper: "Zhou, Wang and Krähenbühl 2019, Objects as Points, arXiv:1904.07850",
  options: centerNetOptions,
  build: (options, data) => new CenterNet(options, data),
});
