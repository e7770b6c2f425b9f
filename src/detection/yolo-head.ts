import { Conv2d } from "../nn/convolution.ts";
import * as initialisers from "../nn/initialisers.ts";
import { arange, concat, constant, float32, type Initialiser, type Tensor } from "../tensor/index.ts";
import type { FeatureLevel } from "./backbone.ts";
import { ConvBlock } from "./backbone-block.ts";
import { boxesOfDistances } from "./box-decoding.ts";
import { PRIOR_LOGIT } from "./detector-losses.ts";
import { type FeaturePoints, featureRows } from "./feature-points.ts";

/** What the head says of each of k places. */
export interface YoloOutputs {
  /** Logits of the distances to the four edges being 0, 1, … bins − 1 strides, [n, k, 4, bins]. */
  readonly distances: Tensor;
  /** Logits of the classes, [n, k, classes]. */
  readonly classes: Tensor;
}

/** Two 3×3 convolutions and a 1×1 convolution to the outputs. */
class Branch {
  readonly blocks: readonly ConvBlock[];
  readonly output: Conv2d;

  constructor(channels: number, outputs: number, initialiseBias: Initialiser) {
    this.blocks = [new ConvBlock(channels, channels, 3), new ConvBlock(channels, channels, 3)];
    this.output = new Conv2d(channels, outputs, 1, { initialiseBias });
  }

  forward(x: Tensor): Tensor {
    return this.output.forward(this.blocks.reduce((h, block) => block.forward(h), x));
  }
}

/**
 * Decay of the first distribution of a distance from bin to bin: its mean is 2 strides, so that first boxes are 4 strides wide.
 */
const DECAY = 2 / 3;

/**
 * A decoupled head (Ge et al. 2021, "YOLOX", section 2.1): at each level one branch for the edges of boxes and one for classes.
 * The distance from a place to an edge is a distribution over whole strides (Li et al. 2020, "Generalized focal loss", equation
 * 4), whose mean is the distance.
 */
export class YoloHead {
  readonly boxes: readonly Branch[];
  readonly classes: readonly Branch[];
  private readonly bins: number;

  constructor(levels: readonly FeatureLevel[], classes: number, bins: number) {
    const start: Initialiser = (target) => {
      for (let i = 0; i < target.length; i++) target[i] = (i % bins) * Math.log(DECAY);
    };
    this.boxes = levels.map(({ channels }) => new Branch(channels, 4 * bins, start));
    this.classes = levels.map(
      ({ channels }) => new Branch(channels, classes, initialisers.constant(PRIOR_LOGIT)),
    );
    this.bins = bins;
  }

  /** Maps of the levels → what is said of all places. @throws ShapeError */
  forward(maps: readonly Tensor[]): YoloOutputs {
    const all = (branches: readonly Branch[]) =>
      featureRows(maps.map((map, i) => branches[i]?.forward(map) ?? map));
    const distances = all(this.boxes);
    const [n = 1, k = 1] = distances.shape;
    return { distances: distances.reshape([n, k, 4, this.bins]), classes: all(this.classes) };
  }
}

/** The boxes that distributions of distances [n, k, 4, bins] stand for, by their means: [n, k, 4]. */
export function boxesOfDistributions(distances: Tensor, { centres, strides }: FeaturePoints): Tensor {
  const bins = Number(distances.shape[3]);
  const means = distances
    .softmax(3)
    .matmul(arange(0, bins, 1, "float32").reshape([bins, 1]))
    .squeeze(3);
  return boxesOfDistances(means, centres, strides);
}

/** Distances from places to the left, top, right and bottom edge of boxes [n, k, 4], in strides; negative for a place outside. */
export function distancesOf(boxes: Tensor, { centres, strides }: FeaturePoints): Tensor {
  const outward = constant(float32([1, 1, -1, -1], [4]));
  return concat([centres, centres], 1).sub(boxes).mul(outward).div(strides);
}

/**
 * Distribution focal loss (Li et al. 2020, equation 6): cross entropy of the two bins around each distance, weighted by how near
 * they are. Distances beyond the last bin count as just before it.
 * @param distances logits [..., bins]
 * @param targets distances in bins, [...]
 * @returns [...]
 */
export function distributionLoss(distances: Tensor, targets: Tensor): Tensor {
  const bins = Number(distances.shape[distances.rank - 1]);
  const within = targets.clamp(0, bins - 1);
  // Weights of the bins fall linearly to 0 over one bin, and add up to 1: then −Σ w log p = log Σ eˣ − Σ w x.
  const weights = within
    .unsqueeze(within.rank)
    .sub(arange(0, bins, 1, "float32"))
    .abs()
    .neg()
    .add(1)
    .relu();
  return distances.logSumExp(distances.rank - 1).sub(distances.mul(weights).sum(distances.rank - 1));
}
