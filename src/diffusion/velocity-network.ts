import { OptionError } from "../errors.ts";
import { FourierFeatures } from "../nn/embedding.ts";
import { TimeConditionedMlp } from "../nn/mlp.ts";
import type { DataInfo } from "../nn/model.ts";
import { UNet } from "../nn/u-net.ts";
import { concat, elementCount, type Tensor } from "../tensor/index.ts";
import type { RectifiedFlowOptions } from "./rectified-flow-options.ts";

/** A network of state [n, …], times [n] and maybe classes [n] that returns a velocity of the state's shape. */
export interface VelocityNetwork {
  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor;
}

/** Deviation of the frequencies of Fourier features, in cycles per model unit. */
const FOURIER_SCALE = 0.5;

/** Options of a network that is told the class. */
interface ClassCondition {
  readonly classes?: number;
}

/** The network for points and tables: an MLP on the state and, for points, random Fourier features of it. */
class VectorNetwork implements VelocityNetwork {
  readonly features: FourierFeatures | undefined;
  readonly mlp: TimeConditionedMlp;

  constructor(options: RectifiedFlowOptions, data: DataInfo, condition: ClassCondition) {
    const { width, depth, fourierFeatures } = options;
    const size = elementCount(data.sampleShape);
    const extra = data.kind === "points" ? fourierFeatures : 0;
    this.features = extra > 0 ? new FourierFeatures(size, extra, FOURIER_SCALE) : undefined;
    this.mlp = new TimeConditionedMlp({ inputs: size + extra, outputs: size, width, depth, ...condition });
  }

  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor {
    const seen = this.features === undefined ? x : concat([x, this.features.forward(x)], 1);
    return this.mlp.forward(seen, t, label);
  }
}

/**
 * The network for the data: a U-Net for images, a multilayer perceptron otherwise.
 * @param classes number of classes it is told; 0 for none
 * @throws OptionError where options do not fit the size of the images
 */
export function velocityNetwork(
  options: RectifiedFlowOptions,
  data: DataInfo,
  classes: number,
): VelocityNetwork {
  const condition = classes > 0 ? { classes } : {};
  return data.kind === "image"
    ? imageNetwork(options, data.sampleShape, condition)
    : new VectorNetwork(options, data, condition);
}

function imageNetwork(
  options: RectifiedFlowOptions,
  [channels = 1, height = 1, width = 1]: readonly number[],
  condition: ClassCondition,
): UNet {
  const multipliers = options.multipliers ?? fittingMultipliers(height, width);
  const factor = 2 ** (multipliers.length - 1);
  if (height % factor !== 0 || width % factor !== 0) {
    throw new OptionError(
      `multipliers: ${multipliers.length} levels need a height and width divisible by ${factor}, but images are ` +
        `${height}×${width}; name fewer levels or resize the images`,
    );
  }
  const beyond = options.attention.find((level) => level >= multipliers.length);
  if (beyond !== undefined) {
    throw new OptionError(
      `attention: there is no level ${beyond}; levels are 0 to ${multipliers.length - 1}`,
    );
  }
  return new UNet({
    inputs: channels,
    base: options.channels,
    multipliers,
    blocks: options.blocks,
    attentionLevels: options.attention,
    middleAttention: options.middleAttention,
    heads: options.heads,
    dropout: options.dropout,
    ...condition,
  });
}

/** 1, 2, 2 where the image can be halved twice, else as many levels as it can. */
function fittingMultipliers(height: number, width: number): readonly number[] {
  const halves = [4, 2, 1].findIndex((factor) => height % factor === 0 && width % factor === 0);
  return [1, 2, 4].slice(0, 3 - halves);
}
