import { ShapeError } from "../errors.ts";
import { linear, type Tensor } from "../tensor/index.ts";
import { Linear, type LinearOptions } from "./linear.ts";

/**
 * y = x (M ⊙ W)ᵀ + b on the last axis, with a mask M of zeros and ones that cuts connections: [..., in] → [..., out].
 * Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", section 3. Weight and mask are [out, in].
 */
export class MaskedLinear extends Linear {
  readonly mask: Tensor;

  /**
   * @param mask zeros and ones in float32, [out, in]; known while tracing, no part of the model's state
   * @throws ShapeError where the mask is no matrix
   */
  constructor(mask: Tensor, options: LinearOptions = {}) {
    const [outputs, inputs] = mask.shape;
    if (mask.rank !== 2 || typeof outputs !== "number" || typeof inputs !== "number") {
      throw new ShapeError(`MaskedLinear: the mask must be [out, in], not [${mask.shape}]`);
    }
    super(inputs, outputs, options);
    this.mask = mask;
  }

  /** @throws ShapeError */
  override forward(x: Tensor): Tensor {
    return linear(x, this.weight.mul(this.mask), this.bias);
  }
}

/**
 * The mask of a layer whose units have degrees: 1 where the degree of the reading unit is at least that of the unit it
 * reads, or where `strict` above it (Germain et al. 2015, equations 8 and 9): [out], [in] → [out, in] in float32.
 */
export function degreeMask(readers: Tensor, sources: Tensor, strict = false): Tensor {
  const [to, from] = [readers.unsqueeze(1), sources.unsqueeze(0)];
  return (strict ? to.greater(from) : to.greaterEqual(from)).cast("float32");
}
