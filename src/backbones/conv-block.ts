import { Conv2d } from "../nn/convolution.ts";
import { kaimingNormal } from "../nn/initializers.ts";
import type { Activation } from "../nn/linear.ts";
import { BatchNorm2d } from "../nn/normalization.ts";
import type { Tensor } from "../tensor/index.ts";
import { convolveBranches, type Dilations, PLAIN } from "./dilations.ts";

export interface ConvBlockOptions {
  /** Default: 1. */
  readonly stride?: number;
  /** Default: SiLU; `none` for a sum that is activated later. */
  readonly activation?: Activation | "none";
  /** Whether the normalization uses the statistics it is given even in training; default: false. */
  readonly frozenNorm?: boolean;
}

const silu: Activation = (x) => x.silu();

/**
 * Convolution, batch normalization and an activation: [N, C, H, W] → [N, O, ⌈H / stride⌉, ⌈W / stride⌉], for odd kernels. The
 * normalization has the bias.
 */
export class ConvBlock {
  readonly conv: Conv2d;
  readonly norm: BatchNorm2d;
  private readonly activation: Activation | "none";

  constructor(inputs: number, outputs: number, kernel: number, options: ConvBlockOptions = {}) {
    this.conv = new Conv2d(inputs, outputs, kernel, {
      stride: options.stride ?? 1,
      padding: (kernel - 1) / 2,
      bias: false,
      initializeWeight: kaimingNormal(),
    });
    this.norm = new BatchNorm2d(outputs, { frozen: options.frozenNorm ?? false });
    this.activation = options.activation ?? silu;
  }

  /** @param dilations of the branches that are stacked in the batch. @throws ShapeError */
  forward(x: Tensor, dilations: Dilations = PLAIN): Tensor {
    const y = this.norm.forward(convolveBranches(this.conv, x, dilations));
    return this.activation === "none" ? y : this.activation(y);
  }
}
