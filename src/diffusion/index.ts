export { angularFlow } from "./angular-flow.ts";
export type { BoundParts, ChainScoreOptions } from "./chain-score.ts";
export { ClassCondition, type ClassOptions, type Condition } from "./condition.ts";
export { COUPLINGS, type Coupling, coupledNoise } from "./coupling.ts";
export { type DdimOptions, ddim } from "./ddim.ts";
export { Ddpm, type DdpmModelOptions, ddpmDefinition, ddpmOptions } from "./ddpm.ts";
export { type DdpmOptions, ddpm, REVERSE_VARIANCES, type ReverseVariance } from "./ddpm-sampler.ts";
export { DiffusionModel, type NetworkViews } from "./diffusion-model.ts";
export { type DiffusionParts, diffusionPreferences, type Preconditioning } from "./diffusion-parts.ts";
export {
  DistilledFlow,
  type DistilledFlowOptions,
  distilledFlowDefinition,
  distilledFlowOptions,
} from "./distilled-flow.ts";
export { type DpmSolverOptions, dpmSolver } from "./dpm-solver.ts";
export { Edm, type EdmModelOptions, edmDefinition, edmOptions } from "./edm.ts";
export { type Churn, type EdmOptions, edm } from "./edm-sampler.ts";
export { evenLevels, evenSamplerLevels } from "./even-levels.ts";
export type { FlowDensityOptions } from "./flow-density.ts";
export type { FollowOptions } from "./follow.ts";
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
export type { DiffusionNetwork, NetworkOptions } from "./network.ts";
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
export { denoisingLoss, type NoisyBatch, type Objective, type Predicted, slicedLoss } from "./objective.ts";
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
export {
  RectifiedFlow,
  type RectifiedFlowOptions,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
} from "./rectified-flow.ts";
export {
  RectifiedTransport,
  type RectifiedTransportOptions,
  rectifiedTransportDefinition,
  rectifiedTransportOptions,
} from "./rectified-transport.ts";
export { type RepaintOptions, type RepaintPlan, repaint } from "./repaint.ts";
export { type ReverseSdeOptions, reverseSde } from "./reverse-sde.ts";
export {
  type DiffusionSampleOptions,
  diffusionSampleOptions,
  SOLVERS,
  type SolverInput,
  type SolverName,
  type SolverSettings,
  solverOptions,
} from "./sample-options.ts";
export { type Process, SPACINGS, type Spacing, samplerLevels } from "./sampler-levels.ts";
export {
  alphaBars,
  BETA_SCHEDULES,
  type BetaOptions,
  type BetaSchedule,
  betas,
  DiscreteSchedule,
  zeroTerminalSnr,
} from "./schedule.ts";
export { ScoreSde, type ScoreSdeOptions, scoreSdeDefinition, scoreSdeOptions } from "./score-sde.ts";
export {
  normalRows,
  type RunTableOptions,
  runTable,
  type SymbolicDenoiser,
  samplerGraph,
} from "./solver-session.ts";
export { type SolverSubject, samplerEnds } from "./solver-subject.ts";
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
export {
  type FlowPlan,
  type SamplerPlan,
  type SolverDefinition,
  samplerPlan,
  solvers,
  solversFor,
} from "./solvers.ts";
export { measureStraightness } from "./straightness.ts";
export {
  logNormalTimes,
  logRatioTimes,
  sampleTimes,
  stepTimes,
  TIME_SAMPLINGS,
  type TimeSampling,
  type TimeSamplingOptions,
} from "./time-sampling.ts";
export { checkedSteps, STEP_SPACINGS, type StepSpacing, selectSteps } from "./time-steps.ts";
export { type StepShare, stepShare } from "./transition.ts";
export { DataUnits } from "./units.ts";
export {
  type Decoder,
  gaussianKl,
  priorTerm,
  type StepTerm,
  stepTerm,
  type VariationalBoundOptions,
  variationalBound,
} from "./variational-bound.ts";
export { lossWeight, WEIGHTINGS, type Weighting, type WeightingOptions } from "./weighting.ts";
