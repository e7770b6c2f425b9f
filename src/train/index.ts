export {
  type BatchedData,
  type BatchFeeds,
  type BatchShape,
  type EvaluatedSamples,
  type HeldOut,
  type HeldOutEvaluator,
  heldOut,
  type Rows,
  type TrainData,
  type TrainingBatches,
  trainingBatches,
  type WholeEvaluator,
} from "./batches.ts";
export { accumulatingPool, type GradientPool } from "./gradient-parts.ts";
export { ParameterLayout } from "./layout.ts";
export { Budget, type FitInput, type FitOptions, fitOptions, type ResolvedFitOptions } from "./options.ts";
export { type RunConfig, runConfig } from "./run-config.ts";
export type { StageBeginning, StagedBatches, StageEntering, StageEntry, StageShare } from "./stages.ts";
export { type StepGraph, type StepOptions, StepTracer } from "./step.ts";
export { Training, type TrainingStep, type TrainOptions, train } from "./train.ts";
export { initialVectors, type Snapshot, type StepResult, Trainer, weightsOf } from "./trainer.ts";
