import { sizeAt } from "../../tensor/graph.ts";
import type { Tensor } from "../../tensor/index.ts";
import { centered, diagonal, offDiagonal } from "./agreement.ts";

/** Added to variances, as batch normalization does. */
const EPSILON = 1e-5;

/** The terms, scalars, and their weighted sum. */
export interface BarlowTerms {
  readonly total: Tensor;
  readonly invariance: Tensor;
  readonly redundancy: Tensor;
}

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
