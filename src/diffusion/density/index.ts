export type { BoundParts, ChainScoreOptions } from "./chain-score.ts";
export type { FlowDensityOptions } from "./flow.ts";
export {
  type EndDensity,
  flowLogDensity,
  gaussianEnd,
  type Integration,
  type TracedCourse,
  type TracedVelocity,
  tracedCourse,
  withDifferenceDivergence,
} from "./likelihood.ts";
export { GaussianMixture, type MixtureComponent, type MixturePosterior } from "./mixture.ts";
export {
  type Decoder,
  gaussianKl,
  priorTerm,
  type StepTerm,
  stepTerm,
  type VariationalBoundOptions,
  variationalBound,
} from "./variational.ts";
