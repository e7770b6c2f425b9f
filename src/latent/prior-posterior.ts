import { gaussian } from "../flows/densities/index.ts";
import { type Base, type FlowModel, maf, realNvp } from "../flows/index.ts";
import {
  AffineBijection,
  Composition,
  elementOrders,
  type Forward,
  MaskedAutoregressive,
} from "../flows/transforms/index.ts";
import type { DataInfo } from "../model/data-info.ts";
import type { Random } from "../random.ts";
import { type Dim, normal, slice, type Tensor } from "../tensor/index.ts";

/** p(z): standard Gaussian, or a flow that learns along. */
export const PRIORS = ["gaussian", "real-nvp", "maf"] as const;

export type PriorName = (typeof PRIORS)[number];

/** A normalizing flow over codes as their prior (Chen et al. 2017, "Variational Lossy Autoencoder", section 3.2). */
export class FlowPrior implements Base {
  readonly flow: FlowModel;

  constructor(flow: FlowModel) {
    this.flow = flow;
  }

  get hasPlainNoise(): boolean {
    return this.flow.base.hasPlainNoise === true;
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

  noise(rows: Dim, dimensions: number): Tensor {
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
      return new FlowPrior(realNvp({ couplings: transforms, width }, codes));
    case "maf":
      return new FlowPrior(maf({ blocks: transforms, width }, codes));
  }
}

/** Bounds of log-variances, far beyond what training comes to: e²⁰ is well within float32. */
const LOG_VARIANCE_LIMIT = 20;

/** Largest absolute log-scale of one autoregressive step. */
const STEP_LIMIT = 3;

/** A diagonal Gaussian, [n, L] each, and further numbers of an encoder for each sample. */
export interface Encoded {
  readonly mean: Tensor;
  readonly logVariance: Tensor;
  /** For the steps that follow, [n, contextSize]. */
  readonly context: Tensor | undefined;
}

/** Codes drawn from q(z | x), k for each sample. */
export interface DrawnCodes {
  /** [n · k, L], the k of a sample one after the other. */
  readonly z: Tensor;
  /** log q(z | x) in nats, [n, k]. */
  readonly logProb: Tensor;
}

export interface PosteriorOptions {
  /** L. */
  readonly latentSize: number;
  /** Inverse autoregressive steps behind the Gaussian; 0 for none. */
  readonly steps: number;
  /** Units of the hidden layer of each step's masked network. */
  readonly width: number;
  /** Numbers of the encoder that the steps depend on, beside the Gaussian's. */
  readonly contextSize: number;
}

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/** Standard Gaussians [n, k, L]. Rows come first, so that a part of a batch gets the numbers that it would in the whole. */
export function codeNoise(rows: number, draws: number, latentSize: number): Tensor {
  return normal([rows, draws * latentSize]).reshape([rows, draws, latentSize]);
}

/**
 * q(z | x): a diagonal Gaussian z = μ(x) + σ(x) ε (Kingma and Welling 2014, section 2.4), then, where there are any,
 * inverse autoregressive steps z ← z · exp(s) + t, in which s and t are functions of the numbers of z before each and
 * of a context h(x) (Kingma et al. 2016, section 3). log q(z | x) is that of the Gaussian less the sum of the s.
 */
export class Posterior {
  readonly steps: readonly MaskedAutoregressive[];
  private readonly latentSize: number;
  private readonly contextSize: number;

  constructor({ latentSize, steps, width, contextSize }: PosteriorOptions) {
    this.latentSize = latentSize;
    this.contextSize = steps === 0 ? 0 : contextSize;
    this.steps = elementOrders("alternating", steps, latentSize).map(
      (order) =>
        new MaskedAutoregressive(latentSize, new AffineBijection(STEP_LIMIT), {
          hidden: [width],
          order,
          contextSize,
        }),
    );
  }

  /** Numbers that an encoder makes for each sample. */
  get inputs(): number {
    return 2 * this.latentSize + this.contextSize;
  }

  /** Whether q(z | x) is a diagonal Gaussian. */
  get isGaussian(): boolean {
    return this.steps.length === 0;
  }

  /** @param numbers those of an encoder, [n, inputs] */
  divide(numbers: Tensor): Encoded {
    const { latentSize } = this;
    return {
      mean: slice(numbers, 1, 0, latentSize),
      logVariance: slice(numbers, 1, latentSize, 2 * latentSize).clamp(
        -LOG_VARIANCE_LIMIT,
        LOG_VARIANCE_LIMIT,
      ),
      context: this.contextSize === 0 ? undefined : slice(numbers, 1, 2 * latentSize),
    };
  }

  private transform(z: Tensor, context: Tensor | undefined): Forward {
    return new Composition(this.steps).forward(z, context);
  }

  /** Codes from standard Gaussian noise [n, k, L]. */
  draw({ mean, logVariance, context }: Encoded, noise: Tensor): DrawnCodes {
    const [rows = 1, draws = 1] = noise.shape;
    const logDeviation = logVariance.mul(0.5);
    const start = mean.unsqueeze(1).add(noise.mul(logDeviation.exp().unsqueeze(1)));
    const logProb = noise
      .square()
      .mul(-0.5)
      .sum(2)
      .sub(logDeviation.sum(1, true))
      .sub(this.latentSize * HALF_LOG_TWO_PI);
    const z = start.reshape([-1, this.latentSize]);
    if (this.isGaussian) return { z, logProb };
    const { y, logDet } = this.transform(z, context && repeatRows(context, Number(draws)));
    return { z: y, logProb: logProb.sub(logDet.reshape([rows, draws])) };
  }

  /** log q(z | x) of any codes, one for each sample: z [n, L] → [n]. Autoregressive steps are inverted number by number. */
  logProb({ mean, logVariance, context }: Encoded, z: Tensor): Tensor {
    const { x: start, logDet } = new Composition(this.steps).inverse(z, context);
    return start
      .sub(mean)
      .square()
      .mul(logVariance.neg().exp())
      .add(logVariance)
      .mul(-0.5)
      .sum(1)
      .sub(this.latentSize * HALF_LOG_TWO_PI)
      .add(logDet);
  }

  /** The code at the Gaussian's mean, [n, L]: of a Gaussian posterior its mean, otherwise what the steps make of it. */
  center({ mean, context }: Encoded): Tensor {
    return this.isGaussian ? mean : this.transform(mean, context).y;
  }
}

/** Every row `count` times in a row: [n, c] → [n · count, c]. */
export function repeatRows(rows: Tensor, count: number): Tensor {
  if (count === 1) return rows;
  const [n = 1, size = 1] = rows.shape;
  return rows
    .unsqueeze(1)
    .broadcastTo([n, count, size])
    .reshape([Number(n) * count, size]);
}

/**
 * KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²) in nats for each number of the code (Kingma and Welling 2014,
 * appendix B), [n, L].
 */
export function gaussianDivergence(mean: Tensor, logVariance: Tensor): Tensor {
  return mean.square().add(logVariance.exp()).sub(logVariance).sub(1).mul(0.5);
}
