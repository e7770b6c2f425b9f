import { Mlp } from "../../nn/linear.ts";
import { normal, type Tensor, uniform } from "../../tensor/index.ts";

/** Distributions that codes can be matched to. */
export const PRIORS = ["uniform", "gaussian"] as const;

export type PriorName = (typeof PRIORS)[number];

/**
 * Matches codes to a prior: a discriminator learns to distinguish draws of the prior from codes, and the encoder learns from it (Hjelm et al. 2019,
 * equation 7; Makhzani et al. 2015, "Adversarial Autoencoders"). The uniform prior is on [0, 1]ᴰ, where codes are mapped to by the logistic function;
 * the Gaussian one is standard normal.
 */
export class PriorMatching {
  readonly network: Mlp;
  private readonly prior: PriorName;

  constructor(prior: PriorName, codeSize: number, units: number) {
    this.network = new Mlp([codeSize, units, units, 1], { activation: (x) => x.leakyRelu(0.2) });
    this.prior = prior;
  }

  /** Logits of codes [n, codeSize] being draws of the prior, [n]. */
  logits(codes: Tensor): Tensor {
    return this.network.forward(this.prior === "uniform" ? codes.sigmoid() : codes).squeeze(1);
  }

  /** Logits of as many draws of the prior, [n]. */
  private priorLogits({ shape }: Tensor): Tensor {
    // Draws are where the logistic function maps codes to already.
    return this.network.forward(this.prior === "uniform" ? uniform(shape) : normal(shape)).squeeze(1);
  }

  /** What the discriminator minimizes: −E log D(draws) − E log(1 − D(codes)). */
  discriminatorLoss(codes: Tensor): Tensor {
    return this.priorLogits(codes).neg().softplus().mean().add(this.logits(codes).softplus().mean());
  }

  /** What the encoder minimizes: −E log D(codes), the form that does not saturate, as in the authors' program. */
  encoderLoss(codes: Tensor): Tensor {
    return this.logits(codes).neg().softplus().mean();
  }
}
