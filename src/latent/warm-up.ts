import { zeros } from "../nn/initialisers.ts";
import { Buffer, isTraining, type Tensor } from "../tensor/index.ts";

/**
 * A weight that rises from 0 to 1 over the first steps of training and is 1 outside of it (Sønderby et al. 2016, "Ladder
 * Variational Autoencoders", section 2.3).
 */
export class WarmUp {
  /** Steps done. */
  readonly done: Buffer;
  private readonly steps: number;

  constructor(steps: number) {
    this.done = new Buffer([], zeros);
    this.steps = steps;
  }

  apply(term: Tensor): Tensor {
    if (!isTraining()) return term;
    this.done.update(this.done.add(1).minimum(this.steps));
    return term.mul(this.done.mul(1 / this.steps));
  }
}
