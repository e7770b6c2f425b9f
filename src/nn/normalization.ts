import { OptionError } from "../errors.ts";
import { shapeError } from "../tensor/graph.ts";
import { matmul } from "../tensor/index.operations.ts";
import { Buffer, type Initializer, isTraining, Parameter, type Tensor } from "../tensor/index.ts";
import {
  batchNorm,
  batchNormWith,
  groupNorm,
  instanceNorm,
  layerNorm,
} from "../tensor/operations/normalization.ts";
import { slice } from "../tensor/operations/shaping.ts";
import { ones, zeros } from "./initializers.ts";

export interface NormOptions {
  /** Whether there is a learned factor and shift (default: true). */
  readonly affine?: boolean;
  /** Added to the variance (default: 1e-5). */
  readonly epsilon?: number;
}

/** The learned factor and shift of a normalization, as the operations take them. */
interface Affine {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
}

function affine(shape: readonly number[], wanted: boolean): Affine {
  return {
    weight: wanted ? new Parameter(shape, ones) : undefined,
    bias: wanted ? new Parameter(shape, zeros) : undefined,
  };
}

function given({ weight, bias }: Affine): { readonly weight?: Tensor; readonly bias?: Tensor } {
  return { ...(weight && { weight }), ...(bias && { bias }) };
}

/** Layer normalization (Ba, Kiros and Hinton 2016) over the last axes, whose sizes are `shape`. */
export class LayerNorm implements Affine {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  private readonly axes: number;
  private readonly epsilon: number;

  constructor(shape: number | readonly number[], options: NormOptions = {}) {
    const sizes = typeof shape === "number" ? [shape] : shape;
    ({ weight: this.weight, bias: this.bias } = affine(sizes, options.affine ?? true));
    this.axes = sizes.length;
    this.epsilon = options.epsilon ?? 1e-5;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return layerNorm(x, { ...given(this), axes: this.axes, epsilon: this.epsilon });
  }
}

/** Group normalization (Wu and He 2018): x [N, C, ...], each group of channels of each sample to mean 0, variance 1. */
export class GroupNorm implements Affine {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  private readonly groups: number;
  private readonly channels: number;
  private readonly epsilon: number;

  /** @throws OptionError where the groups do not divide the channels */
  constructor(groups: number, channels: number, options: NormOptions = {}) {
    if (!(groups >= 1) || channels % groups !== 0) {
      throw new OptionError(`GroupNorm: ${channels} channels do not divide into ${groups} groups`);
    }
    ({ weight: this.weight, bias: this.bias } = affine([channels], options.affine ?? true));
    this.groups = groups;
    this.channels = channels;
    this.epsilon = options.epsilon ?? 1e-5;
  }

  /**
   * @param modulation scale and shift of every sample, [N, 2C], applied to the result y as y · (1 + scale) + shift.
   * @throws ShapeError
   */
  forward(x: Tensor, modulation?: Tensor): Tensor {
    return groupNorm(x, this.groups, {
      ...(modulation === undefined ? given(this) : this.modulated(modulation)),
      epsilon: this.epsilon,
    });
  }

  /** (w x̂ + b) (1 + scale) + shift has the weight w (1 + scale) and the bias b (1 + scale) + shift: no pass over x more. */
  private modulated(modulation: Tensor): { readonly weight: Tensor; readonly bias: Tensor } {
    if (modulation.rank !== 2 || modulation.shape[1] !== 2 * this.channels) {
      throw shapeError("GroupNorm", [modulation], `the modulation must be [N, ${2 * this.channels}]`);
    }
    const factor = slice(modulation, 1, 0, this.channels).add(1);
    const shift = slice(modulation, 1, this.channels);
    return {
      weight: this.weight === undefined ? factor : factor.mul(this.weight),
      bias: this.bias === undefined ? shift : factor.mul(this.bias).add(shift),
    };
  }
}

/** Instance normalization (Ulyanov et al. 2016). By default, as in PyTorch, it has no learned factor and shift. */
export class InstanceNorm implements Affine {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  private readonly epsilon: number;

  constructor(channels: number, options: NormOptions = {}) {
    ({ weight: this.weight, bias: this.bias } = affine([channels], options.affine ?? false));
    this.epsilon = options.epsilon ?? 1e-5;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return instanceNorm(x, { ...given(this), epsilon: this.epsilon });
  }
}

