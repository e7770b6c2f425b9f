// A model of your own: a mixture of round Gaussians for points and tables. It has a density and a sampler, so that
// `score`, `sample` and `eval` work with it. own-model.ts fits it; the command takes it by its path:
//
//     npx eidos fit examples/gaussian-mixture.ts eight-gaussians --components 16 --steps 400

import type { Density, SampleOptions, Sampler, SymbolicBatch, Trainable } from "eidos/model";
import { defineModel } from "eidos/model";
import { initializers } from "eidos/nn";
import { Random, type Session } from "eidos/program";
import { gather, type NdArray, normal, Parameter, type Tensor, uniform } from "eidos/tensor";
import { z } from "zod";

class GaussianMixture implements Trainable, Density, Sampler {
  readonly likelihood = "exact";
  readonly mean: Parameter; // [components, dimensions]
  readonly logScale: Parameter; // [components]
  readonly logit: Parameter; // [components]

  constructor(components: number, dimensions: number) {
    this.mean = new Parameter([components, dimensions], initializers.normal(2));
    this.logScale = new Parameter([components], initializers.zeros);
    this.logit = new Parameter([components], initializers.zeros);
  }

  /** log Σ_k softmax(logit)_k N(x | mean_k, scale_k² I): [n, dimensions] → [n]. */
  logProb(x: Tensor): Tensor {
    const [, dimensions = 0] = this.mean.shape;
    const distance = x.unsqueeze(1).sub(this.mean).square().sum(2); // [n, components]
    const exponent = distance.mul(this.logScale.mul(-2).exp()).mul(-0.5);
    const logVolume = this.logScale.add(0.5 * Math.log(2 * Math.PI)).mul(dimensions);
    return exponent.sub(logVolume).add(this.logit.logSoftmax(0)).logSumExp(1);
  }

  loss({ x }: SymbolicBatch) {
    return { total: this.logProb(x).mean().neg() };
  }

  async sample(session: Session, { count, seed }: SampleOptions): Promise<NdArray<"float32">> {
    const [components = 0, dimensions = 0] = this.mean.shape;
    const draw = session.compiled(this, `sample ${count}`, [], () => {
      const gumbel = uniform([count, components]).log().neg().log().neg();
      const chosen = gumbel.add(this.logit).argMax(1); // a draw from softmax(logit)
      const scale = gather(this.logScale, chosen).exp().unsqueeze(1);
      return { x: normal([count, dimensions]).mul(scale).add(gather(this.mean, chosen)) };
    });
    const { x } = await draw.run({}, { random: new Random(seed) });
    return x as NdArray<"float32">;
  }
}

export default defineModel({
  name: "gaussian-mixture",
  summary: "a mixture of round Gaussians",
  paper: "Pearson 1894, Contributions to the mathematical theory of evolution",
  dataKinds: ["points", "table"],
  can: ["sample", "score"],
  options: z.strictObject({ components: z.int().min(1).default(8).describe("Gaussians in the mixture") }),
  build: ({ components }, { sampleShape }) => new GaussianMixture(components, sampleShape[0] ?? 1),
  preferences: () => ({ learningRate: 0.05, batchSize: 512 }),
});
