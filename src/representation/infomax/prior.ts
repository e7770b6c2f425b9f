import { r1Penalty } from "../../latent/gan-losses.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Mlp } from "../../nn/linear.ts";
import { normal, type Tensor, uniform } from "../../tensor/index.ts";

/** Distributions that codes can be matched to. */
export const PRIORS = ["uniform", "gaussian"] as const;

export type PriorName = (typeof PRIORS)[number];

export interface PriorMatchingOptions {
  readonly prior: PriorName;
  readonly codeSize: number;
  /** Units of the discriminator's two hidden layers. */
  readonly units: number;
  /** Weight of half the squared slope of the discriminator at draws of the prior (Mescheder, Geiger and Nowozin 2018, equation 9). */
  readonly penalty: number;
}

/**
 * Matches codes to a prior: a discriminator learns to distinguish draws of the prior from codes, and the encoder learns from it (Hjelm et al. 2019,
 * equation 7; Makhzani et al. 2015, "Adversarial Autoencoders"). The uniform prior is on [0, 1]ᴰ, where codes are mapped to by the logistic function;
 * the Gaussian one is standard normal.
 */
export class PriorMatching {
  readonly network: Mlp;
  private readonly prior: PriorName;
  private readonly penalty: number;

  constructor({ prior, codeSize, units, penalty }: PriorMatchingOptions) {
    this.network = new Mlp([codeSize, units, units, 1], { activation: (x) => x.leakyRelu(0.2) });
    this.prior = prior;
    this.penalty = penalty;
  }

  /** Logits of codes [n, codeSize] being draws of the prior, [n]. */
  logits(codes: Tensor): Tensor {
    return this.network.forward(this.prior === "uniform" ? codes.sigmoid() : codes).squeeze(1);
  }

  /**
   * What the discriminator minimizes: −E log D(draws) − E log(1 − D(codes)), and with it a penalty on its slope at draws, which keeps it from
   * growing so steep that the encoder cannot follow.
   * @param draws of the prior, as many as codes; default: random ones
   */
  discriminatorLosses(codes: Tensor, draws = this.draws(codes)): Losses & { readonly game: Tensor } {
    const logits = this.network.forward(draws).squeeze(1);
    const game = logits.neg().softplus().mean().add(this.logits(codes).softplus().mean());
    return { game, total: this.penalty > 0 ? game.add(r1Penalty(logits, draws).mul(this.penalty)) : game };
  }

  /** As many draws of the prior as codes. Those of the uniform one are where the logistic function maps codes to already. */
  private draws({ shape }: Tensor): Tensor {
    return this.prior === "uniform" ? uniform(shape) : normal(shape);
  }

  /** What the encoder minimizes: −E log D(codes), the form that does not saturate, as in the authors' program. */
  encoderLoss(codes: Tensor): Tensor {
    return this.logits(codes).neg().softplus().mean();
  }
}
