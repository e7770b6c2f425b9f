import { AttentionBlock } from "../nn/attention.ts";
import { Conv2d } from "../nn/convolution.ts";
import { zeros } from "../nn/initialisers.ts";
import { GroupNorm } from "../nn/normalisation.ts";
import { split, type Tensor } from "../tensor/index.ts";
import type { Conditioner } from "./coupling.ts";
import { ContextBias, ZeroConv2d } from "./image-conditioner.ts";

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
    this.second = new Conv2d(width, 2 * width, 1, { initialiseWeight: zeros, initialiseBias: zeros });
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
  /** Whether a layer of self-attention follows each block; not unless told. */
  readonly attention?: boolean;
  /** Length of the context vector; 0 unless told. */
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
