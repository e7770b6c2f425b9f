import { OptionError } from "../../errors.ts";
import * as initializers from "../../nn/initializers.ts";
import { Mlp } from "../../nn/linear.ts";
import { arange, Buffer, full, oneHot, type Tensor, where } from "../../tensor/index.ts";

// Bounds on mutual information from a critic's scores f(xᵢ, yⱼ) of all pairs of a batch, [n, n]: pairs on the diagonal are of the joint
// distribution, all others of the product of the marginals. Everything is in nats.

/** What an estimator makes of the scores of a batch. It may have parameters of its own. */
export interface Bound {
  /** A log-baseline that is learnt, where the bound has one: y [n, size] → [1, n]. */
  readonly baseline?: { forward(y: Tensor): Tensor };
  /** What training minimizes, a scalar. @param y the second variables of the batch [n, size] */
  loss(scores: Tensor, y: Tensor): Tensor;
  /** The estimate in nats, a scalar. */
  estimate(scores: Tensor, y: Tensor): Tensor;
  /** What is least for the best critic on held-out pairs, a scalar; default: the loss. */
  heldOutLoss?(scores: Tensor): Tensor;
}

/** On which side of the mutual information an estimate stays, in expectation. */
export type Side = "lower" | "upper" | "neither";

export interface BoundOptions {
  /** Numbers of a second variable. */
  readonly size: number;
  /** Width of the two hidden layers of a learnt baseline. */
  readonly hidden: number;
  /** mine: share of the moving average that a step keeps. */
  readonly decay: number;
  /** smile: scores are clipped to ±clip in the normalizer. */
  readonly clip: number;
  /** interpolated: weight of the batch's own normalizer, between 0 and 1. */
  readonly interpolation: number;
}

/** An estimator by a critic. */
export interface BoundDefinition {
  readonly title: string;
  readonly paper: string;
  readonly side: Side;
  /** Largest value that it can have with n pairs; absent where there is none. */
  limit?(pairs: number): number;
  build(options: BoundOptions): Bound;
}

/** True on the diagonal: [n, n]. */
function isDiagonal(scores: Tensor): Tensor {
  const pairs = Number(scores.shape[0]);
  return oneHot(arange(0, pairs), pairs).greater(0);
}

/** Scores of the pairs that belong together: [n, n] → [n]. */
export function jointScores(scores: Tensor): Tensor {
  return where(isDiagonal(scores), scores, 0).sum(1);
}

/** Small enough for its exponential to be 0, and finite so that no gradient is NaN. */
const NEVER = -1e30;

/** Scores of pairs of the product of the marginals; those of the diagonal count nothing in a log Σ exp. */
function productScores(scores: Tensor): Tensor {
  return where(isDiagonal(scores), NEVER, scores);
}

/** Mean over pairs of the product of the marginals: values [n, n] → a scalar. */
function productMean(values: Tensor): Tensor {
  const pairs = Number(values.shape[0]);
  const counted = where(isDiagonal(values), 0, values);
  return counted.sum().div(pairs * (pairs - 1));
}

/** log of the mean of eˢ over pairs of the product of the marginals, a scalar. */
function logProductMean(scores: Tensor): Tensor {
  const pairs = Number(scores.shape[0]);
  return productScores(scores)
    .logSumExp()
    .sub(Math.log(pairs * (pairs - 1)));
}

/** log(eᵃ + eᵇ), without overflow. */
function logAddExp(a: Tensor, b: Tensor): Tensor {
  return b.add(a.sub(b).softplus());
}

/**
 * log Σ eˢ over all rows of a column but one: scores [n, m] → [left out, column]. It takes n · m numbers: the term of the row that is left
 * out is taken off the sum, except where it is the only largest, of which a difference would keep nothing; there the others are summed.
 */
function logSumExpOfOthers(scores: Tensor): Tensor {
  const largest = scores.max(0, true).stopGradient();
  const isLargest = scores.equal(largest);
  const marked = isLargest.cast("float32");
  const alone = marked.div(marked.sum(0, true)).greater(0.75);
  const terms = scores.sub(largest).exp();
  // At least 1 where another row is the largest.
  const rest = where(alone, 1, terms.sum(0, true).sub(terms));
  const others = where(isLargest, NEVER, scores).logSumExp(0, true);
  return where(alone, others, rest.log().add(largest));
}

