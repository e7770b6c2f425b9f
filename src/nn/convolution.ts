import { OptionError } from "../errors.ts";
import {
  type ConvolutionOptions,
  conv2d,
  convTranspose2d,
  pair,
  type TransposedConvolutionOptions,
} from "../tensor/convolution/convolution.ts";
import { matmul } from "../tensor/index.operations.ts";
import { Buffer, type Initializer, isTraining, linear, Parameter, type Tensor } from "../tensor/index.ts";
import { biasOf, kaimingUniform } from "./initializers.ts";
import type { LinearOptions } from "./linear.ts";

interface LayerOptions {
  /** Whether a bias is added to every output channel; true unless told. */
  readonly bias?: boolean;
  /** Starting values of the weight; PyTorch's unless told. */
  readonly initializeWeight?: Initializer;
  readonly initializeBias?: Initializer;
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
    const { bias = true, initializeWeight = kaimingUniform(), initializeBias, ...geometry } = options;
    const shape = [outputs, channelsOfGroup("Conv2d", inputs, outputs, geometry.groups), ...pair(kernel)];
    this.weight = new Parameter(shape, initializeWeight);
    this.bias = bias ? new Parameter([outputs], initializeBias ?? biasOf(shape)) : undefined;
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
    const { bias = true, initializeWeight = kaimingUniform(), initializeBias, ...geometry } = options;
    const shape = [
      inputs,
      channelsOfGroup("ConvTranspose2d", outputs, inputs, geometry.groups),
      ...pair(kernel),
    ];
    this.weight = new Parameter(shape, initializeWeight);
    this.bias = bias ? new Parameter([outputs], initializeBias ?? biasOf(shape)) : undefined;
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

/** Smallest norm that a vector is divided by, as in PyTorch. */
const EPSILON = 1e-12;

/** A random direction. */
const direction: Initializer = (target, _shape, random) => {
  random.fillNormal(target);
  const norm = Math.sqrt(target.reduce((sum, value) => sum + value * value, 0));
  for (let i = 0; i < target.length; i++) target[i] = (target[i] ?? 0) / norm;
};

function normalized(x: Tensor): Tensor {
  return x.div(x.square().sum().sqrt().maximum(EPSILON));
}

/**
 * A weight divided by its largest singular value σ, so that the layer's Lipschitz constant is 1 (Miyato et al. 2018,
 * "Spectral Normalization for Generative Adversarial Networks", section 2 and algorithm 1). The weight is seen as a
 * matrix of out rows, W. In training each use does one power iteration, u ← W v / ‖W v‖ and v ← Wᵀ u / ‖Wᵀ u‖ without
 * gradient; σ = uᵀ W v, whose gradient is that of W alone. Names are those of
 * `torch.nn.utils.parametrizations.spectral_norm`: `original`, `0._u` and `0._v`.
 *
 * u and v start as random directions: PyTorch does 15 iterations beforehand, which the first steps of training make up
 * for. Before any training, σ means nothing.
 */
export class SpectralWeight {
  readonly original: Parameter;
  readonly 0: { readonly _u: Buffer; readonly _v: Buffer };

  /** @param shape [out, …] */
  constructor(shape: readonly number[], initialize: Initializer) {
    this.original = new Parameter(shape, initialize);
    const [rows = 1, ...rest] = shape;
    const columns = rest.reduce((product, size) => product * size, 1);
    this[0] = { _u: new Buffer([rows], direction), _v: new Buffer([columns], direction) };
  }

  /** The weight over its largest singular value. */
  normalized(): Tensor {
    const { original } = this;
    const { _u, _v } = this[0];
    const matrix = original.reshape([_u.shape[0] ?? 1, -1]);
    const [u, v] = isTraining() ? this.iterated(matrix.stopGradient()) : [_u, _v];
    const sigma = matmul(matrix, v.reshape([-1, 1]))
      .mul(u.reshape([-1, 1]))
      .sum();
    return original.div(sigma);
  }

  private iterated(matrix: Tensor): readonly [Tensor, Tensor] {
    const { _u, _v } = this[0];
    const u = normalized(matmul(matrix, _v.reshape([-1, 1])));
    const v = normalized(matmul(matrix, u, { transposeA: true }));
    _u.update(u.reshape(_u.shape));
    _v.update(v.reshape(_v.shape));
    return [u, v];
  }
}

/** A linear layer whose weight is divided by its largest singular value: [..., in] → [..., out]. */
export class SpectralLinear {
  readonly bias: Parameter | undefined;
  readonly parametrizations: { readonly weight: SpectralWeight };

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    const { bias = true, initializeWeight = kaimingUniform(), initializeBias } = options;
    const shape = [outputs, inputs];
    this.bias = bias ? new Parameter([outputs], initializeBias ?? biasOf(shape)) : undefined;
    this.parametrizations = { weight: new SpectralWeight(shape, initializeWeight) };
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return linear(x, this.parametrizations.weight.normalized(), this.bias);
  }
}

/** A convolution whose weight is divided by its largest singular value: x [N, C, H, W] → [N, O, H′, W′]. */
export class SpectralConv2d {
  readonly bias: Parameter | undefined;
  readonly parametrizations: { readonly weight: SpectralWeight };
  private readonly geometry: Omit<ConvolutionOptions, "bias">;

  /** @throws OptionError where the groups do not divide the channels */
  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [number, number],
    options: Conv2dOptions = {},
  ) {
    const { bias = true, initializeWeight = kaimingUniform(), initializeBias, ...geometry } = options;
    const shape = [
      outputs,
      channelsOfGroup("SpectralConv2d", inputs, outputs, geometry.groups),
      ...pair(kernel),
    ];
    this.bias = bias ? new Parameter([outputs], initializeBias ?? biasOf(shape)) : undefined;
    this.parametrizations = { weight: new SpectralWeight(shape, initializeWeight) };
    this.geometry = geometry;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const weight = this.parametrizations.weight.normalized();
    return conv2d(x, weight, { ...this.geometry, ...(this.bias && { bias: this.bias }) });
  }
}
