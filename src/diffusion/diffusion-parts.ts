import type { DataInfo, FitPreferences } from "../nn/model.ts";
import type { Tensor } from "../tensor/index.ts";
import type { ClassOptions } from "./condition.ts";
import type { Coupling } from "./coupling.ts";
import type { ReverseVariance } from "./ddpm-sampler.ts";
import type { SymbolicPoint } from "./gaussian-path.ts";
import type { NetworkOptions } from "./network.ts";
import type { Objective } from "./objective.ts";
import type { Prediction, PredictionOptions } from "./prediction.ts";
import type { SolverName } from "./sample-options.ts";
import type { Process } from "./sampler-levels.ts";

/** How a network is called with a state at a point: c_in and c_noise of Karras et al. 2022, table 1. */
export interface Preconditioning {
  /** The factor of the state. */
  readonly scale?: (point: SymbolicPoint) => Tensor;
  /** What the network is told in place of the time, of the shape of the point's quantities. */
  readonly time?: (point: SymbolicPoint) => Tensor;
}

/** The choices a diffusion model is made of. */
export interface DiffusionParts {
  readonly options: NetworkOptions & ClassOptions;
  /** How data turns to noise. */
  readonly process: Process;
  /** What the network says. */
  readonly prediction: Prediction;
  readonly predictionOptions?: PredictionOptions;
  readonly preconditioning?: Preconditioning;
  /** Training times of a batch, [count]. */
  readonly times: (count: number) => Tensor;
  readonly objective: Objective;
  /**
   * Variance of the steps of ancestral sampling, lower unless told; where it is learned the network tells it in as many
   * numbers again.
   */
  readonly variance?: ReverseVariance;
  /** independent unless told. */
  readonly coupling?: Coupling;
  /** Whether bytes are trained on with uniform noise between them, as likelihoods are of. */
  readonly dequantise?: boolean;
  /** How samples are drawn unless told. */
  readonly sampling: {
    readonly solver: SolverName;
    /** Of that solver; others have their own. */
    readonly steps: number;
    /** Whether estimates of images are clipped; false unless told. */
    readonly clip?: boolean;
  };
}

/** Times [n] in a shape that broadcasts to states [n, …]. */
export function spreadOver(time: Tensor, x: Tensor): Tensor {
  return time.reshape([time.shape[0] ?? 1, ...x.shape.slice(1).map(() => 1)]);
}

/** Training options that diffusion models prefer. */
export function diffusionPreferences({ kind }: DataInfo): FitPreferences {
  return kind === "image"
    ? {
        optimiser: "adam",
        learningRate: 2e-3,
        batchSize: 32,
        averageDecay: 0.995,
        warmupSteps: 30,
        clipNorm: 1,
      }
    : { optimiser: "adam", learningRate: 4e-3, batchSize: 512, averageDecay: 0.998, warmupSteps: 100 };
}
