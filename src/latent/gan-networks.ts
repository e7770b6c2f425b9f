import { OptionError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";
import { Conv2d, ConvTranspose2d } from "../nn/convolution.ts";
import { kaimingNormal, normal, zeros } from "../nn/initializers.ts";
import { Embedding, Linear, linearLayers } from "../nn/linear.ts";
import { BatchNorm2d, SpectralNorm, type WeightedLayer } from "../nn/normalization.ts";
import { concat, elementCount, oneHot, type Tensor } from "../tensor/index.ts";
import type { SettledGanOptions } from "./gan-options.ts";

/** Makes samples of codes z [n, latentSize] and maybe classes [n] (int64). */
export interface Generator {
  /** The code's image under the last layer, [n, …sampleShape], to be made a sample by `SampleSpace.generated`. */
  forward(z: Tensor, label?: Tensor): Tensor;
}

/** Separates data from samples: x [n, …sampleShape] and maybe classes [n] → logits [n]. */
export interface Discriminator {
  forward(x: Tensor, label?: Tensor): Tensor;
}

/** Slope of leaky rectifiers, as in DCGAN. */
const SLOPE = 0.2;

/** Length of the vector that stands for a class beside a code. */
const CLASS_SIZE = 16;

const leaky = (x: Tensor): Tensor => x.leakyRelu(SLOPE);

/** The code with the vector of its class behind it. */
class Condition {
  readonly classes: Embedding | undefined;
  /** Length of the result. */
  readonly size: number;

  constructor({ latentSize, classes }: SettledGanOptions) {
    this.classes = classes === 0 ? undefined : new Embedding(classes, CLASS_SIZE);
    this.size = latentSize + (classes === 0 ? 0 : CLASS_SIZE);
  }

  forward(z: Tensor, label: Tensor | undefined): Tensor {
    if (this.classes === undefined) return z;
    if (label === undefined)
      throw new OptionError("this GAN is conditional: it needs the class of each sample");
    return concat([z, this.classes.forward(label)], 1);
  }
}

/** A layer of a discriminator. */
interface Layer {
  forward(x: Tensor): Tensor;
}

/** The layer itself or, where options want that, its spectral normalization. */
function normalized({ spectralNorm }: SettledGanOptions, layer: WeightedLayer & Layer): Layer {
  return spectralNorm ? new SpectralNorm(layer) : layer;
}

/**
 * The logit of features [n, f]: linear, plus for a class y the product of the features with a vector of that class
 * (Miyato and Koyama 2018, "cGANs with Projection Discriminator", equation 9).
 */
class Logit {
  readonly output: Layer;
  readonly projection: Layer | undefined;
  private readonly classes: number;

  constructor(features: number, options: SettledGanOptions) {
    const { classes } = options;
    this.output = normalized(options, new Linear(features, 1));
    this.projection =
      classes === 0 ? undefined : normalized(options, new Linear(features, classes, { bias: false }));
    this.classes = classes;
  }

  forward(features: Tensor, label: Tensor | undefined): Tensor {
    const logit = this.output.forward(features).squeeze(1);
    if (this.projection === undefined) return logit;
    if (label === undefined) throw new OptionError("this GAN is conditional: its batches need labels");
    const own = this.projection.forward(features).mul(oneHot(label, this.classes)).sum(1);
    return logit.add(own);
  }
}

function repeated(count: number, size: number): readonly number[] {
  return new Array<number>(count).fill(size);
}

/** A perceptron with leaky rectifiers, from a code to a sample. */
export class MlpGenerator implements Generator {
  readonly condition: Condition;
  readonly layers: readonly Linear[];
  private readonly sampleShape: readonly number[];

  constructor(options: SettledGanOptions, { sampleShape }: DataInfo) {
    const { width, depth } = options;
    this.condition = new Condition(options);
    this.sampleShape = sampleShape;
    const sizes = [this.condition.size, ...repeated(depth, width), elementCount(sampleShape)];
    this.layers = linearLayers(sizes);
  }

  forward(z: Tensor, label?: Tensor): Tensor {
    const rows = this.layers.reduce(
      (h, layer, i) => layer.forward(i === 0 ? h : leaky(h)),
      this.condition.forward(z, label),
    );
    return rows.reshape([z.shape[0] ?? 1, ...this.sampleShape]);
  }
}

/** A perceptron with leaky rectifiers, from a sample to a logit. */
export class MlpDiscriminator implements Discriminator {
  readonly layers: readonly Layer[];
  readonly logit: Logit;

  constructor(options: SettledGanOptions, { sampleShape }: DataInfo) {
    const { width, depth } = options;
    const sizes = [elementCount(sampleShape), ...repeated(depth, width)];
    this.layers = linearLayers(sizes).map((layer) => normalized(options, layer));
    this.logit = new Logit(width, options);
  }

  forward(x: Tensor, label?: Tensor): Tensor {
    const rows = x.reshape([x.shape[0] ?? 1, -1]);
    return this.logit.forward(
      this.layers.reduce((h, layer) => leaky(layer.forward(h)), rows),
      label,
    );
  }
}

/** Sizes and channels of a map of a convolutional network. */
interface Level {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** The maps between an image and a vector. */
interface Levels {
  /** Channels of the image. */
  readonly image: number;
  /** From half the size of the image down. */
  readonly maps: readonly Level[];
  /** The last of the maps. */
  readonly smallest: Level;
}

/** Channels grow by no more than this. */
const MOST_GROWTH = 8;

/**
 * An image is halved twice, and on while its sides are even and above 4: 28 → 14 → 7, 64 → 32 → 16 → 8 → 4.
 * @throws OptionError where it cannot be halved twice
 */
function levelsOf({ channels }: SettledGanOptions, { sampleShape }: DataInfo): Levels {
  const [image = 0, height = 0, width = 0] = sampleShape;
  if (sampleShape.length !== 3 || height % 4 !== 0 || width % 4 !== 0) {
    throw new OptionError(
      `option network: convolutional networks take images whose sides divide by 4, not ${height}×${width}; resize them, or choose mlp`,
    );
  }
  let smallest: Level = { height: height / 2, width: width / 2, channels };
  const maps = [smallest];
  while (maps.length < 2 || [smallest.height, smallest.width].every((side) => side % 2 === 0 && side > 4)) {
    const growth = Math.min(MOST_GROWTH, 2 ** maps.length);
    smallest = { height: smallest.height / 2, width: smallest.width / 2, channels: channels * growth };
    maps.push(smallest);
  }
  return { image, maps, smallest };
}

/** Kernels of 4×4 halve and double sizes without overlapping unevenly. */
const HALVING = { stride: 2, padding: 1 } as const;

/** Starting values of DCGAN's layers. */
const dcganNormal = normal(0.02);

/**
 * DCGAN's generator (Radford, Metz and Chintala 2016, section 3): a linear layer to the smallest map, transposed
 * convolutions that double it, batch normalization and rectifiers between.
 */
export class ConvolutionalGenerator implements Generator {
  readonly condition: Condition;
  readonly project: Linear;
  readonly norms: readonly BatchNorm2d[];
  readonly up: readonly ConvTranspose2d[];
  private readonly smallest: Level;
  /** The same layers in the order in which they are applied; parameters have the names of the fields above. */
  private readonly steps: readonly { readonly norm: BatchNorm2d; readonly layer: ConvTranspose2d }[];

  /** @throws OptionError where the image cannot be halved twice */
  constructor(options: SettledGanOptions, data: DataInfo) {
    this.condition = new Condition(options);
    const { image, maps: downwards, smallest } = levelsOf(options, data);
    const maps = downwards.toReversed();
    this.smallest = smallest;
    const { channels, height, width } = smallest;
    const start = { initializeWeight: dcganNormal };
    this.project = new Linear(this.condition.size, channels * height * width, { ...start, bias: false });
    const norms = maps.map((map) => ({ map, norm: new BatchNorm2d(map.channels) }));
    this.steps = norms.map(({ map, norm }, i) => {
      const next = maps[i + 1];
      const bias = next === undefined ? { initializeBias: zeros } : { bias: false };
      const outputs = next?.channels ?? image;
      return {
        norm,
        layer: new ConvTranspose2d(map.channels, outputs, 4, { ...HALVING, ...start, ...bias }),
      };
    });
    this.norms = this.steps.map(({ norm }) => norm);
    this.up = this.steps.map(({ layer }) => layer);
  }

  forward(z: Tensor, label?: Tensor): Tensor {
    const { channels, height, width } = this.smallest;
    const first = this.project.forward(this.condition.forward(z, label));
    return this.steps.reduce(
      (h, { norm, layer }) => layer.forward(norm.forward(h).relu()),
      first.reshape([z.shape[0] ?? 1, channels, height, width]),
    );
  }
}

/**
 * DCGAN's discriminator: convolutions that halve the image, leaky rectifiers between, a linear layer at last. Unlike
 * DCGAN's it has no batch normalization, so that each logit is a function of its own sample: gradient penalties need
 * that, and spectral normalization takes its place.
 */
export class ConvolutionalDiscriminator implements Discriminator {
  readonly down: readonly Layer[];
  readonly logit: Logit;

  /** @throws OptionError where the image cannot be halved twice */
  constructor(options: SettledGanOptions, data: DataInfo) {
    const { image, maps, smallest } = levelsOf(options, data);
    const start = { initializeWeight: kaimingNormal(SLOPE), initializeBias: zeros };
    this.down = maps.map((map, i) => {
      const inputs = maps[i - 1]?.channels ?? image;
      return normalized(options, new Conv2d(inputs, map.channels, 4, { ...HALVING, ...start }));
    });
    this.logit = new Logit(smallest.channels * smallest.height * smallest.width, options);
  }

  forward(x: Tensor, label?: Tensor): Tensor {
    const map = this.down.reduce((h, layer) => leaky(layer.forward(h)), x);
    return this.logit.forward(map.reshape([x.shape[0] ?? 1, -1]), label);
  }
}
