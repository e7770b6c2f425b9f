import { OptionError } from "../errors.ts";
import {
  type ConvolutionOptions,
  conv2d,
  convTranspose2d,
  edges,
  pair,
  type TransposedConvolutionOptions,
} from "../tensor/convolution/convolution.ts";
import { type Initializer, Parameter, type Tensor } from "../tensor/index.ts";
import { biasOf, kaimingUniform } from "./initializers.ts";

interface LayerOptions {
  /** Whether a bias is added to every output channel (default: true). */
  readonly bias?: boolean;
  /** Starting values of the weight (default: PyTorch's). */
  readonly initializeWeight?: Initializer;
  /** Starting values of the bias (default: PyTorch's). */
  readonly initializeBias?: Initializer;
}

export interface Conv2dOptions extends Omit<ConvolutionOptions, "bias">, LayerOptions {}

export interface ConvTranspose2dOptions extends Omit<TransposedConvolutionOptions, "bias">, LayerOptions {}

/** Two-dimensional convolution: x [N, C, H, W] → [N, O, H′, W′]. The weight is [O, C / groups, kh, kw]. */
export class Conv2d {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  private readonly geometry: Omit<ConvolutionOptions, "bias">;

  /**
   * @param inputs channels C
   * @param outputs channels O
   * @param kernel height and width, or both in one number
   * @throws OptionError where the groups do not divide the channels
   */
  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [number, number],
    options: Conv2dOptions = {},
  ) {
    const { bias, initializeWeight, initializeBias, ...geometry } = options;
    const channels = channelsOfGroup("Conv2d", inputs, outputs, geometry.groups);
    const shape = [outputs, channels, ...pair(kernel)];
    ({ weight: this.weight, bias: this.bias } = parametersOf(shape, outputs, options));
    this.geometry = geometry;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.apply(x, this.weight);
  }

  /** The layer with another weight of the same shape, such as a masked one. @throws ShapeError */
  apply(x: Tensor, weight: Tensor): Tensor {
    return conv2d(x, weight, { ...this.geometry, ...(this.bias && { bias: this.bias }) });
  }

  /**
   * The layer with a dilation and a padding that are `factor` times its own: where outputs are as large as inputs they stay so, and each sees
   * farther. @throws ShapeError
   */
  spread(x: Tensor, factor: number): Tensor {
    const { dilation = 1, padding = 0, ...others } = this.geometry;
    const [vertical, horizontal] = pair(dilation);
    const [top, left, bottom, right] = edges(padding);
    return conv2d(x, this.weight, {
      ...others,
      dilation: [vertical * factor, horizontal * factor],
      padding: [top * factor, left * factor, bottom * factor, right * factor],
      ...(this.bias && { bias: this.bias }),
    });
  }
}

/** Transposed convolution: x [N, C, H, W] → [N, O, H′, W′]. The weight is [C, O / groups, kh, kw], as in PyTorch. */
export class ConvTranspose2d {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  private readonly geometry: Omit<TransposedConvolutionOptions, "bias">;

  /**
   * @param inputs channels C
   * @param outputs channels O
   * @param kernel height and width, or both in one number
   * @throws OptionError where the groups do not divide the channels
   */
  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [number, number],
    options: ConvTranspose2dOptions = {},
  ) {
    const { bias, initializeWeight, initializeBias, ...geometry } = options;
    const channels = channelsOfGroup("ConvTranspose2d", outputs, inputs, geometry.groups);
    const shape = [inputs, channels, ...pair(kernel)];
    ({ weight: this.weight, bias: this.bias } = parametersOf(shape, outputs, options));
    this.geometry = geometry;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, { ...this.geometry, ...(this.bias && { bias: this.bias }) });
  }
}

/** The weight of a convolution and its bias, where there is one. */
function parametersOf(
  shape: readonly number[],
  outputs: number,
  { bias = true, initializeWeight = kaimingUniform(), initializeBias = biasOf(shape) }: LayerOptions,
): { readonly weight: Parameter; readonly bias: Parameter | undefined } {
  return {
    weight: new Parameter(shape, initializeWeight),
    bias: bias ? new Parameter([outputs], initializeBias) : undefined,
  };
}

/** Channels of each group on the divided side of a weight. @throws OptionError where the groups do not divide both sides */
function channelsOfGroup(layer: string, divided: number, other: number, groups = 1): number {
  if (divided % groups !== 0 || other % groups !== 0) {
    throw new OptionError(`${layer}: ${groups} groups must divide ${divided} and ${other} channels`);
  }
  return divided / groups;
}
