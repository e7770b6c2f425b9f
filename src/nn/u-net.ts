import { OptionError } from "../errors.ts";
import { dimAt, shapeError } from "../tensor/graph.ts";
import type { Tensor } from "../tensor/index.ts";
import { matmul } from "../tensor/operations/matmul.ts";
import { averagePool2d, upsampleNearest } from "../tensor/operations/pooling.ts";
import { softmax } from "../tensor/operations/reduce.ts";
import { concat, split } from "../tensor/operations/shaping.ts";
import { Conv2d } from "./convolution.ts";
import { zeros } from "./initializers.ts";
import { ConditionEmbedding, Dropout, Linear } from "./linear.ts";
import { GroupNorm } from "./normalization.ts";

export interface AttentionBlockOptions {
  /** Heads among which the channels are divided (default: 1). */
  readonly heads?: number;
  /** Groups of the normalization (default: 8). */
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
    this.proj = new Conv2d(channels, channels, 1, { initializeWeight: zeros, initializeBias: zeros });
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

export interface ResidualBlockOptions {
  readonly inputs: number;
  readonly outputs: number;
  /** Size of the condition vector (time, class) (default: no condition). */
  readonly condition?: number;
  /** Groups of the normalizations (default: 8). */
  readonly groups?: number;
  readonly dropout?: number;
}

/**
 * x + conv(silu(norm(conv(silu(norm(x)))))): [N, C, H, W] → [N, O, H, W], with 3×3 convolutions and a 1×1 convolution of
 * x where C ≠ O. The condition scales and shifts the second normalization (adaptive group normalization; Dhariwal and
 * Nichol 2021, §3.1, eq. 5). The last convolution starts at 0, so that the block starts as the identity.
 */
export class ResidualBlock {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly condition: Linear | undefined;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly skip: Conv2d | undefined;
  private readonly dropout: Dropout;

  /** @throws OptionError where the groups do not divide the channels */
  constructor({ inputs, outputs, condition, groups = 8, dropout = 0 }: ResidualBlockOptions) {
    this.norm1 = new GroupNorm(groups, inputs);
    this.conv1 = new Conv2d(inputs, outputs, 3, { padding: 1 });
    this.condition = condition === undefined ? undefined : new Linear(condition, 2 * outputs);
    this.norm2 = new GroupNorm(groups, outputs);
    this.conv2 = new Conv2d(outputs, outputs, 3, {
      padding: 1,
      initializeWeight: zeros,
      initializeBias: zeros,
    });
    this.skip = inputs === outputs ? undefined : new Conv2d(inputs, outputs, 1);
    this.dropout = new Dropout(dropout);
  }

  /** @param condition [N, condition] where the block was made with one. @throws ShapeError */
  forward(x: Tensor, condition?: Tensor): Tensor {
    const first = this.conv1.forward(this.norm1.forward(x).silu());
    const modulation = condition && this.condition?.forward(condition.silu());
    const second = this.norm2.forward(first, modulation).silu();
    return (this.skip?.forward(x) ?? x).add(this.conv2.forward(this.dropout.forward(second)));
  }
}

export interface UNetOptions {
  /** Channels of an input image. */
  readonly inputs: number;
  /** Channels of an output image (default: those of the input). */
  readonly outputs?: number;
  /** Channels at full resolution (default: 16). Multiples of 16 run fastest. */
  readonly base?: number;
  /** Channels of each level as multiples of `base`; the resolution halves from level to level (default: [1, 2, 4]). */
  readonly multipliers?: readonly number[];
  /** Residual blocks of a level, of the downward path and of the upward path each (default: 1). */
  readonly blocks?: number;
  /** Levels (0 is full resolution) with attention after every residual block (default: none). */
  readonly attentionLevels?: readonly number[];
  /** Whether there is attention in the middle, at the lowest resolution (default: true). */
  readonly middleAttention?: boolean;
  /** Attention heads (default: 1). */
  readonly heads?: number;
  /** Groups of the normalizations (default: 8). */
  readonly groups?: number;
  /** Size of the condition vector (time, class) and of the sinusoids it is made from (default: 4 · base). */
  readonly condition?: number;
  /** Number of classes, for a class condition. */
  readonly classes?: number;
  readonly dropout?: number;
}

/**
 * The U-Net of diffusion models (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal and Nichol 2021): an image, a time and
 * maybe a class → an image. Maps are halved by averaging and doubled by a 1×1 convolution and repetition; every block on
 * the upward path also reads the map of its counterpart on the downward path.
 */
export class UNet {
  readonly condition: ConditionEmbedding;
  readonly input: Conv2d;
  readonly down: readonly Level[];
  readonly middle: Middle;
  readonly up: readonly UpLevel[];
  readonly norm: GroupNorm;
  readonly output: Conv2d;

