export type {
  BatchFeeds,
  BatchSource,
  HeldOut,
  Judge,
  JudgedSamples,
  Rows,
  TrainingBatches,
} from "./batches.ts";
export { Budget } from "./budget.ts";
export { accumulatingPool, type GradientPool } from "./gradient-parts.ts";
export { ParameterLayout } from "./layout.ts";
export { type FitInput, type FitOptions, fitOptions, type ResolvedFitOptions } from "./options.ts";
export { type RunConfig, runConfig } from "./run-config.ts";
export { type BatchShape, type StepGraph, type StepOptions, StepTracer } from "./step.ts";
export { initialVectors, type Snapshot, type StepResult, Trainer, weightsOf } from "./trainer.ts";
