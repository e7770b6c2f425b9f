import { normal } from "../../nn/initializers.ts";
import { Linear, Mlp } from "../../nn/linear.ts";
import { Parameter, slice, type Tensor } from "../../tensor/index.ts";

// Critics: how well a first and a second variable go together, for all pairs of a batch.

/** Kinds of critic. `gaussian` is the conditional distribution of CLUB. */
export type CriticKind = "separable" | "joint" | "bilinear" | "gaussian";

/** Scores of all pairs: x [n, first], y [n, second] → [n, n]; row i is of xᵢ, column j of yⱼ. */
export interface Critic {
  forward(x: Tensor, y: Tensor): Tensor;
}

export interface CriticOptions {
  /** Numbers of a first variable, and of a second one. */
  readonly first: number;
  readonly second: number;
  /** Units of each of the two hidden layers. */
  readonly hidden: number;
  /** separable: numbers of an embedding. */
  readonly embedding: number;
}

const relu = (x: Tensor): Tensor => x.relu();

/** f(x, y) = g(x)ᵀ h(y): two networks, and one product for all pairs. */
class Separable implements Critic {
  readonly g: Mlp;
  readonly h: Mlp;

  constructor({ first, second, hidden, embedding }: CriticOptions) {
    this.g = new Mlp([first, hidden, hidden, embedding], { activation: relu });
    this.h = new Mlp([second, hidden, hidden, embedding], { activation: relu });
  }

  forward(x: Tensor, y: Tensor): Tensor {
    return this.g.forward(x).matmul(this.h.forward(y), { transposeB: true });
  }
}

/** f(x, y) by one network that sees both: n² passes. Its first layer is the sum of one of x and one of y, so that it is computed n times alone. */
class Joint implements Critic {
  readonly x: Linear;
  readonly y: Linear;
  readonly rest: Mlp;

  constructor({ first, second, hidden }: CriticOptions) {
    this.x = new Linear(first, hidden);
    this.y = new Linear(second, hidden, { bias: false });
    this.rest = new Mlp([hidden, hidden, 1], { activation: relu });
  }

  forward(x: Tensor, y: Tensor): Tensor {
    const both = this.x.forward(x).unsqueeze(1).add(this.y.forward(y).unsqueeze(0));
    return this.rest.forward(both.relu()).squeeze(2);
  }
}

/** f(x, y) = xᵀ W y. */
class Bilinear implements Critic {
  readonly weight: Parameter;

  constructor({ first, second }: CriticOptions) {
    this.weight = new Parameter([first, second], normal(1 / Math.sqrt(first * second)));
  }

  forward(x: Tensor, y: Tensor): Tensor {
    return x.matmul(this.weight).matmul(y, { transposeB: true });
  }
}

/** Log-variances lie within ±4: a variable that is nearly a function of the other one would have none otherwise. */
const LARGEST_LOG_VARIANCE = 4;

/** log q(y | x) of a Gaussian with independent coordinates, whose means and log-variances a network predicts from x. */
class ConditionalGaussian implements Critic {
  readonly network: Mlp;
  private readonly size: number;

  constructor({ first, second, hidden }: CriticOptions) {
    this.network = new Mlp([first, hidden, hidden, 2 * second], { activation: relu });
    this.size = second;
  }

  forward(x: Tensor, y: Tensor): Tensor {
    const predicted = this.network.forward(x).reshape([Number(x.shape[0]), 2, this.size]);
    const [mean, raw] = halves(predicted);
    const logVariance = raw.div(LARGEST_LOG_VARIANCE).tanh().mul(LARGEST_LOG_VARIANCE);
    const squares = y.unsqueeze(0).sub(mean.unsqueeze(1)).square();
    const terms = squares.mul(logVariance.neg().exp().unsqueeze(1)).add(logVariance.unsqueeze(1));
    return terms
      .add(Math.log(2 * Math.PI))
      .sum(2)
      .mul(-0.5);
  }
}

function halves(predicted: Tensor): readonly [Tensor, Tensor] {
  return [slice(predicted, 1, 0, 1).squeeze(1), slice(predicted, 1, 1, 2).squeeze(1)];
}

const CRITICS: Readonly<Record<CriticKind, (options: CriticOptions) => Critic>> = {
  separable: (options) => new Separable(options),
  joint: (options) => new Joint(options),
  bilinear: (options) => new Bilinear(options),
  gaussian: (options) => new ConditionalGaussian(options),
};

/** A critic with random weights. */
export function buildCritic(kind: CriticKind, options: CriticOptions): Critic {
  return CRITICS[kind](options);
}
