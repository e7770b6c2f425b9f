import { z } from "zod";
import {
  list,
  positiveAmount,
  sampleCount,
  seedNumber,
  share,
  trainingSteps,
  unitCount,
} from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { BOUNDS, type BoundName } from "./bounds.ts";
import { USUAL_NEIGHBORS } from "./ksg.ts";

/** Estimators without a critic. */
export const REFERENCES = ["ksg", "histogram", "gaussian"] as const;

export const ESTIMATORS = [
  ...(Object.keys(BOUNDS) as BoundName[]),
  ...REFERENCES,
] as const satisfies readonly string[];

/** Name of an estimator. */
export type EstimatorName = (typeof ESTIMATORS)[number];

/** Options of an estimate. */
export const mutualInformationOptions = z.strictObject({
  estimator: z
    .enum(ESTIMATORS)
    .default("infonce")
    .describe(
      "mine, donsker-varadhan, nwj, jensen-shannon, infonce, smile, tuba, interpolated and club learn a critic; ksg (nearest neighbors), histogram (one column on each side) and gaussian (linear dependence alone) do not",
    ),
  critic: z
    .enum(["separable", "joint", "bilinear"])
    .default("separable")
    .describe(
      "separable: a product of a network of x and one of y; joint: one network that sees both, for each pair; bilinear: xᵀWy. club has a conditional Gaussian in its place",
    ),
  hidden: unitCount().default(256).describe("units of each of the critic's two hidden layers"),
  embedding: unitCount().default(32).describe("separable: numbers that x and y are mapped to"),
  steps: trainingSteps().default(4000).describe("training steps of the critic, for each seed"),
  batchSize: unitCount(2).default(64).describe("pairs of a batch; all of their combinations are looked at"),
  learningRate: positiveAmount().default(5e-4).describe("learning rate of Adam"),
  decay: share().default(0.99).describe("mine: share of the moving average that each step keeps"),
  clip: positiveAmount().default(5).describe("smile: scores are clipped to ± this in the normalizer"),
  interpolation: share().default(0.01).describe("interpolated: weight of the batch's own normalizer"),
  neighbors: sampleCount().default(USUAL_NEIGHBORS).describe("ksg: nearest neighbors of a row"),
  bins: unitCount(2).optional().describe("histogram: bins of each column (default: cube root of the rows)"),
  validation: share()
    .default(0.1)
    .describe("share of the rows that choose the step at which the critic is best"),
  test: share().default(0.2).describe("share of the rows that the estimate is made on"),
  seeds: list(seedNumber(), 100)
    .min(1)
    .default([0, 1, 2])
    .describe("seeds of held-out rows, weights and batches; the estimate is their mean"),
  permutations: sampleCount(0)
    .default(199)
    .describe("random pairings that the p-value compares with; 0: no p-value"),
});

/** Options of an estimate that are given. */
export type MutualInformationOptions = z.input<typeof mutualInformationOptions>;
/** Options of an estimate, those not given filled in. */
export type Settled = z.output<typeof mutualInformationOptions>;

/** Options that some estimators alone have. */
const OF_SOME: Partial<Record<keyof Settled, (settled: Settled) => boolean>> = {
  critic: ({ estimator }) => learns(estimator) && estimator !== "club",
  embedding: ({ estimator, critic }) => learns(estimator) && estimator !== "club" && critic === "separable",
  hidden: ({ estimator, critic }) => learns(estimator) && (estimator === "club" || critic !== "bilinear"),
  steps: ({ estimator }) => learns(estimator),
  batchSize: ({ estimator }) => learns(estimator),
  learningRate: ({ estimator }) => learns(estimator),
  validation: ({ estimator }) => learns(estimator),
  test: ({ estimator }) => learns(estimator),
  decay: ({ estimator }) => estimator === "mine",
  clip: ({ estimator }) => estimator === "smile",
  interpolation: ({ estimator }) => estimator === "interpolated",
  neighbors: ({ estimator }) => estimator === "ksg",
  bins: ({ estimator }) => estimator === "histogram",
};

function learns(estimator: EstimatorName): boolean {
  return Object.hasOwn(BOUNDS, estimator);
}

/** @throws OptionError where an option is given that the estimator does not have */
export function checkUsed(given: MutualInformationOptions, settled: Settled): void {
  for (const [option, isUsed] of Object.entries(OF_SOME)) {
    if (given[option as keyof Settled] === undefined || isUsed(settled)) continue;
    const { estimator, critic } = settled;
    const whose =
      option === "embedding" || option === "hidden" ? `${estimator} with a ${critic} critic` : estimator;
    throw new OptionError(`option ${option}: is without effect on ${whose}; leave it out`);
  }
}
