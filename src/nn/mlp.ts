import { OptionError } from "../errors.ts";
import type { Tensor } from "../tensor/index.ts";
import { ConditionEmbedding } from "./embedding.ts";
import { Linear } from "./linear.ts";

/** A function of one tensor, element by element. */
export type Activation = (x: Tensor) => Tensor;

const silu: Activation = (x) => x.silu();

export interface MlpOptions {
  /** Between the layers, not after the last; SiLU unless told. */
  readonly activation?: Activation;
}

/** Linear layers with an activation between: [..., sizes[0]] → [..., sizes[last]]. */
export class Mlp {
  readonly layers: readonly Linear[];
  private readonly activation: Activation;

  /** @throws OptionError where there are fewer than two sizes */
  constructor(sizes: readonly number[], options: MlpOptions = {}) {
    if (sizes.length < 2) throw new OptionError(`Mlp: sizes [${sizes}] must name an input and an output`);
    this.layers = sizes.slice(1).map((size, i) => new Linear(sizes[i] ?? size, size));
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
  /** Size of an output vector; that of the input unless told. */
  readonly outputs?: number;
  /** Size of every hidden layer; 256 unless told. */
  readonly width?: number;
  /** Number of hidden layers; 3 unless told. */
  readonly depth?: number;
  /** Size of the sinusoidal embedding of the time; 64 unless told. */
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
