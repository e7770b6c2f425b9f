export type { BoundParts, ChainScoreOptions } from "./density/chain-score.ts";
export type { FlowDensityOptions } from "./density/flow.ts";
export {
  type EndDensity,
  flowLogDensity,
  gaussianEnd,
  type Integration,
  type TracedCourse,
  type TracedVelocity,
  tracedCourse,
  withDifferenceDivergence,
} from "./density/likelihood.ts";
export { GaussianMixture, type MixtureComponent, type MixturePosterior } from "./density/mixture.ts";
export {
  type Decoder,
  gaussianKl,
  priorTerm,
  type StepTerm,
  stepTerm,
  type VariationalBoundOptions,
  variationalBound,
} from "./density/variational.ts";
export { Ddpm, type DdpmModelOptions, ddpmDefinition, ddpmOptions } from "./models/ddpm.ts";
export {
  DiffusionModel,
  type DiffusionParts,
  diffusionPreferences,
  type Preconditioning,
} from "./models/diffusion-model.ts";
export {
  DistilledFlow,
  type DistilledFlowOptions,
  distilledFlowDefinition,
  distilledFlowOptions,
} from "./models/distilled-flow.ts";
export { Edm, type EdmModelOptions, edmDefinition, edmOptions } from "./models/edm.ts";
export {
  measureStraightness,
  RectifiedFlow,
  type RectifiedFlowOptions,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
} from "./models/rectified-flow.ts";
export {
  RectifiedTransport,
  type RectifiedTransportOptions,
  rectifiedTransportDefinition,
  rectifiedTransportOptions,
} from "./models/rectified-transport.ts";
export { ScoreSde, type ScoreSdeOptions, scoreSdeDefinition, scoreSdeOptions } from "./models/score-sde.ts";
export { ClassCondition, type ClassOptions, type Condition } from "./objective/condition.ts";
export type { DiffusionNetwork, NetworkOptions } from "./objective/network.ts";
export { DataUnits } from "./objective/network.ts";
export {
  denoisingLoss,
  lossWeight,
  type NoisyBatch,
  type Objective,
  type Predicted,
  slicedLoss,
  WEIGHTINGS,
  type Weighting,
  type WeightingOptions,
} from "./objective/objective.ts";
export {
  convertPrediction,
  edmInput,
  PREDICTIONS,
  type Prediction,
  type PredictionOptions,
  type PredictionPoint,
  predictionChange,
  predictionTarget,
} from "./objective/prediction.ts";
export {
  COUPLINGS,
  type Coupling,
  coupledNoise,
  logNormalTimes,
  logRatioTimes,
  sampleTimes,
  stepTimes,
  TIME_SAMPLINGS,
  type TimeSampling,
  type TimeSamplingOptions,
} from "./objective/training.ts";
export {
  type Curve,
  type CurveFormula,
  GaussianPath,
  type GaussianPathParts,
  type Path,
  type Span,
  type SymbolicPoint,
  stochasticEquation,
} from "./path/gaussian.ts";
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
} from "./path/noise-level.ts";
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
} from "./path/paths.ts";
export {
  alphaBars,
  BETA_SCHEDULES,
  type BetaOptions,
  type BetaSchedule,
  betas,
  DiscreteSchedule,
  zeroTerminalSnr,
} from "./path/schedule.ts";
export type { DiffusionCore, FollowOptions, NetworkViews } from "./solver/follow.ts";
export {
  checkedSteps,
  evenLevels,
  evenSamplerLevels,
  type Process,
  type SolverSubject,
  SPACINGS,
  type Spacing,
  STEP_SPACINGS,
  type StepSpacing,
  samplerEnds,
  samplerLevels,
  selectSteps,
} from "./solver/levels.ts";
export {
  type DiffusionSampleOptions,
  diffusionSampleOptions,
  SOLVERS,
  type SolverInput,
  type SolverName,
  type SolverSettings,
  solverOptions,
} from "./solver/options.ts";
export {
  type Churn,
  type DdimOptions,
  type DdpmOptions,
  type DpmSolverOptions,
  ddim,
  ddpm,
  dpmSolver,
  type EdmOptions,
  edm,
  type LangevinOptions,
  type ProbabilityFlowOptions,
  probabilityFlow,
  probabilityFlowVelocity,
  REVERSE_VARIANCES,
  type ReverseSdeOptions,
  type ReverseVariance,
  reverseSde,
  type StepShare,
  stepShare,
  withLangevinCorrector,
} from "./solver/samplers.ts";
export {
  normalRows,
  type RunTableOptions,
  runTable,
  type SymbolicDenoiser,
  samplerGraph,
} from "./solver/session.ts";
export {
  type FlowPlan,
  type SamplerPlan,
  type SolverDefinition,
  samplerPlan,
  solvers,
  solversFor,
} from "./solver/solvers.ts";
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
} from "./solver/table.ts";
export { angularFlow } from "./tasks/encoding.ts";
export { type RepaintOptions, type RepaintPlan, repaint } from "./tasks/inpainting.ts";
