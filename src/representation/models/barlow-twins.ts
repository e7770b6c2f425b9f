import { amount } from "../../bounds.ts";
import type { Losses } from "../../model/capabilities.ts";
import { builderOf } from "../../model/definition.ts";
import { sizeAt } from "../../tensor/graph.ts";
import type { Tensor } from "../../tensor/index.ts";
import { viewOptions } from "../augment/views.ts";
import { encoderOptions } from "../encoders/index.ts";
import { centered, diagonal, offDiagonal } from "./agreement.ts";
import { defineEncoder } from "./define.ts";
import { projectorOptions, TwoViewModel, viewNotes } from "./two-views.ts";

/** Added to variances, as batch normalization does. */
const EPSILON = 1e-5;

/** The terms, scalars, and their weighted sum. */
export type BarlowTerms = Losses & { readonly invariance: Tensor; readonly redundancy: Tensor };

/** Numbers to mean 0 and variance 1 over the batch. */
function standardized(z: Tensor): Tensor {
  const z0 = centered(z);
  return z0.div(z0.square().mean(0, true).add(EPSILON).sqrt());
}

/**
 * The loss of Barlow Twins (Zbontar et al. 2021, equation 1): the cross-correlation C of two views' numbers over the batch is to be the
 * identity, Σᵢ (1 − Cᵢᵢ)² + λ Σ_(i ≠ j) Cᵢⱼ².
 * @param a, b vectors of two views, [n, d]
 * @param redundancy λ
 */
export function barlowLoss(a: Tensor, b: Tensor, redundancy: number): BarlowTerms {
  const n = sizeAt("barlowLoss", a, 0);
  const correlations = standardized(a)
    .matmul(standardized(b), { transposeA: true })
    .mul(1 / n);
  const invariance = diagonal(correlations).neg().add(1).square().sum();
  const mixed = offDiagonal(correlations).square().sum();
  return { total: invariance.add(mixed.mul(redundancy)), invariance, redundancy: mixed };
}

/** Options of Barlow Twins. */
export const barlowTwinsOptions = encoderOptions.extend({
  ...projectorOptions({ projectorWidth: 256, projectorLayers: 2, projectorSize: 256 }),
  redundancy: amount()
    .default(0.005)
    .describe("weight λ of correlations between different numbers of two views"),
  ...viewOptions.shape,
});

/** Barlow Twins (Zbontar et al. 2021) as the catalogue knows it. */
export const barlowTwinsDefinition = defineEncoder({
  name: "barlow-twins",
  summary: "Barlow Twins: features of two views whose cross-correlation is the identity",
  paper:
    "Zbontar, Jing, Misra, LeCun and Deny 2021, Barlow Twins: Self-Supervised Learning via Redundancy Reduction, arXiv:2103.03230",
  options: barlowTwinsOptions,
  model: (options, data) => new TwoViewModel(options, data, (a, b) => barlowLoss(a, b, options.redundancy)),
  notes: viewNotes,
  preferences: () => ({ learningRate: 2e-3, batchSize: 256 }),
});

/** Barlow Twins for data. @throws OptionError where options do not fit the data */
export const barlowTwins = builderOf(barlowTwinsDefinition);
