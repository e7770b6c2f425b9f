import { Conv2d } from "../../nn/convolution.ts";
import { normal, zeros } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { GroupNorm } from "../../nn/normalization.ts";
import { AttentionBlock } from "../../nn/u-net.ts";
import { isInitializing } from "../../tensor/index.operations.ts";
import { conv2d, type Initializer, Parameter, split, type Tensor } from "../../tensor/index.ts";
import type { Conditioner } from "../transforms/coupling.ts";
import { normalizationOf } from "../transforms/normalization.ts";

// Parts of the networks that steer couplings of images.

const perFilter = (values: Tensor): Tensor => values.reshape([...values.shape, 1, 1, 1]);

/**
 * A convolution, then one scale and bias a channel, exp(s) · (w ∗ x) + b, that the first batch sets so that the result has
 * mean 0 and variance 1: Glow's convolution with activation normalization. The scale is applied to the kernel.
 */
export class NormalizedConv2d {
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
    if (!isInitializing()) {
      return conv2d(x, this.weight.mul(perFilter(this.logScale.exp())), { padding, bias: this.bias });
    }
    const start = normalizationOf(conv2d(x, this.weight, { padding }));
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
  constructor(contextSize: number, channels: number, initializeWeight?: Initializer) {
    this.linear =
      contextSize === 0
        ? undefined
        : new Linear(contextSize, channels, { bias: false, ...(initializeWeight && { initializeWeight }) });
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

/** The most groups, up to 8, that divide the channels. */
function groupsOf(channels: number): number {
  return [8, 4, 2].find((groups) => channels % groups === 0) ?? 1;
}

/**
 * x + a · σ(g), where a and g are the halves of conv₁ₓ₁(silu(conv₃ₓ₃(silu(norm(x))))): a gated residual block (Ho et al.
 * 2019, "Flow++", section 3.3). The second convolution starts at zero, so that the block starts as the identity.
 */
export class GatedBlock {
  readonly norm: GroupNorm;
  readonly first: Conv2d;
  readonly second: Conv2d;

  constructor(width: number) {
    this.norm = new GroupNorm(groupsOf(width), width);
    this.first = new Conv2d(width, width, 3, { padding: 1 });
    this.second = new Conv2d(width, 2 * width, 1, { initializeWeight: zeros, initializeBias: zeros });
  }

  forward(x: Tensor): Tensor {
    const hidden = this.first.forward(this.norm.forward(x).silu()).silu();
    const [value, gate] = split(this.second.forward(hidden), 1, 2) as [Tensor, Tensor];
    return x.add(value.mul(gate.sigmoid()));
  }
}

export interface GatedNetworkOptions {
  readonly inputs: number;
  /** Channels between the first convolution and the last. */
  readonly width: number;
  readonly blocks: number;
  readonly outputs: number;
  /** Whether a layer of self-attention follows each block (default: no). */
  readonly attention?: boolean;
  /** Length of the context vector (default: 0). */
  readonly contextSize?: number;
}

/**
 * Maps to maps: a 3×3 convolution, gated residual blocks, each followed by self-attention if wanted, and a 3×3
 * convolution that starts at zero (Flow++, section 3.3). The context is added, as one bias a channel, before the blocks.
 */
export class GatedNetwork implements Conditioner {
  readonly first: Conv2d;
  readonly context: ContextBias;
  readonly blocks: readonly (GatedBlock | AttentionBlock)[];
  readonly norm: GroupNorm;
  readonly last: ZeroConv2d;

  constructor({ inputs, width, blocks, outputs, attention = false, contextSize = 0 }: GatedNetworkOptions) {
    this.first = new Conv2d(inputs, width, 3, { padding: 1 });
    this.context = new ContextBias(contextSize, width);
    this.blocks = Array.from({ length: blocks }, () => [
      new GatedBlock(width),
      ...(attention ? [new AttentionBlock(width, { groups: groupsOf(width) })] : []),
    ]).flat();
    this.norm = new GroupNorm(groupsOf(width), width);
    this.last = new ZeroConv2d(width, outputs);
  }

  forward(x: Tensor, context?: Tensor): Tensor {
    const first = this.context.forward(this.first.forward(x), context);
    const hidden = this.blocks.reduce((maps, block) => block.forward(maps), first);
    return this.last.forward(this.norm.forward(hidden).silu());
  }
}
