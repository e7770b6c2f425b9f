import {
  type Base,
  type FlowModel,
  gaussian,
  maf,
  mafOptions,
  realNvp,
  realNvpOptions,
} from "../flows/index.ts";
import type { DataInfo } from "../nn/model.ts";
import type { Random } from "../random.ts";
import type { Tensor } from "../tensor/index.ts";

/** p(z): standard Gaussian, or a flow that learns along. */
export const PRIORS = ["gaussian", "real-nvp", "maf"] as const;

export type PriorName = (typeof PRIORS)[number];

/** A normalising flow over codes as their prior (Chen et al. 2017, "Variational Lossy Autoencoder", section 3.2). */
export class FlowPrior implements Base {
  readonly flow: FlowModel;

  constructor(flow: FlowModel) {
    this.flow = flow;
  }

  logProb(z: Tensor): Tensor {
    return this.flow.continuousLogProb(z);
  }

  noiseSize(dimensions: number): number {
    return this.flow.base.noiseSize(dimensions);
  }

  drawNoise(target: Float32Array, random: Random): void {
    this.flow.base.drawNoise(target, random);
  }

  noise(rows: number, dimensions: number): Tensor {
    return this.flow.base.noise(rows, dimensions);
  }

  fromNoise(noise: Tensor, temperature?: Tensor): Tensor {
    return this.flow.decode(this.flow.base.fromNoise(noise, temperature));
  }
}

export interface PriorOptions {
  /** L. */
  readonly latentSize: number;
  /** Couplings of `real-nvp`, or blocks of `maf`. */
  readonly transforms: number;
  /** Units of a hidden layer of their networks. */
  readonly width: number;
}

/** A prior by name. @throws OptionError where codes of one number are to go through couplings */
export function priorOf(name: PriorName, { latentSize, transforms, width }: PriorOptions): Base {
  const codes: DataInfo = { kind: "points", sampleShape: [latentSize] };
  switch (name) {
    case "gaussian":
      return gaussian;
    case "real-nvp":
      return new FlowPrior(realNvp(realNvpOptions.parse({ couplings: transforms, width }), codes));
    case "maf":
      return new FlowPrior(maf(mafOptions.parse({ blocks: transforms, width }), codes));
  }
}
