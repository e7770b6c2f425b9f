import { OptionError } from "../errors.ts";
import { isTraining, type Tensor, uniform } from "../tensor/index.ts";

/** While training, sets elements to 0 with probability `rate` and divides the others by 1 − rate (Srivastava et al. 2014). */
export class Dropout {
  readonly rate: number;

  /** @throws OptionError where the rate is not in [0, 1) */
  constructor(rate = 0.5) {
    if (!(rate >= 0 && rate < 1))
      throw new OptionError(`Dropout: rate ${rate} must be at least 0 and below 1`);
    this.rate = rate;
  }

  forward(x: Tensor): Tensor {
    if (!isTraining() || this.rate === 0) return x;
    const kept = uniform(x.shape).greaterEqual(this.rate);
    return x.mul(kept.cast("float32")).mul(1 / (1 - this.rate));
  }
}