  /** @throws OptionError where heads or groups do not divide the channels */
  constructor(options: UNetOptions) {
    const { inputs, outputs = inputs, base = 16, multipliers = [1, 2, 4], groups = 8 } = options;
    const condition = options.condition ?? 4 * base;
    const channels = multipliers.map((multiplier) => multiplier * base);
    const lowest = channels.at(-1);
    if (lowest === undefined) throw new OptionError("UNet: multipliers must name at least one level");
    const part = (level: number, from: number, to: number): BlockOptions => ({
      ...options,
      condition,
      inputs: from,
      outputs: to,
      attention: options.attentionLevels?.includes(level) ?? false,
    });

    this.condition = new ConditionEmbedding(condition, condition, options.classes);
    this.input = new Conv2d(inputs, base, 3, { padding: 1 });
    this.down = channels.map((size, level) => new Level(part(level, channels[level - 1] ?? base, size)));
    this.middle = new Middle(part(-1, lowest, lowest), options.middleAttention ?? true);
    this.up = channels.map((size, level) => new UpLevel(part(level, 2 * size, size), channels[level - 1]));
    this.norm = new GroupNorm(groups, base * (multipliers[0] ?? 1));
    this.output = new Conv2d(base * (multipliers[0] ?? 1), outputs, 3, {
      padding: 1,
      initializeWeight: zeros,
      initializeBias: zeros,
    });
  }

  /**
   * x [n, inputs, H, W], times t [n] in [0, 1], classes label [n] (int64) → [n, outputs, H, W].
   * @throws ShapeError where H or W cannot be halved from level to level
   * @throws OptionError where a class is missing or superfluous
   */
  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor {
    const factor = 2 ** (this.down.length - 1);
    if (x.shape.slice(2).some((size) => typeof size !== "number" || size % factor !== 0)) {
      throw shapeError(
        "UNet",
        [x],
        `${this.down.length} levels need a height and width divisible by ${factor}`,
      );
    }
    const condition = this.condition.forward(t, label);
    const skips: Tensor[] = [];
    let h = this.input.forward(x);
    for (const [i, level] of this.down.entries()) {
      if (i > 0) h = averagePool2d(h, { kernel: 2 });
      for (const block of level.blocks) {
        h = block.forward(h, condition);
        skips.push(h);
      }
    }
    h = this.middle.forward(h, condition);
    for (const level of [...this.up].reverse()) {
      for (const block of level.blocks) {
        h = block.forward(concat([h, skips.pop() ?? h], 1), condition);
      }
      if (level.enlarge) h = upsampleNearest(level.enlarge.forward(h), 2);
    }
    return this.output.forward(this.norm.forward(h).silu());
  }
}

interface BlockOptions extends UNetOptions {
  readonly condition: number;
  readonly outputs: number;
  readonly attention: boolean;
}

/** A residual block, with attention after it where asked for. */
class Block {
  readonly residual: ResidualBlock;
  readonly attention: AttentionBlock | undefined;

  constructor(options: BlockOptions) {
    this.residual = new ResidualBlock(options);
    this.attention = options.attention ? new AttentionBlock(options.outputs, options) : undefined;
  }

  forward(x: Tensor, condition: Tensor): Tensor {
    const h = this.residual.forward(x, condition);
    return this.attention?.forward(h) ?? h;
  }
}

/** The blocks of the downward path at one resolution. */
class Level {
  readonly blocks: readonly Block[];

  constructor(options: BlockOptions) {
    this.blocks = Array.from(
      { length: options.blocks ?? 1 },
      (_, i) => new Block(i === 0 ? options : { ...options, inputs: options.outputs }),
    );
  }
}

/** The blocks of the upward path at one resolution, and the 1×1 convolution before the map is doubled. */
class UpLevel {
  readonly blocks: readonly Block[];
  readonly enlarge: Conv2d | undefined;

  constructor(options: BlockOptions, next: number | undefined) {
    this.blocks = Array.from({ length: options.blocks ?? 1 }, () => new Block(options));
    this.enlarge = next === undefined ? undefined : new Conv2d(options.outputs, next, 1);
  }
}

/** Two residual blocks at the lowest resolution, with attention between. */
class Middle {
  readonly block1: Block;
  readonly block2: Block;

  constructor(options: BlockOptions, attention: boolean) {
    this.block1 = new Block({ ...options, attention });
    this.block2 = new Block({ ...options, attention: false });
  }

  forward(x: Tensor, condition: Tensor): Tensor {
    return this.block2.forward(this.block1.forward(x, condition), condition);
  }
}
