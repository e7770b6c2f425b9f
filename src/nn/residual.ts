import type { Tensor } from "../tensor/index.ts";
import { Conv2d } from "./convolution.ts";
import { Dropout } from "./dropout.ts";
import { zeros } from "./initialisers.ts";
import { Linear } from "./linear.ts";
import { GroupNorm } from "./normalisation.ts";

export interface ResidualBlockOptions {
  readonly inputs: number;
  readonly outputs: number;
  /** Size of the condition vector (time, class); no condition unless told. */
  readonly condition?: number;
  /** Groups of the normalisations; 8 unless told. */
  readonly groups?: number;
  readonly dropout?: number;
}

/**
 * x + conv(silu(norm(conv(silu(norm(x)))))): [N, C, H, W] → [N, O, H, W], with 3×3 convolutions and a 1×1 convolution of
 * x where C ≠ O. The condition scales and shifts the second normalisation (adaptive group normalisation; Dhariwal and
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
      initialiseWeight: zeros,
      initialiseBias: zeros,
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
