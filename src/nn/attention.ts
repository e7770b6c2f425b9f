import { OptionError } from "../errors.ts";
import { dimAt } from "../tensor/graph.ts";
import type { Tensor } from "../tensor/index.ts";
import { matmul } from "../tensor/matmul.ts";
import { softmax } from "../tensor/reduce.ts";
import { split } from "../tensor/shaping.ts";
import { Conv2d } from "./convolution.ts";
import { zeros } from "./initialisers.ts";
import { GroupNorm } from "./normalisation.ts";

export interface AttentionBlockOptions {
  /** Heads among which the channels are divided; 1 unless told. */
  readonly heads?: number;
  /** Groups of the normalisation; 8 unless told. */
  readonly groups?: number;
}

/**
 * Multi-head self-attention among the pixels of a map, added to it (Ho et al. 2020; Dhariwal and Nichol 2021, §3):
 * x [N, C, H, W] → the same shape. The projection starts at 0, so that the block starts as the identity.
 */
export class AttentionBlock {
  readonly norm: GroupNorm;
  readonly qkv: Conv2d;
  readonly proj: Conv2d;
  private readonly channels: number;
  private readonly heads: number;

  /** @throws OptionError where heads or groups do not divide the channels */
  constructor(channels: number, options: AttentionBlockOptions = {}) {
    const { heads = 1, groups = 8 } = options;
    if (!(heads >= 1) || channels % heads !== 0) {
      throw new OptionError(`AttentionBlock: ${heads} heads must divide ${channels} channels`);
    }
    this.channels = channels;
    this.heads = heads;
    this.norm = new GroupNorm(groups, channels);
    this.qkv = new Conv2d(channels, 3 * channels, 1);
    this.proj = new Conv2d(channels, channels, 1, { initialiseWeight: zeros, initialiseBias: zeros });
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const size = this.channels / this.heads;
    const pieces = split(this.qkv.forward(this.norm.forward(x)), 1, 3);
    // Channels stay before pixels, [N, heads, size, H·W], so that nothing has to be transposed.
    const [query, key, value] = pieces.map((piece) => piece.reshape([dimAt(x, 0), this.heads, size, -1])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const scores = matmul(query.mul(1 / Math.sqrt(size)), key, { transposeA: true });
    const mixed = matmul(value, softmax(scores), { transposeB: true });
    return x.add(this.proj.forward(mixed.reshape(x.shape)));
  }
}
