import type { Tensor } from "../../tensor/index.ts";

/** A convolution or a linear layer, its normalization and a rectifier. */
export class Block<L extends { forward(x: Tensor): Tensor }, N extends { forward(x: Tensor): Tensor }> {
  readonly layer: L;
  readonly norm: N;

  constructor(layer: L, norm: N) {
    this.layer = layer;
    this.norm = norm;
  }

  forward(x: Tensor): Tensor {
    return this.norm.forward(this.layer.forward(x)).relu();
  }
}
