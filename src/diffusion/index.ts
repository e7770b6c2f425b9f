export { type DdimOptions, ddim } from "./ddim.ts";
export { type DdpmOptions, ddpm, REVERSE_VARIANCES, type ReverseVariance } from "./ddpm-sampler.ts";
export { type DpmSolverOptions, dpmSolver } from "./dpm-solver.ts";
export { type Churn, type EdmOptions, edm } from "./edm.ts";
export {
  type Curve,
  type CurveFormula,
  GaussianPath,
  type GaussianPathParts,
  type Path,
  type Span,
  type SymbolicPoint,
  stochasticEquation,
} from "./gaussian-path.ts";
export { type LangevinOptions, withLangevinCorrector } from "./langevin-corrector.ts";
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
  CLEAN,
  type KarrasOptions,
  karrasLevels,
  karrasRatios,
  levelsOf,
  logSnrLevels,
  type NoiseLevel,
  type NoiseLevels,
  type PathPoint,
  ratioOf,
  shiftedTimes,
  signalToNoise,
  startingDeviation,
  thenClean,
  towardsNoise,
} from "./noise-level.ts";
export {
  type CosineOptions,
  cosinePath,
  type EdmPathOptions,
  edmPath,
  linearPath,
  PATHS,
  type PathName,
  subVariancePreservingPath,
  trigonometricPath,
  type VarianceExplodingOptions,
  type VariancePreservingOptions,
  varianceExplodingPath,
  variancePreservingPath,
} from "./path.ts";
export {
  convertPrediction,
  edmInput,
  PREDICTIONS,
  type Prediction,
  type PredictionOptions,
  type PredictionPoint,
  predictionChange,
  predictionTarget,
} from "./prediction.ts";
export { type ProbabilityFlowOptions, probabilityFlow, probabilityFlowVelocity } from "./probability-flow.ts";
export { RectifiedFlow, rectifiedFlowDefinition } from "./rectified-flow.ts";
export {
  type RectifiedFlowOptions,
  type RectifiedFlowSampleOptions,
  rectifiedFlowOptions,
  rectifiedFlowSampleOptions,
} from "./rectified-flow-options.ts";
export { type ReverseSdeOptions, reverseSde } from "./reverse-sde.ts";
export {
  alphaBars,
  BETA_SCHEDULES,
  type BetaOptions,
  type BetaSchedule,
  betas,
  DiscreteSchedule,
  zeroTerminalSnr,
} from "./schedule.ts";
export {
  normalRows,
  type RunTableOptions,
  runTable,
  type SymbolicDenoiser,
  samplerGraph,
} from "./solver-session.ts";
export {
  type Denoised,
  type Denoiser,
  hasMemory,
  type InterpretOptions,
  interpretTable,
  isStochastic,
  ROW_COLUMNS,
  type RowNoise,
  rowArray,
  type SolverRow,
  type SolverTable,
} from "./solver-table.ts";
export { type LogitNormal, sampleTimes, TIME_SAMPLINGS, type TimeSampling } from "./time-sampling.ts";
export { checkedSteps, STEP_SPACINGS, type StepSpacing, selectSteps } from "./time-steps.ts";
export { type StepShare, stepShare } from "./transition.ts";
export {
  type Decoder,
  gaussianKl,
  priorTerm,
  type StepTerm,
  stepTerm,
  type VariationalBoundOptions,
  variationalBound,
} from "./variational-bound.ts";
export type { VelocityNetwork } from "./velocity-network.ts";
export { lossWeight, WEIGHTINGS, type Weighting, type WeightingOptions } from "./weighting.ts";
