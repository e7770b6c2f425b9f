import { OptionError } from "../errors.ts";
import type { ReverseVariance } from "./ddpm-sampler.ts";
import type { GaussianPath } from "./gaussian-path.ts";
import type { Prediction } from "./prediction.ts";
import { type Ends, isContinuous, type Process } from "./sampler-levels.ts";

/** What a solver must know of a model. */
export interface SolverSubject {
  readonly process: Process;
  readonly prediction: Prediction;
  /** Variance of ancestral steps unless told; `learned` where the network tells it. */
  readonly variance: ReverseVariance;
}

/** Predictions that tell the data also where there is none left in the state. */
const TELLS_DATA_IN_NOISE: readonly Prediction[] = ["data", "v", "velocity", "edm"];

/** The ends between which a sampler works: solvers that divide by α begin where there is some data. */
export function samplerEnds({ process, prediction }: SolverSubject, dividesByAlpha = false): Ends {
  if (!isContinuous(process)) return { noisy: 1, clean: 1 / process.steps };
  const { span } = process;
  return {
    noisy: !dividesByAlpha && TELLS_DATA_IN_NOISE.includes(prediction) ? 1 : span.noisy,
    clean: process.at(0).sigma === 0 ? span.clean : 0,
  };
}

/** Where the velocity of the flow is followed to, and whether noise is left there that the estimate takes away. */
export function flowEnd({ process, prediction }: SolverSubject): {
  readonly to: number;
  readonly denoise: boolean;
} {
  const path = pathOf(process);
  if (path.at(0).sigma > 0) return { to: 0, denoise: true };
  // A network of velocities has one at time 0 too; any other divides by the noise.
  return prediction === "velocity" ? { to: 0, denoise: false } : { to: path.span.clean, denoise: true };
}

/** Where a density begins on paths that have no noise at time 0, nearer to data than samples end (Song et al. 2021, appendix D.2). */
const DENSITY_TIME = 1e-5;

/** The times between which the flow of a model is followed for a density. */
export function flowSpan(subject: SolverSubject): Ends {
  const { to, denoise } = flowEnd(subject);
  const path = pathOf(subject.process);
  return {
    noisy: samplerEnds(subject).noisy,
    clean: denoise && path.at(0).sigma === 0 ? DENSITY_TIME : to,
  };
}

export function pathOf(process: Process): GaussianPath {
  if (isContinuous(process)) return process;
  throw new OptionError("a chain of steps has no differential equation");
}
