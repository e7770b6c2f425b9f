import { type Initialiser, linear, Parameter, type Tensor } from "../tensor/index.ts";
import { biasOf, kaimingUniform } from "./initialisers.ts";

export interface LinearOptions {
  /** Whether a bias is added; true unless told. */
  readonly bias?: boolean;
  /** Starting values of the weight; PyTorch's unless told. */
  readonly initialiseWeight?: Initialiser;
  readonly initialiseBias?: Initialiser;
}

/** y = x Wᵀ + b on the last axis: [..., in] → [..., out]. The weight is [out, in], as in PyTorch. */
export class Linear {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    const shape = [outputs, inputs];
    this.weight = new Parameter(shape, options.initialiseWeight ?? kaimingUniform());
    this.bias =
      (options.bias ?? true) ? new Parameter([outputs], options.initialiseBias ?? biasOf(shape)) : undefined;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