/** E f − log E eᶠ (Donsker and Varadhan 1983). */
function donskerVaradhan(scores: Tensor): Tensor {
  return jointScores(scores).mean().sub(logProductMean(scores));
}

/** 1 + E g − E eᵍ, where g is the critic less a log-baseline (Nguyen, Wainwright and Jordan 2010). */
function nguyenWainwrightJordan(g: Tensor): Tensor {
  return jointScores(g).mean().sub(logProductMean(g).exp()).add(1);
}

/** Twice the Jensen–Shannon divergence between joint and product but for a constant, as a loss of logits (f-GAN; Hjelm et al. 2019). */
export function jensenShannonLoss(scores: Tensor): Tensor {
  return jointScores(scores).neg().softplus().mean().add(productMean(scores.softplus()));
}

/** Mean over pairs of the log-share of the right partner among all n, and ln n (van den Oord et al. 2018). */
export function infoNce(scores: Tensor): Tensor {
  const pairs = Number(scores.shape[0]);
  return jointScores(scores).sub(scores.logSumExp(0)).mean().add(Math.log(pairs));
}

/** A bound whose loss is its own negative. */
function direct(estimate: (scores: Tensor) => Tensor): () => Bound {
  return () => ({ estimate, loss: (scores) => estimate(scores).neg() });
}

/**
 * MINE: the bound of Donsker and Varadhan. The gradient of log E eᶠ has the expectation in a denominator, so that a batch's is
 * biased; a moving average of the expectation over steps takes its place (Belghazi et al. 2018, section 3.2). The average is kept as
 * a logarithm, since eᶠ may be large.
 */
class Mine implements Bound {
  /** log of the moving average. */
  readonly logAverage = new Buffer([1], initializers.zeros);
  /** 1 after the first step. */
  readonly begun = new Buffer([1], initializers.zeros);
  private readonly decay: number;

  constructor({ decay }: BoundOptions) {
    this.decay = decay;
  }

  loss(scores: Tensor): Tensor {
    const now = logProductMean(scores);
    const kept = this.logAverage.add(Math.log(this.decay));
    const moved = logAddExp(kept, now.stopGradient().add(Math.log1p(-this.decay)).reshape([1]));
    const average = where(this.begun.greater(0), moved, now.stopGradient().reshape([1]));
    this.logAverage.update(average);
    this.begun.update(full([1], 1));
    const normalizer = now.sub(average.squeeze()).exp();
    return normalizer.sub(jointScores(scores).mean());
  }

  heldOutLoss(scores: Tensor): Tensor {
    return donskerVaradhan(scores).neg();
  }

  estimate(scores: Tensor): Tensor {
    return donskerVaradhan(scores);
  }
}

/** A baseline log a(y) that is learnt: y [n, size] → [1, n], one for each column of the scores. */
class Baseline {
  readonly network: Mlp;

  constructor({ size, hidden }: BoundOptions) {
    this.network = new Mlp([size, hidden, hidden, 1], { activation: (x) => x.relu() });
  }

  forward(y: Tensor): Tensor {
    return this.network.forward(y).transpose();
  }
}

/** TUBA: 1 + E[f − log a(y)] − E[eᶠ / a(y)], for any positive a (Barber and Agakov 2003; Poole et al. 2019, equation 5). */
class Tuba implements Bound {
  readonly baseline: Baseline;

  constructor(options: BoundOptions) {
    this.baseline = new Baseline(options);
  }

  loss(scores: Tensor, y: Tensor): Tensor {
    return this.estimate(scores, y).neg();
  }

  estimate(scores: Tensor, y: Tensor): Tensor {
    return nguyenWainwrightJordan(scores.sub(this.baseline.forward(y)));
  }
}

/**
 * Between TUBA and InfoNCE: the baseline of y is α m(y) + (1 − α) a(y), where m(y) is the mean of eᶠ over n − 1 partners from the batch and a(y) is
 * learnt (Poole et al. 2019, equation 13). The partners of a pair of the joint distribution have its own x among them and leave out another one, over
 * which the mean is taken; those of a pair of the product leave out the x that belongs to y.
 */
class Interpolated implements Bound {
  readonly baseline: Baseline;
  private readonly weight: number;

  constructor(options: BoundOptions) {
    this.baseline = new Baseline(options);
    this.weight = options.interpolation;
    if (!(this.weight > 0 && this.weight < 1)) {
      throw new OptionError(
        `option interpolation: ${this.weight} must lie between 0 and 1; with 0 the estimator is tuba, with 1 infonce`,
      );
    }
  }