export interface BatchNormOptions extends NormOptions {
  /** Share of a batch in the running statistics (default: 0.1). */
  readonly momentum?: number;
  /**
   * Whether training leaves the running statistics as they are and normalizes with them, as PyTorch does in its evaluation mode
   * (default: false). Factor and shift are trained all the same.
   */
  readonly frozen?: boolean;
}

/**
 * Batch normalization (Ioffe and Szegedy 2015): x [N, C, ...], each channel to mean 0 and variance 1. While training it
 * uses the statistics of the batch and updates the running ones, which it uses otherwise, and always where it is frozen.
 * Buffers have PyTorch's names.
 */
class BatchNorm implements Affine {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  readonly running_mean: Buffer;
  readonly running_var: Buffer;
  readonly num_batches_tracked: Buffer;
  private readonly momentum: number;
  private readonly epsilon: number;
  private readonly ranks: readonly number[];
  private readonly frozen: boolean;

  constructor(channels: number, ranks: readonly number[], options: BatchNormOptions) {
    ({ weight: this.weight, bias: this.bias } = affine([channels], options.affine ?? true));
    this.running_mean = new Buffer([channels], zeros);
    this.running_var = new Buffer([channels], ones);
    this.num_batches_tracked = new Buffer([], zeros);
    this.momentum = options.momentum ?? 0.1;
    this.epsilon = options.epsilon ?? 1e-5;
    this.ranks = ranks;
    this.frozen = options.frozen ?? false;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    if (!this.ranks.includes(x.rank)) {
      throw shapeError("BatchNorm", [x], `wants ${this.ranks.join(" or ")} axes`);
    }
    const options = { ...given(this), epsilon: this.epsilon };
    if (this.frozen || !isTraining()) {
      return batchNormWith(x, { mean: this.running_mean, variance: this.running_var }, options);
    }
    const { y, mean, variance } = batchNorm(x, options);
    const count = x.shape.reduce(
      (product: number, size, axis) => (axis === 1 ? product : product * Number(size)),
      1,
    );
    if (!(count > 1)) {
      throw shapeError(
        "BatchNorm",
        [x],
        "one value a channel has no variance to train with; take larger samples, or a batchSize of more for each replica and part (replicas, accumulate)",
      );
    }
    // The running variance is the unbiased estimate, as in PyTorch.
    this.follow(this.running_mean, mean);
    this.follow(this.running_var, variance.mul(count / (count - 1)));
    this.num_batches_tracked.update(this.num_batches_tracked.add(1));
    return y;
  }

  private follow(buffer: Buffer, value: Tensor): void {
    buffer.update(buffer.mul(1 - this.momentum).add(value.mul(this.momentum)));
  }
}

/** Batch normalization of maps [N, C, H, W]. */
export class BatchNorm2d extends BatchNorm {
  constructor(channels: number, options: BatchNormOptions = {}) {
    super(channels, [4], options);
  }
}

/** Batch normalization of vectors [N, C] or sequences [N, C, L]. */
export class BatchNorm1d extends BatchNorm {
  constructor(channels: number, options: BatchNormOptions = {}) {
    super(channels, [2, 3], options);
  }
}

/** Smallest norm that a vector is divided by, as in PyTorch. */
const EPSILON = 1e-12;

/** A random direction, of length 1. */
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

/** A layer whose weight can be exchanged: Linear, Conv2d. */
export interface WeightedLayer {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  /** The layer with another weight of the same shape. */
  apply(x: Tensor, weight: Tensor): Tensor;
}

/**
 * A layer whose weight is divided by its largest singular value; see `SpectralWeight`. Inputs and outputs are those of the
 * layer, whose starting values it takes over.
 */
export class SpectralNorm {
  readonly bias: Parameter | undefined;
  readonly parametrizations: { readonly weight: SpectralWeight };
  private readonly apply: (x: Tensor, weight: Tensor) => Tensor;

  constructor(layer: WeightedLayer) {
    this.bias = layer.bias;
    this.parametrizations = { weight: new SpectralWeight(layer.weight.shape, layer.weight.initialize) };
    // Functions are no fields of a state: the layer's own weight is no parameter any more.
    this.apply = (x, weight) => layer.apply(x, weight);
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.apply(x, this.parametrizations.weight.normalized());
  }
}
