import { expect } from "vitest";
import type { GaussianMixture } from "../../src/diffusion/index.ts";
import type { Denoiser, SolverTable } from "../../src/diffusion/solver/index.ts";
import { maximumMeanDiscrepancy, slicedWasserstein } from "../../src/metrics/index.ts";
import { Random } from "../../src/random.ts";
import type { NdArray } from "../../src/tensor/index.ts";
import { inFloat32, samplesOf } from "./support.ts";

const COUNT = 300;

interface Bound {
  readonly mean: number;
  readonly deviation: number;
}

/** Tells whether samples come from a mixture, by two distances to a set of true samples. */
export class Recovery {
  private readonly mixture: GaussianMixture;
  private readonly truth: NdArray<"float32">;
  private readonly bounds: readonly Bound[];

  constructor(mixture: GaussianMixture) {
    this.mixture = mixture;
    this.truth = inFloat32(mixture.sample(2 * COUNT, new Random(99)));
    // What the distances are for sets that do come from it.
    const trials = Array.from({ length: 10 }, (_, k) =>
      this.distances(inFloat32(mixture.sample(COUNT, new Random(k)))),
    );
    this.bounds = [0, 1].map((metric) => {
      const values = trials.map((pair) => pair[metric] ?? 0);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
      return { mean, deviation: Math.sqrt(square) };
    });
  }

  /** How many deviations the distances of a sampler's samples are above those of true samples. */
  excess(table: SolverTable, denoiser: Denoiser, seed = 5): readonly number[] {
    const samples = samplesOf(table, denoiser, { count: COUNT, dimensions: this.mixture.dimensions, seed });
    return this.distances(inFloat32(samples)).map((distance, metric) => {
      const { mean, deviation } = this.bounds[metric] ?? { mean: 0, deviation: 0 };
      return (distance - mean) / deviation;
    });
  }

  /** Within sampling error: both distances are as among true samples. */
  expectRecovered(table: SolverTable, denoiser: Denoiser): void {
    const [sliced = Number.NaN, discrepancy = Number.NaN] = this.excess(table, denoiser);
    expect(sliced, "sliced Wasserstein distance, deviations").toBeLessThan(4);
    expect(discrepancy, "maximum mean discrepancy, deviations").toBeLessThan(4);
  }

  private distances(samples: NdArray<"float32">): readonly number[] {
    return [
      slicedWasserstein(samples, this.truth, { projections: 64 }),
      maximumMeanDiscrepancy(samples, this.truth).squared,
    ];
  }
}
