import { OptionError, ShapeError } from "../errors.ts";
import {
  Buffer,
  constant,
  float32,
  type Initializer,
  isTraining,
  linear,
  Parameter,
  type Tensor,
  uniform,
} from "../tensor/index.ts";
import { gather } from "../tensor/operations/indexing.ts";
import { matmul } from "../tensor/operations/matmul.ts";
import { concat } from "../tensor/operations/shaping.ts";
import { biasOf, kaimingUniform, normal } from "./initializers.ts";

export interface LinearOptions {
  /** Whether a bias is added (default: true). */
  readonly bias?: boolean;
  /** Starting values of the weight (default: PyTorch's). */
  readonly initializeWeight?: Initializer;
  readonly initializeBias?: Initializer;
}

/** y = x Wᵀ + b on the last axis: [..., in] → [..., out]. The weight is [out, in], as in PyTorch. */
export class Linear {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    const shape = [outputs, inputs];
    this.weight = new Parameter(shape, options.initializeWeight ?? kaimingUniform());
    this.bias =
      (options.bias ?? true) ? new Parameter([outputs], options.initializeBias ?? biasOf(shape)) : undefined;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.apply(x, this.weight);
  }

  /** The layer with another weight of the same shape, such as a masked one. @throws ShapeError */
  apply(x: Tensor, weight: Tensor): Tensor {
    return linear(x, weight, this.bias);
  }
}

/** Linear layers between consecutive sizes, one fewer than there are sizes. */
export function linearLayers(sizes: readonly number[], options: LinearOptions = {}): readonly Linear[] {
  const layers: Linear[] = [];
  let inputs: number | undefined;
  for (const size of sizes) {
    if (inputs !== undefined) layers.push(new Linear(inputs, size, options));
    inputs = size;
  }
  return layers;
}

/**
 * y = x (M ⊙ W)ᵀ + b on the last axis, with a mask M of zeros and ones that cuts connections: [..., in] → [..., out].
 * Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", section 3. Weight and mask are [out, in].
 */
export class MaskedLinear extends Linear {
  readonly mask: Tensor;

  /**
   * @param mask zeros and ones in float32, [out, in]; known while tracing, no part of the model's state
   * @throws ShapeError where the mask is no matrix
   */
  constructor(mask: Tensor, options: LinearOptions = {}) {
    const [outputs, inputs] = mask.shape;
    if (mask.rank !== 2 || typeof outputs !== "number" || typeof inputs !== "number") {
      throw new ShapeError(`MaskedLinear: the mask must be [out, in], not [${mask.shape}]`);
    }
    super(inputs, outputs, options);
    this.mask = mask;
  }

  /** @throws ShapeError */
  override forward(x: Tensor): Tensor {
    return this.apply(x, this.weight.mul(this.mask));
  }
}

/**
 * The mask of a layer whose units have degrees: 1 where the degree of the reading unit is at least that of the unit it
 * reads, or where `strict` above it (Germain et al. 2015, equations 8 and 9): [out], [in] → [out, in] in float32.
 */
export function degreeMask(readers: Tensor, sources: Tensor, strict = false): Tensor {
  const [to, from] = [readers.unsqueeze(1), sources.unsqueeze(0)];
  return (strict ? to.greater(from) : to.greaterEqual(from)).cast("float32");
}

/** While training, sets elements to 0 with probability `rate` and divides the others by 1 − rate (Srivastava et al. 2014). */
export class Dropout {
  readonly rate: number;

  /** @throws OptionError where the rate is not in [0, 1) */
  constructor(rate = 0.5) {
    if (!(rate >= 0 && rate < 1))
      throw new OptionError(`Dropout: rate ${rate} must be at least 0 and below 1`);
    this.rate = rate;
  }

  forward(x: Tensor): Tensor {
    if (!isTraining() || this.rate === 0) return x;
    const kept = uniform(x.shape).greaterEqual(this.rate);
    return x.mul(kept.cast("float32")).mul(1 / (1 - this.rate));
  }
}

/** A table of vectors: int64 indices [...] → [..., size]. The weight is [count, size], standard normal at the start. */
export class Embedding {
  readonly weight: Parameter;

  constructor(count: number, size: number, initialize: Initializer = normal()) {
    this.weight = new Parameter([count, size], initialize);
  }

  /** @throws ShapeError where the indices are not int64 */
  forward(indices: Tensor): Tensor {
    return gather(this.weight, indices, 0);
  }
}

/** Times from 0 to 1 are stretched to the thousand steps of the DDPM paper before they are embedded. */
const TIME_SCALE = 1000;

/**
 * Sinusoidal embedding of times (Vaswani et al. 2017, §3.5; Ho et al. 2020): t [n] in [0, 1] → [n, size], cosines first:
 * cos(1000 t ωᵢ), sin(1000 t ωᵢ) with ωᵢ = period^(−i / (size / 2)).
 * @throws OptionError where the size is odd
 */
