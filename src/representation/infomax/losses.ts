import { type Tensor, where } from "../../tensor/index.ts";

// Losses of Deep InfoMax on scores of codes and parts of images. A part is a location of the local features, or, for the global objective, all of
// them together: the one part of its image. Everything is in nats.

/** How well codes and parts of images go together. */
export interface PartScores {
  /** Scores of code i with part l of the j-th image that it is compared with, [codes, images, parts]. */
  readonly scores: Tensor;
  /** Where that image is the code's own, one image for each code: booleans [codes or 1, images, 1]. */
  readonly isOwn: Tensor;
}

/** Small enough for its exponential to be 0, and finite so that no gradient is NaN. */
const NEVER = -1e30;

/** Scores of codes and the parts of their own images: [codes, parts]. */
function positives({ scores, isOwn }: PartScores): Tensor {
  return where(isOwn, scores, 0).sum(1);
}

/** Scores of codes and the parts of other images; those of their own count nothing in a log Σ exp. */
function negatives({ scores, isOwn }: PartScores): Tensor {
  return where(isOwn, NEVER, scores);
}

/** log Σ exp of the scores of each code with each part of other images: [codes, parts]. */
function othersByPart(pairs: PartScores): Tensor {
  return negatives(pairs).logSumExp(1);
}

/** Pairs of a code and a part of another image. */
function negativeCount({ scores }: PartScores): number {
  const [codes = 0, images = 0, parts = 0] = scores.shape.map(Number);
  return codes * (images - 1) * parts;
}

/**
 * −E f + log E eᶠ, the bound of Donsker and Varadhan with a random part of an image as the first variable (Hjelm et al. 2019, equation 2).
 */
export function donskerVaradhanLoss(pairs: PartScores): Tensor {
  const normalizer = negatives(pairs)
    .logSumExp()
    .sub(Math.log(negativeCount(pairs)));
  return normalizer.sub(positives(pairs).mean());
}

/** E softplus(−f) + E′ softplus(f), the second over parts of other images (Hjelm et al. 2019, equation 4). */
export function jensenShannonPartLoss(pairs: PartScores): Tensor {
  const others = where(pairs.isOwn, 0, pairs.scores.softplus());
  return positives(pairs)
    .neg()
    .softplus()
    .mean()
    .add(others.sum().div(negativeCount(pairs)));
}

/**
 * −E log(eᶠ / (eᶠ + Σ eᶠ′)), where f′ are the scores of a code with all parts of all other images (Hjelm et al. 2019, equation 5, as in the
 * authors' program). The parts of an image share the sum over the others: with Λ its logarithm, the loss of a part is softplus(Λ − f).
 */
export function infoNcePartLoss(pairs: PartScores): Tensor {
  const others = othersByPart(pairs).logSumExp(1, true);
  return others.sub(positives(pairs)).softplus().mean();
}

/**
 * A lower bound on the mutual information of a code and a part, the mean over parts, in nats: InfoNCE with the same part of other images as
 * negatives, which are independent draws of it. It is one for any scores, whichever loss they are learnt by, and never above ln(images).
 * (All parts of the other images would not do: those of one image depend on each other, and ln(1 + negatives) less the loss may then lie
 * above the mutual information.)
 */
export function partInformation(pairs: PartScores): Tensor {
  const images = Number(pairs.scores.shape[1]);
  // −log Σ exp over all images, that of the others being there for the loss already: f − log(eᶠ + e^Λ) = −softplus(Λ − f).
  return othersByPart(pairs).sub(positives(pairs)).softplus().mean().neg().add(Math.log(images));
}

/** Names of the estimators. */
export const PART_ESTIMATORS = ["infonce", "jensen-shannon", "donsker-varadhan"] as const;

export type PartEstimator = (typeof PART_ESTIMATORS)[number];

/** What each estimator minimizes. */
export const PART_LOSSES: Readonly<Record<PartEstimator, (pairs: PartScores) => Tensor>> = {
  infonce: infoNcePartLoss,
  "jensen-shannon": jensenShannonPartLoss,
  "donsker-varadhan": donskerVaradhanLoss,
};
