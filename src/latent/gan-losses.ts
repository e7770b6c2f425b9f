import { matmul } from "../tensor/index.operations.ts";
import { grad, type Tensor } from "../tensor/index.ts";
import type { GanObjective } from "./gan-options.ts";

// The games of GANs as functions of logits: a discriminator D predicts that x is data with probability σ(D(x)).

/** How the losses of samples become one number. */
export type Average = (losses: Tensor) => Tensor;

const overAll: Average = (losses) => losses.mean();

export interface DiscriminatorLossOptions {
  /** By how much less than 1 the target probability of data is (Salimans et al. 2016, section 3.4; default: 0). */
  readonly labelSmoothing?: number;
  /** The averages over data and over samples, where not all rows of the logits count; default: means over all. */
  readonly averages?: { readonly real: Average; readonly fake: Average };
}

/**
 * What the discriminator minimizes, from its logits of data and of samples, [n] each:
 * minimax and non-saturating: −E log σ(D(x)) − E log(1 − σ(D(x̃))) (Goodfellow et al. 2014, equation 1);
 * hinge: E max(0, 1 − D(x)) + E max(0, 1 + D(x̃)) (Lim and Ye 2017; Miyato et al. 2018, equation 16);
 * wasserstein-gp: E D(x̃) − E D(x) (Arjovsky et al. 2017; the penalty is `gradientPenalty`).
 */
export function discriminatorLoss(
  objective: GanObjective,
  real: Tensor,
  fake: Tensor,
  { labelSmoothing = 0, averages = { real: overAll, fake: overAll } }: DiscriminatorLossOptions = {},
): Tensor {
  switch (objective) {
    case "minimax":
    case "non-saturating": {
      const right = averages.real(real.neg().softplus());
      const loss =
        labelSmoothing === 0
          ? right
          : right.mul(1 - labelSmoothing).add(averages.real(real.softplus()).mul(labelSmoothing));
      return loss.add(averages.fake(fake.softplus()));
    }
    case "hinge":
      return averages.real(real.neg().add(1).relu()).add(averages.fake(fake.add(1).relu()));
    case "wasserstein-gp":
      return averages.fake(fake).sub(averages.real(real));
  }
}

/**
 * What the generator minimizes, from the logits of its samples:
 * minimax: E log(1 − σ(D(x̃))); non-saturating: −E log σ(D(x̃)) (Goodfellow et al. 2014, section 3);
 * hinge and wasserstein-gp: −E D(x̃).
 * @param average over the samples, where not all rows count; default: the mean over all
 */
export function generatorLoss(objective: GanObjective, fake: Tensor, average: Average = overAll): Tensor {
  switch (objective) {
    case "minimax":
      return average(fake.softplus()).neg();
    case "non-saturating":
      return average(fake.neg().softplus());
    case "hinge":
    case "wasserstein-gp":
      return average(fake).neg();
  }
}

/** The squared norm of ∇D(x) of each sample, [n], from D(x) [n] and x [n, …]; it can be differentiated again. */
function squaredGradientNorm(logits: Tensor, x: Tensor): Tensor {
  const [gradient] = grad(logits.sum(), [x]);
  return gradient
    .reshape([x.shape[0] ?? 1, -1])
    .square()
    .sum(1);
}

/** Keeps the derivative of a norm finite at 0. */
const TINY = 1e-12;

/**
 * E (|∇D(x̂)| − 1)² over points x̂ between data and samples (Gulrajani et al. 2017, equation 3).
 * @param mixing weight of data in each point, [n]: 1 is data, 0 a sample
 */
export function gradientPenalty(
  discriminator: (x: Tensor) => Tensor,
  real: Tensor,
  fake: Tensor,
  mixing: Tensor,
): Tensor {
  const share = mixing.reshape([...mixing.shape, ...real.shape.slice(1).map(() => 1)]);
  const between = fake.add(real.sub(fake).mul(share));
  const norm = squaredGradientNorm(discriminator(between), between).add(TINY).sqrt();
  return norm.sub(1).square().mean();
}

/**
 * ½ E |∇D(x)|² on data (Mescheder, Geiger and Nowozin 2018, "Which Training Methods for GANs do actually Converge?",
 * equation 9).
 * @param logits D(x), made of `real`
 */
export function r1Penalty(logits: Tensor, real: Tensor): Tensor {
  return squaredGradientNorm(logits, real).mean().mul(0.5);
}

/** Distances of all pairs of rows, [n, d] and [m, d] → [n, m]. */
function distances(x: Tensor, y: Tensor): Tensor {
  const squares = (rows: Tensor): Tensor => rows.square().sum(1);
  const products = matmul(x, y, { transposeB: true });
  const squared = squares(x).unsqueeze(1).add(squares(y)).sub(products.mul(2));
  // Rounding may leave a hair below 0.
  return squared.maximum(0).sqrt();
}

/** Mean distance of two different rows of x, [n, d]. */
function meanWithin(x: Tensor): Tensor {
  const count = Number(x.shape[0]);
  return distances(x, x)
    .sum()
    .mul(1 / (count * (count - 1)));
}

/**
 * Squared energy distance between rows [n, d] of a model and rows [m, d] of data, 2 E|X − Y| − E|X − X′| − E|Y − Y′|
 * (Székely and Rizzo 2013, equation 5), without bias as long as n and m are at least 2. One row of data has no other to be
 * compared with: the model's rows then stand in, which is right where the two distributions are equal.
 */
export function symbolicEnergyDistance(model: Tensor, data: Tensor): Tensor {
  const own = meanWithin(model);
  const ofData = Number(data.shape[0]) > 1 ? meanWithin(data) : own;
  return distances(model, data).mean().mul(2).sub(own).sub(ofData);
}