export function sinusoidalEmbedding(t: Tensor, size: number, period = 10_000): Tensor {
  if (!(size >= 2 && size % 2 === 0)) {
    throw new OptionError(`sinusoidalEmbedding: size ${size} must be even and at least 2`);
  }
  const half = size / 2;
  const rates = Array.from({ length: half }, (_, i) => TIME_SCALE * period ** (-i / half));
  const angles = t.reshape([...t.shape, 1]).mul(constant(float32(rates, [half])));
  return concat([angles.cos(), angles.sin()], -1);
}

/**
 * Random Fourier features (Tancik et al. 2020, eq. 4) of the last axis: x [..., d] → [..., size], cos and sin of 2π x B
 * with B [d, size / 2] normal and not trained. A larger `scale` resolves finer structure.
 */
export class FourierFeatures {
  readonly frequencies: Buffer;

  /** @throws OptionError where the size is odd */
  constructor(inputs: number, size: number, scale = 1) {
    if (!(size >= 2 && size % 2 === 0)) {
      throw new OptionError(`FourierFeatures: size ${size} must be even and at least 2`);
    }
    this.frequencies = new Buffer([inputs, size / 2], normal(scale));
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const angles = matmul(x, this.frequencies).mul(2 * Math.PI);
    return concat([angles.cos(), angles.sin()], -1);
  }
}

/** A vector of what a network is conditioned on: the time, and the class where there is one. */
export class ConditionEmbedding {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly classes: Embedding | undefined;
  private readonly features: number;

  /**
   * @param features size of the sinusoidal embedding
   * @param size size of the result
   * @param classes number of classes; undefined for a network without class condition
   */
  constructor(features: number, size: number, classes?: number) {
    this.features = features;
    this.fc1 = new Linear(features, size);
    this.fc2 = new Linear(size, size);
    this.classes = classes === undefined ? undefined : new Embedding(classes, size);
  }

  /**
   * Times t [n] and class indices [n] (int64) → [n, size].
   * @throws OptionError where a class is given to a network without, or none to one with class condition
   */
  forward(t: Tensor, label?: Tensor): Tensor {
    const time = this.fc2.forward(this.fc1.forward(sinusoidalEmbedding(t, this.features)).silu());
    if (this.classes === undefined) {
      if (label !== undefined)
        throw new OptionError("a class was given to a network without class condition");
      return time;
    }
    if (label === undefined) throw new OptionError("a network with class condition was given no class");
    return time.add(this.classes.forward(label));
  }
}

/** A function of one tensor, element by element. */
export type Activation = (x: Tensor) => Tensor;

const silu: Activation = (x) => x.silu();

export interface MlpOptions {
  /** Between the layers, not after the last (default: SiLU). */
  readonly activation?: Activation;
}

/** Linear layers with an activation between: [..., sizes[0]] → [..., sizes[last]]. */
export class Mlp {
  readonly layers: readonly Linear[];
  private readonly activation: Activation;

  /** @throws OptionError where there are fewer than two sizes */
  constructor(sizes: readonly number[], options: MlpOptions = {}) {
    if (sizes.length < 2) throw new OptionError(`Mlp: sizes [${sizes}] must name an input and an output`);
    this.layers = linearLayers(sizes);
    this.activation = options.activation ?? silu;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.layers.reduce((h, layer, i) => layer.forward(i === 0 ? h : this.activation(h)), x);
  }
}

export interface TimeConditionedMlpOptions {
  /** Size of an input vector. */
  readonly inputs: number;
  /** Size of an output vector (default: that of the input). */
  readonly outputs?: number;
  /** Size of every hidden layer (default: 256). */
  readonly width?: number;
  /** Number of hidden layers (default: 3). */
  readonly depth?: number;
  /** Size of the sinusoidal embedding of the time (default: 64). */
  readonly timeFeatures?: number;
  /** Number of classes, for a class condition. */
  readonly classes?: number;
  readonly activation?: Activation;
}

/** A vector field that depends on time and maybe a class: x [n, inputs], t [n], label [n] → [n, outputs]. */
export class TimeConditionedMlp {
  readonly condition: ConditionEmbedding;
  readonly input: Linear;
  readonly hidden: readonly Linear[];
  readonly output: Linear;
  private readonly activation: Activation;

  /** @throws OptionError where depth is below 1 */
  constructor(options: TimeConditionedMlpOptions) {
    const { inputs, outputs = inputs, width = 256, depth = 3, timeFeatures = 64, classes } = options;
    if (!(depth >= 1)) throw new OptionError(`TimeConditionedMlp: depth ${depth} must be at least 1`);
    this.condition = new ConditionEmbedding(timeFeatures, width, classes);
    this.input = new Linear(inputs, width);
    this.hidden = Array.from({ length: depth - 1 }, () => new Linear(width, width));
    this.output = new Linear(width, outputs);
    this.activation = options.activation ?? silu;
  }

  /**
   * @throws ShapeError
   * @throws OptionError where a class is missing or superfluous
   */
  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor {
    const start = this.input.forward(x).add(this.condition.forward(t, label));
    const h = this.hidden.reduce((before, layer) => layer.forward(this.activation(before)), start);
    return this.output.forward(this.activation(h));
  }
}
