import type { NoiseLevel } from "./noise-level.ts";

/** The step from a noise level t to a level s with less noise, given the data. */
export interface StepShare {
  /** Correlation of the noise in x_t with that in x_s: κ = (α_t σ_s) / (α_s σ_t). */
  readonly kept: number;
  /** 1 − κ²: share of the variance σ_t² that the step from s to t added, σ²_{t|s} / σ_t². Negative where s is noisier. */
  readonly renewed: number;
}

/**
 * Correlation of the noise of two levels. With it the posterior q(x_s | x_t, x₀) of DDPM (Ho et al. 2020, equations 6 and 7) on
 * any Gaussian path has the mean κ (σ_s / σ_t) x_t + α_s (1 − κ²) x₀ and the variance (1 − κ²) σ_s².
 */
export function stepShare(t: NoiseLevel, s: NoiseLevel): StepShare {
  const kept = (t.alpha * s.sigma) / (s.alpha * t.sigma);
  return { kept, renewed: (1 - kept) * (1 + kept) };
}
