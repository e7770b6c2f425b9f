import { normal, zeros } from "../nn/initialisers.ts";
import { Linear } from "../nn/linear.ts";
import { conv2d, type Initialiser, isInitialising, Parameter, type Tensor } from "../tensor/index.ts";
import { normalisationOf } from "./actnorm.ts";
import type { Conditioner } from "./coupling.ts";

// Parts of the networks that steer couplings of images.

const perFilter = (values: Tensor): Tensor => values.reshape([...values.shape, 1, 1, 1]);

/**
 * A convolution, then one scale and bias a channel, exp(s) · (w ∗ x) + b, that the first batch sets so that the result has
 * mean 0 and variance 1: Glow's convolution with activation normalisation. The scale is applied to the kernel.
 */
export class NormalisedConv2d {
  readonly weight: Parameter;
  readonly logScale: Parameter;
  readonly bias: Parameter;
  private readonly padding: number;

  /** @param kernel odd height and width of the kernel; the size of maps is kept */
  constructor(inputs: number, outputs: number, kernel: number) {
    this.weight = new Parameter([outputs, inputs, kernel, kernel], normal(0.05));
    this.logScale = new Parameter([outputs], zeros);
    this.bias = new Parameter([outputs], zeros);
    this.padding = (kernel - 1) / 2;
  }

  forward(x: Tensor): Tensor {
    const { padding } = this;
    if (!isInitialising()) {
      return conv2d(x, this.weight.mul(perFilter(this.logScale.exp())), { padding, bias: this.bias });
    }
    const start = normalisationOf(conv2d(x, this.weight, { padding }));
    this.logScale.startFrom(start.logScale);
    this.bias.startFrom(start.bias);
    return conv2d(x, this.weight.mul(perFilter(start.logScale.exp())), { padding, bias: start.bias });
  }
}

/** How many times faster the log-scales of `ZeroConv2d` move than weights. */
const SCALE_GAIN = 3;

/**
 * A 3×3 convolution that starts at zero, times exp(3 s) with one s a channel (Kingma and Dhariwal 2018, "Glow", section
 * 3.3, and its published code for the factor): the end of a network whose flow is to start as the identity.
 */
export class ZeroConv2d {
  readonly weight: Parameter;
  readonly bias: Parameter;
  /** s, [outputs]. */
  readonly scale: Parameter;

  constructor(inputs: number, outputs: number) {
    this.weight = new Parameter([outputs, inputs, 3, 3], zeros);
    this.bias = new Parameter([outputs], zeros);
    this.scale = new Parameter([outputs], zeros);
  }

  forward(x: Tensor): Tensor {
    const factor = this.scale.mul(SCALE_GAIN).exp();
    return conv2d(x, this.weight.mul(perFilter(factor)), { padding: 1, bias: this.bias.mul(factor) });
  }
}

/** Adds a linear function of the context to every position of a map; the map itself where there is none. */
export class ContextBias {
  readonly linear: Linear | undefined;

  /** @param contextSize length of the context vector; 0 for none */
  constructor(contextSize: number, channels: number, initialiseWeight?: Initialiser) {
    this.linear =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, channels, { bias: false, ...(initialiseWeight && { initialiseWeight }) });
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    if (this.linear === undefined || context === undefined) return x;
    const shift = this.linear.forward(context);
    return x.add(shift.reshape([...shift.shape, 1, 1]));
  }
}

/** A 3×3 convolution of half of the channels, starting at zero: the learned prior of the other half. */
export class SplitPrior implements Conditioner {
  readonly conv: ZeroConv2d;
  readonly context: ContextBias;

  constructor(inputs: number, outputs: number, contextSize = 0) {
    this.conv = new ZeroConv2d(inputs, outputs);
    this.context = new ContextBias(contextSize, outputs, zeros);
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    return this.context.forward(this.conv.forward(x), context);
  }
}
