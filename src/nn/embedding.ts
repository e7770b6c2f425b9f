import { OptionError } from "../errors.ts";
import { Buffer, constant, float32, type Initialiser, Parameter, type Tensor } from "../tensor/index.ts";
import { gather } from "../tensor/indexing.ts";
import { matmul } from "../tensor/matmul.ts";
import { concat } from "../tensor/shaping.ts";
import { normal } from "./initialisers.ts";
import { Linear } from "./linear.ts";

/** A table of vectors: int64 indices [...] → [..., size]. The weight is [count, size], standard normal at the start. */
export class Embedding {
  readonly weight: Parameter;

  constructor(count: number, size: number, initialise: Initialiser = normal()) {
    this.weight = new Parameter([count, size], initialise);
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

/** What a network is told beside its input: the time, and the class where it is conditioned on one. */
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
