import { type FeatureLevel, scaledChannels } from "../../backbones/backbone.ts";
import { discriminatorLoss, generatorLoss } from "../../latent/gan-losses.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { kaimingNormal, normal, zeros } from "../../nn/initializers.ts";
import { Linear, linearLayers } from "../../nn/linear.ts";
import { parametersOf } from "../../nn/module.ts";
import { dimAt, sizeAt, substitute } from "../../tensor/graph.ts";
import { inputAt, shapeError } from "../../tensor/index.operations.ts";
import { logicalAnd, type Tensor, where } from "../../tensor/index.ts";
import { multiplyDims } from "../../tensor/shape.ts";
import { squeezedSides } from "../boxes/decoding.ts";
import { atLeastOne } from "../loss/losses.ts";

// Perceptual GAN (Li et al. 2017, "Perceptual generative adversarial networks for small object detection"): what the maps hold of a small
// region is made to look like what they hold of a large one, before a head classifies it. The size of a region is the side of a square of
// the same area.

/** Residual blocks of the generator. */
const BLOCKS = 2;

/** Deviation of the first weights of last layers: at first, residuals and logits are small. */
const SMALL = 0.01;

/** Slope of leaky rectifiers below 0. */
const SLOPE = 0.2;

/** x + conv(relu(conv(relu(x)))) with 3×3 convolutions, without normalization: a region is enlarged by itself. */
class ResidualBlock {
  readonly conv1: Conv2d;
  readonly conv2: Conv2d;

  constructor(channels: number) {
    const first = { padding: 1, initializeWeight: kaimingNormal(), initializeBias: zeros };
    this.conv1 = new Conv2d(channels, channels, 3, first);
    this.conv2 = new Conv2d(channels, channels, 3, { ...first, initializeWeight: normal(SMALL) });
  }

  forward(x: Tensor): Tensor {
    return x.add(this.conv2.forward(this.conv1.forward(x.relu()).relu()));
  }
}

/**
 * The generator (section 3 and figure 3 of the paper): from the bins of a region in a finer map to what its features lack. A 3×3
 * convolution, residual blocks, and a 1×1 convolution to the channels of the features; half as many channels in between.
 */
export class ResidualGenerator {
  readonly entry: Conv2d;
  readonly blocks: readonly ResidualBlock[];
  readonly exit: Conv2d;

  /**
   * @param inputs channels of the finer map
   * @param channels of the features
   */
  constructor(inputs: number, channels: number) {
    const inner = scaledChannels(channels, 0.5);
    this.entry = new Conv2d(inputs, inner, 3, {
      padding: 1,
      initializeWeight: kaimingNormal(),
      initializeBias: zeros,
    });
    this.blocks = Array.from({ length: BLOCKS }, () => new ResidualBlock(inner));
    this.exit = new Conv2d(inner, channels, 1, { initializeWeight: normal(SMALL), initializeBias: zeros });
  }

  /** [k, inputs, bins, bins] → [k, channels, bins, bins]. @throws ShapeError */
  forward(fine: Tensor): Tensor {
    const first = this.entry.forward(fine);
    return this.exit.forward(this.blocks.reduce((h, block) => block.forward(h), first).relu());
  }
}

/**
 * The adversarial branch of the discriminator (section 3 and figure 3 of the paper): three linear layers from the features of a region to a
 * logit. It begins undecided: the last weights are small.
 */
export class RegionDiscriminator {
  readonly layers: readonly Linear[];
  readonly logit: Linear;

  /** @param inputs numbers of a region's features */
  constructor(inputs: number, hidden: number) {
    this.layers = linearLayers([inputs, hidden, hidden], {
      initializeWeight: kaimingNormal(SLOPE),
      initializeBias: zeros,
    });
    this.logit = new Linear(hidden, 1, { initializeWeight: normal(SMALL), initializeBias: zeros });
  }

  /** Features of regions [n, R, …] → logits of their being those of a large object, [n, R]. @throws ShapeError */
  forward(features: Tensor): Tensor {
    const [n, count] = [dimAt(features, 0), sizeAt("RegionDiscriminator", features, 1)];
    const rows = features.reshape([n, count, -1]);
    const last = this.layers.reduce((h, layer) => {
      const y = layer.forward(h);
      return y.maximum(y.mul(SLOPE));
    }, rows);
    return this.logit.forward(last).squeeze(2);
  }
}

/** What an enlarger is made from. */
export interface EnlargerOptions {
  /** The map that details are taken from. */
  readonly level: FeatureLevel;
  /** Channels of the features of regions. */
  readonly channels: number;
  /** Bins along each side of a region. */
  readonly bins: number;
  /** Units of both hidden layers of the discriminator. */
  readonly hidden: number;
  /** Regions of a size below this are enlarged, in pixels of the image. */
  readonly below: number;
  /** Objects of a size from this on are large, in pixels of the image. */
  readonly from: number;
  /** Weight of what the generator gains by being taken for large objects. */
  readonly weight: number;
}

