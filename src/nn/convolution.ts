import { OptionError } from "../errors.ts";
import {
  type ConvolutionOptions,
  conv2d,
  convTranspose2d,
  pair,
  type TransposedConvolutionOptions,
} from "../tensor/convolution.ts";
import { type Initialiser, Parameter, type Tensor } from "../tensor/index.ts";
import { biasOf, kaimingUniform } from "./initialisers.ts";

interface LayerOptions {
  /** Whether a bias is added to every output channel; true unless told. */
  readonly bias?: boolean;
  /** Starting values of the weight; PyTorch's unless told. */
  readonly initialiseWeight?: Initialiser;
  readonly initialiseBias?: Initialiser;
}

export interface Conv2dOptions extends Omit<ConvolutionOptions, "bias">, LayerOptions {}

export interface ConvTranspose2dOptions extends Omit<TransposedConvolutionOptions, "bias">, LayerOptions {}

/** Two-dimensional convolution: x [N, C, H, W] → [N, O, H′, W′]. The weight is [O, C / groups, kh, kw]. */
export class Conv2d {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  private readonly geometry: Omit<ConvolutionOptions, "bias">;

  /** @throws OptionError where the groups do not divide the channels */
  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [number, number],
    options: Conv2dOptions = {},
  ) {
    const { bias = true, initialiseWeight = kaimingUniform(), initialiseBias, ...geometry } = options;
    const shape = [outputs, channelsOfGroup("Conv2d", inputs, outputs, geometry.groups), ...pair(kernel)];
    this.weight = new Parameter(shape, initialiseWeight);
    this.bias = bias ? new Parameter([outputs], initialiseBias ?? biasOf(shape)) : undefined;
    this.geometry = geometry;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, { ...this.geometry, ...(this.bias && { bias: this.bias }) });
  }
}

/** Transposed convolution: x [N, C, H, W] → [N, O, H′, W′]. The weight is [C, O / groups, kh, kw], as in PyTorch. */
export class ConvTranspose2d {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  private readonly geometry: Omit<TransposedConvolutionOptions, "bias">;

  /** @throws OptionError where the groups do not divide the channels */
  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [number, number],
    options: ConvTranspose2dOptions = {},
  ) {
    const { bias = true, initialiseWeight = kaimingUniform(), initialiseBias, ...geometry } = options;
    const shape = [
      inputs,
      channelsOfGroup("ConvTranspose2d", outputs, inputs, geometry.groups),
      ...pair(kernel),
    ];
    this.weight = new Parameter(shape, initialiseWeight);
    this.bias = bias ? new Parameter([outputs], initialiseBias ?? biasOf(shape)) : undefined;
    this.geometry = geometry;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, { ...this.geometry, ...(this.bias && { bias: this.bias }) });
  }
}

/** Channels of each group of the divided side of a weight. @throws OptionError where the groups do not divide both sides */
export function channelsOfGroup(layer: string, divided: number, other: number, groups = 1): number {
  if (divided % groups !== 0 || other % groups !== 0) {
    throw new OptionError(`${layer}: ${groups} groups must divide ${divided} and ${other} channels`);
  }
  return divided / groups;
}
