import { amount } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import { builderOf } from "../../model/definition.ts";
import { sizeAt } from "../../tensor/graph.ts";
import { outputAt } from "../../tensor/index.operations.ts";
import type { Tensor } from "../../tensor/index.ts";
import { viewOptions } from "../augment/views.ts";
import { encoderOptions } from "../encoders/index.ts";
import { centered, diagonal, offDiagonal } from "./agreement.ts";
import { defineEncoder } from "./define.ts";
import { projectorOptions, TwoViewModel, viewNotes } from "./two-views.ts";

/** Added to variances, as in the authors' program. */
const EPSILON = 1e-4;

/** Weights of the three terms. */
export interface VicRegWeights {
  readonly invariance: number;
  readonly variance: number;
  readonly covariance: number;
}

/** The terms, scalars, and their weighted sum. */
export type VicRegTerms = Losses & { readonly [Name in keyof VicRegWeights]: Tensor };

/**
 * Variance, invariance and covariance (Bardes et al. 2022, equations 1 to 6, with the scales of the authors' program): the mean squared difference
 * of two views' vectors; how far the deviation of each number over the batch is below 1, max(0, 1 − √(Var + ε)), the mean of both views; and
 * the squares of the covariances between numbers, summed and divided by their count d, of both views. Variances and covariances are divided by
 * n − 1; of a single sample they are 0.
 * @param a, b vectors of two views, [n, d]
 */
export function vicRegLoss(a: Tensor, b: Tensor, weights: VicRegWeights): VicRegTerms {
  const [n, d] = [sizeAt("vicRegLoss", a, 0), sizeAt("vicRegLoss", a, 1)];
  const each = [a, b].map((z) => {
    const z0 = centered(z);
    const covariances = z0.matmul(z0, { transposeA: true }).mul(1 / Math.max(1, n - 1));
    const deviation = diagonal(covariances).add(EPSILON).sqrt();
    return {
      hinge: deviation.neg().add(1).relu().mean(),
      mixed: offDiagonal(covariances)
        .square()
        .sum()
        .mul(1 / d),
    };
  });
  const [first, second] = [outputAt(each, 0), outputAt(each, 1)];
  const invariance = a.sub(b).square().mean();
  const variance = first.hinge.add(second.hinge).mul(0.5);
  const covariance = first.mixed.add(second.mixed);
  const total = invariance
    .mul(weights.invariance)
    .add(variance.mul(weights.variance))
    .add(covariance.mul(weights.covariance));
  return { total, invariance, variance, covariance };
}

/** Options of VICReg. */
export const vicRegOptions = encoderOptions.extend({
  ...projectorOptions({ projectorWidth: 256, projectorLayers: 2, projectorSize: 256 }),
  invariance: amount().default(25).describe("weight λ of the difference between two views"),
  variance: amount()
    .default(25)
    .describe("weight μ of deviations below 1, which keeps codes from becoming the same"),
  covariance: amount()
    .default(1)
    .describe("weight ν of covariances, which keeps numbers from saying the same"),
  ...viewOptions.shape,
});

/** VICReg (Bardes et al. 2022) as the catalogue knows it. */
export const vicRegDefinition = defineEncoder({
  name: "vicreg",
  summary: "VICReg: features by equal codes of two views, whose numbers vary and do not correlate",
  paper:
    "Bardes, Ponce and LeCun 2022, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning, arXiv:2105.04906",
  options: vicRegOptions,
  model: (options, data) => new TwoViewModel(options, data, (a, b) => vicRegLoss(a, b, options)),
  notes: viewNotes,
  preferences: () => ({ learningRate: 2e-3, batchSize: 256 }),
});

/** VICReg for data. @throws OptionError where options do not fit the data */
export const vicReg = builderOf(vicRegDefinition);
