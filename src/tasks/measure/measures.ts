import { describeBinarization } from "../../data/sources/binarize.ts";
import type { Model } from "../../model/capabilities.ts";
import type { Better } from "../../report/index.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** A distance between drawn and held-out samples, or a property of both: what it is called and which values are good. */
export interface Measure {
  readonly name: string;
  /** For the head of a column. */
  readonly short: string;
  readonly better: Better;
  /** Decimals for shares and probabilities; other numbers have those that their size calls for. */
  readonly decimals?: number;
  /** What it tells, for the notes of a page. */
  readonly meaning: string;
}

const lower: Better = { kind: "lower" };
const higher: Better = { kind: "higher" };

/** Every measure that `sampleDistances` may take; docs/guide/metrics.md says more on each. */
export const MEASURES = {
  frechet: {
    name: "Fréchet distance",
    short: "Fréchet",
    better: lower,
    meaning: "squared distance of Gaussians fitted to the features of both sets",
  },
  energy: {
    name: "energy distance",
    short: "energy",
    better: lower,
    meaning:
      "sees any difference, mostly of place and spread; about 0, of either sign, for equal distributions",
  },
  sliced: {
    name: "sliced Wasserstein distance",
    short: "sliced W₂",
    better: lower,
    meaning: "root of the mean squared W₂ of projections, in units of the data",
  },
  discrepancy: {
    name: "MMD²",
    short: "MMD²",
    better: lower,
    meaning: "squared maximum mean discrepancy; about 0, of either sign, for equal distributions",
  },
  discrepancyP: {
    name: "MMD p-value",
    short: "MMD p",
    better: { kind: "none" },
    decimals: 3,
    meaning: "probability of so large an MMD² between sets of equal distribution, by permutations",
  },
  precision: {
    name: "precision",
    short: "precision",
    better: higher,
    decimals: 2,
    meaning: "share of drawn samples that lie among held-out ones (fidelity)",
  },
  recall: {
    name: "recall",
    short: "recall",
    better: higher,
    decimals: 2,
    meaning: "share of held-out samples that lie among drawn ones (diversity)",
  },
  density: {
    name: "density",
    short: "density",
    better: { kind: "near", value: 1 },
    decimals: 2,
    meaning: "how densely held-out samples surround drawn ones; 1 for equal distributions",
  },
  coverage: {
    name: "coverage",
    short: "coverage",
    better: higher,
    decimals: 2,
    meaning: "share of held-out samples that have a drawn one near; 0.97 for equal distributions",
  },
  marginals: {
    name: "largest error of a marginal",
    short: "marginal",
    better: lower,
    decimals: 3,
    meaning: "largest difference of the probability of a one",
  },
  pairs: {
    name: "largest error of a pair",
    short: "pair",
    better: lower,
    decimals: 3,
    meaning: "largest difference of the probability that two elements are both one",
  },
  memorization: {
    name: "memorization",
    short: "memorization",
    better: { kind: "near", value: 0.5 },
    decimals: 2,
    meaning:
      "probability that a drawn sample lies nearer to the training split than a held-out one does: ½ is right, 1 means copies, below ½ samples off the data",
  },
  classifier: {
    name: "classifier accuracy",
    short: "classifier",
    better: { kind: "near", value: 0.5 },
    decimals: 2,
    meaning: "how often a small network tells drawn from held-out samples; ½ where it cannot",
  },
} as const satisfies Readonly<Record<string, Measure>>;

export type MeasureName = keyof typeof MEASURES;

/** A measured distance and the numbers of samples that it depends on. */
export interface SampleDistance {
  readonly measure: MeasureName;
  readonly value: number;
  /** Drawn samples. */
  readonly samples: number;
  /** Held-out samples. */
  readonly real: number;
  /** What else it depends on: the space it is taken in, parameters. */
  readonly note?: string;
}

/** The numbers of samples and the note of a distance as a text. */
export function describeDistance({ samples, real, note }: SampleDistance): string {
  return [`${samples} drawn against ${real} of the data`, ...(note === undefined ? [] : [note])].join("; ");
}

/**
 * What the number that stands for a log-likelihood is of, beside whether it is exact: what the model tells of it, and how
 * images became zeros and ones. Undefined where there is nothing to tell.
 */
export function likelihoodDetail(
  { likelihoodDetail: own }: Model,
  { binarization }: RunConfig["dataInfo"],
): string | undefined {
  const parts = [own, binarization && describeBinarization(binarization)];
  return parts.filter((part) => part !== undefined).join("; ") || undefined;
}
