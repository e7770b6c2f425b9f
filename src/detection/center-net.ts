import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import { OptionError } from "../errors.ts";
import type { Losses } from "../nn/model.ts";
import { logicalAnd, type Tensor, where } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { liesIn, type ObjectRows, rowsAt } from "./assignment.ts";
import type { Size } from "./box-formats.ts";
import { heatTargets } from "./center-net-assignment.ts";
import { CenterNetHead, type CenterNetOutputs, peaks } from "./center-net-head.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { atLeastOne } from "./detector-losses.ts";
import { FeatureNetwork, featureOptions, imageSize } from "./feature-network.ts";
import { featurePoints, levelGrids } from "./feature-points.ts";
import { neckOption } from "./neck.ts";

/** Options of CenterNet. */
export const centerNetOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  stride: z.literal([4, 8, 16, 32]).default(4).describe("pixels between cells of the heat map"),
  peaks: z.int().min(1).default(100).describe("most objects that are found in an image"),
  offsetGain: z.number().min(0).default(1).describe("weight of the offset loss"),
  sizeGain: z.number().min(0).default(0.1).describe("weight of the size loss, which is in cells"),
});

export type CenterNetOptions = z.output<typeof centerNetOptions>;

/** Channels of the neck for width 1: its map is fine, and so dear. */
const CHANNELS = 32;

/**
 * CenterNet (Zhou et al. 2019, "Objects as points"): an object is the peak of a heat map at its centre; offset and size are read
 * off there. No anchors, and no suppression.
 */
export class CenterNet implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = false;
  readonly features: FeatureNetwork;
  readonly head: CenterNetHead;
  private readonly grid: CellGrid;
  private readonly options: CenterNetOptions;

  /** @throws OptionError where options do not fit the data */
  constructor(options: CenterNetOptions, data: DetectionInfo) {
    this.options = options;
    this.imageSize = imageSize("center-net", data.sampleShape);
    this.classes = classCount("center-net", data);
    this.features = new FeatureNetwork({
      ...options,
      finestStride: options.stride,
      levels: 1,
      neckChannels: CHANNELS,
    });
    const [level] = this.features.levels;
    const [grid] = levelGrids(this.imageSize, this.features.levels);
    if (level === undefined || grid === undefined) throw new OptionError("center-net: there is no map");
    this.head = new CenterNetHead(level.channels, this.classes);
    this.grid = grid;
    const cells = grid.rows * grid.columns * this.classes;
    if (options.peaks > cells) {
      throw new OptionError(`option peaks: the heat maps have ${cells} cells, fewer than ${options.peaks}`);
    }
  }

  private outputs(x: Tensor): CenterNetOutputs {
    const [map = x] = this.features.forward(x);
    return this.head.forward(map);
  }

  /** Equation 4 of the paper. */
  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    return centerNetLosses(this.outputs(x), this.grid, objects, this.options);
  }

  heat(x: Tensor): Tensor {
    return this.outputs(x).heat.sigmoid();
  }

  decoded(x: Tensor): Decoded {
    return peaks(this.outputs(x), this.grid, this.options.peaks);
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("CenterNet", this);
  }
}

/**
 * Penalty-reduced focal loss of the heat (Zhou et al. 2019, equation 1, with α = 2 and β = 4): cells near a centre are spared in
 * the measure in which their target y is near 1. Logits and targets of any shape; the sum is to be divided by the number of
 * objects.
 */
export function heatLoss(logits: Tensor, targets: Tensor): Tensor {
  const probability = logits.sigmoid();
  const centre = probability.mul(-1).add(1).square().mul(logits.logSigmoid());
  const away = targets.mul(-1).add(1).square().square().mul(probability.square());
  const isCentre = targets.greaterEqual(1).cast("float32");
  return centre.mul(isCentre).add(away.mul(logits.neg().logSigmoid())).neg();
}

/** Losses of the heat, 0 for cells in ignored regions but for the centres of objects. */
function outside(losses: Tensor, targets: Tensor, grid: CellGrid, ignored: Tensor | undefined): Tensor {
  if (ignored === undefined) return losses;
  const { rows, columns } = grid;
  const inside = liesIn(featurePoints([grid]).centres, ignored).reshape([-1, 1, rows, columns]);
  return where(logicalAnd(inside, targets.less(1)), 0, losses);
}

/**
 * The losses of what the head says, for objects [n, m], each divided by the number of objects; L1 of offsets and sizes (equations
 * 2 and 3).
 */
export function centerNetLosses(
  { heat, offsets, sizes }: CenterNetOutputs,
  grid: CellGrid,
  { boxes, labels, ignored }: ObjectRows,
  { offsetGain, sizeGain }: Pick<CenterNetOptions, "offsetGain" | "sizeGain">,
): Losses {
  const targets = heatTargets(boxes, labels, grid, Number(heat.shape[1]));
  const objects = atLeastOne(targets.valid);
  const distance = (predicted: Tensor, target: Tensor): Tensor =>
    rowsAt(predicted, targets.places).sub(target).abs().sum(2).mul(targets.valid).sum().div(objects);
  const heatPart = outside(heatLoss(heat, targets.heat), targets.heat, grid, ignored).sum().div(objects);
  const offset = distance(offsets, targets.offsets).mul(offsetGain);
  const size = distance(sizes, targets.sizes).mul(sizeGain);
  return { total: heatPart.add(offset).add(size), heat: heatPart, offset, size };
}

/** CenterNet as the catalogue is to know it. */
export const centerNetDefinition = defineDetector({
  name: "center-net",
  summary: "objects are peaks of a heat map, with offset and size read off there; no anchors, no suppression",
  paper: "Zhou, Wang and Krähenbühl 2019, Objects as Points, arXiv:1904.07850",
  options: centerNetOptions,
  build: (options, data) => new CenterNet(options, data),
  preferences: () => detectorPreferences,
});
