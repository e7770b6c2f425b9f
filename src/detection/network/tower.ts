import { Conv2d } from "../../nn/convolution.ts";
import { kaimingNormal, zeros } from "../../nn/initializers.ts";
import { GroupNorm } from "../../nn/normalization.ts";
import type { Tensor } from "../../tensor/index.ts";

/** How the convolutions of a tower are made. */
export interface TowerOptions {
  /** Groups of each normalization, 0 for none; default: 8. */
  readonly groups?: number;
  /** Whether convolutions have a bias; default: only without normalization. */
  readonly bias?: boolean;
}

/** A 3×3 convolution, group normalization or none, and ReLU. */
class TowerBlock {
  readonly conv: Conv2d;
  readonly norm: GroupNorm | undefined;

  constructor(channels: number, { groups = 8, bias = groups === 0 }: TowerOptions) {
    this.conv = new Conv2d(channels, channels, 3, {
      padding: 1,
      bias,
      initializeWeight: kaimingNormal(),
      initializeBias: zeros,
    });
    this.norm = groups === 0 ? undefined : new GroupNorm(groups, channels);
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return (this.norm?.forward(y) ?? y).relu();
  }
}

/**
 * Convolutions of a head with the same weights for maps of all levels. Statistics of a batch differ from level to level, so that
 * the normalization is one of each image's own (as in FCOS).
 */
export class SharedTower {
  readonly blocks: readonly TowerBlock[];

  /** @throws OptionError where the groups do not divide the channels */
  constructor(channels: number, blocks: number, options: TowerOptions = {}) {
    this.blocks = Array.from({ length: blocks }, () => new TowerBlock(channels, options));
  }

  /** [n, channels, H, W] → the same shape. @throws ShapeError */
  forward(x: Tensor): Tensor {
    return this.blocks.reduce((h, block) => block.forward(h), x);
  }
}