/** Regions as they are read from maps, in one of the orders of `regionFeatures` and `readRegions`. */
export interface ReadRegions {
  /** [n, R, 4] in pixels of the image. */
  readonly regions: Tensor;
  /** From the map of their size: [n, R, bins · C, bins] or [n, R, C, bins, bins]. */
  readonly features: Tensor;
  /** From the finer map, in the same order. */
  readonly fine: Tensor;
}

/** What the players minimize. */
export interface EnlargerLosses {
  readonly generator: Tensor;
  readonly discriminator: Tensor;
}

/** The area of each region [n, R, 4] → [n, R]. */
function areas(regions: Tensor): Tensor {
  const [x1, y1, x2, y2] = squeezedSides(regions);
  return x2.sub(x1).relu().mul(y2.sub(y1).relu());
}

/** The mean over the rows that count, [n, R] (bool); 0 where there are none. */
function meanOver(counts: Tensor): (losses: Tensor) => Tensor {
  const each = counts.cast("float32");
  return (losses) => losses.mul(each).sum().div(atLeastOne(each));
}

/** Enlarges what maps hold of small regions, and learns how by a game against a discriminator. */
export class RegionEnlarger {
  readonly generator: ResidualGenerator;
  readonly discriminator: RegionDiscriminator;
  /** Of the map that details are taken from. */
  readonly level: FeatureLevel;
  private readonly options: EnlargerOptions;

  constructor(options: EnlargerOptions) {
    const { level, channels, bins, hidden } = options;
    this.level = level;
    this.generator = new ResidualGenerator(level.channels, channels);
    this.discriminator = new RegionDiscriminator(channels * bins * bins, hidden);
    this.options = options;
  }

  /**
   * Features of regions, those of small ones with what the generator adds: F + G(f), where F are the features and f those of the finer
   * map (section 3 of the paper).
   * @returns as the features are
   * @throws ShapeError
   */
  forward({ regions, features, fine }: ReadRegions): Tensor {
    const small = areas(regions).less(this.options.below ** 2);
    const rank = features.rank;
    return features.add(where(unsqueezed(small, rank), this.residual(fine), 0));
  }

  /** What the generator makes of regions as they are read, in their order. */
  private residual(fine: Tensor): Tensor {
    const { channels, bins } = this.options;
    const inputs = this.level.channels;
    const [n, count] = [dimAt(fine, 0), sizeAt("RegionEnlarger", fine, 1)];
    const all = multiplyDims(n, count);
    if (all === undefined) throw shapeError("RegionEnlarger", [fine], "wants features of regions [n, R, …]");
    if (fine.rank === 5) {
      const made = this.generator.forward(fine.reshape([all, inputs, bins, bins]));
      return made.reshape([n, count, channels, bins, bins]);
    }
    // Rows of bins stand in front of channels here.
    const made = this.generator.forward(fine.reshape([all, bins, inputs, bins]).transpose([0, 2, 1, 3]));
    return made.transpose([0, 2, 1, 3]).reshape([n, count, bins * channels, bins]);
  }

  /**
   * The game (section 3 of the paper): with F of regions on large objects and F̃ = F + G(f) of regions on small ones, the discriminator's loss
   * is −E log σ(D(F)) − E log(1 − σ(D(F̃))), and the generator's −weight · E log σ(D(F̃)). Both are trained in the same step: the first
   * has a gradient by the discriminator's parameters alone, the second by the generator's alone, and neither by the maps. Where a batch has no small or
   * no large object, its term is 0.
   * @param positive which regions are on objects, [n, R] (bool)
   */
  losses({ regions, features, fine }: ReadRegions, positive: Tensor): EnlargerLosses {
    const { below, from, weight } = this.options;
    const size = areas(regions);
    const ofSmall = meanOver(logicalAnd(positive, size.less(below ** 2)));
    const ofLarge = meanOver(logicalAnd(positive, size.greaterEqual(from ** 2)));
    const seen = this.forward({
      regions,
      features: features.stopGradient(),
      fine: fine.stopGradient(),
    });
    const logits = this.discriminator.forward(seen.stopGradient());
    const fixed = parametersOf(this.discriminator).map((each) => [each, each.stopGradient()] as const);
    const opposed = substitute([this.discriminator.forward(seen)], new Map(fixed));
    return {
      generator: generatorLoss("non-saturating", inputAt(opposed, 0), ofSmall).mul(weight),
      discriminator: discriminatorLoss("non-saturating", logits, logits, {
        averages: { real: ofLarge, fake: ofSmall },
      }),
    };
  }
}

/** A mask [n, R] for tensors of a rank. */
function unsqueezed(mask: Tensor, rank: number): Tensor {
  let wide = mask;
  for (let axis = mask.rank; axis < rank; axis++) wide = wide.unsqueeze(axis);
  return wide;
}