  loss(scores: Tensor, y: Tensor): Tensor {
    return this.estimate(scores, y).neg();
  }

  estimate(scores: Tensor, y: Tensor): Tensor {
    const pairs = Number(scores.shape[0]);
    // log m of y without one partner: [left out, y].
    const without = logSumExpOfOthers(scores).sub(Math.log(pairs - 1));
    const learnt = this.baseline.forward(y);
    const mixed = logAddExp(without.add(Math.log(this.weight)), learnt.add(Math.log1p(-this.weight)));
    const joint = productMean(jointScores(scores).unsqueeze(0).sub(mixed));
    const product = productMean(scores.sub(jointScores(mixed).unsqueeze(0)).exp());
    return joint.sub(product).add(1);
  }
}

/** SMILE: trained as Jensen–Shannon; the normalizer of Donsker and Varadhan with scores clipped to ±τ (Song and Ermon 2020, section 4.2). */
class Smile implements Bound {
  private readonly clip: number;

  constructor({ clip }: BoundOptions) {
    this.clip = clip;
    if (!(clip > 0)) throw new OptionError(`option clip: ${clip} must be above 0`);
  }

  loss(scores: Tensor): Tensor {
    return jensenShannonLoss(scores);
  }

  estimate(scores: Tensor): Tensor {
    const clipped = scores.clamp(-this.clip, this.clip);
    return jointScores(scores).mean().sub(logProductMean(clipped));
  }
}

/** CLUB: scores are log q(y | x) of a conditional Gaussian that is fitted to the pairs by maximum likelihood (Cheng et al. 2020, equation 10). */
const club: Bound = {
  loss: (scores) => jointScores(scores).mean().neg(),
  estimate: (scores) => jointScores(scores).mean().sub(productMean(scores)),
};

/** Every estimator by a critic, by name. */
export const BOUNDS = {
  mine: {
    title: "MINE: Donsker–Varadhan with a moving average in the gradient",
    paper: "Belghazi et al. 2018, Mutual Information Neural Estimation, arXiv:1801.04062",
    side: "lower",
    build: (options) => new Mine(options),
  },
  "donsker-varadhan": {
    title: "Donsker–Varadhan",
    paper: "Donsker and Varadhan 1983; Poole et al. 2019, arXiv:1905.06922, equation 4",
    side: "lower",
    build: direct(donskerVaradhan),
  },
  nwj: {
    title: "NWJ, the KL divergence of f-GAN",
    paper: "Nguyen, Wainwright and Jordan 2010, arXiv:0809.0853; Poole et al. 2019, equation 7",
    side: "lower",
    build: direct((scores) => nguyenWainwrightJordan(scores.sub(1))),
  },
  "jensen-shannon": {
    title: "Jensen–Shannon, reported as NWJ",
    paper: "Hjelm et al. 2019, arXiv:1808.06670, equation 4; Poole et al. 2019, section 2.2",
    side: "lower",
    build: () => ({ loss: jensenShannonLoss, estimate: nguyenWainwrightJordan }),
  },
  infonce: {
    title: "InfoNCE",
    paper: "van den Oord, Li and Vinyals 2018, arXiv:1807.03748, equation 4",
    side: "lower",
    limit: (pairs: number) => Math.log(pairs),
    build: direct(infoNce),
  },
  smile: {
    title: "SMILE: Jensen–Shannon, reported with a clipped normalizer",
    paper: "Song and Ermon 2020, arXiv:1910.06222, equation 12",
    side: "neither",
    build: (options) => new Smile(options),
  },
  tuba: {
    title: "TUBA, with a learnt baseline",
    paper: "Barber and Agakov 2003; Poole et al. 2019, arXiv:1905.06922, equation 5",
    side: "lower",
    build: (options) => new Tuba(options),
  },
  interpolated: {
    title: "between TUBA and InfoNCE",
    paper: "Poole et al. 2019, arXiv:1905.06922, equation 13",
    side: "lower",
    build: (options) => new Interpolated(options),
  },
  club: {
    title: "CLUB, an upper bound where its conditional Gaussian is right",
    paper: "Cheng et al. 2020, arXiv:2006.12013, equation 10",
    side: "upper",
    build: () => club,
  },
} as const satisfies Record<string, BoundDefinition>;

/** Name of an estimator by a critic. */
export type BoundName = keyof typeof BOUNDS;
