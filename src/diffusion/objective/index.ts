export { ClassCondition, type ClassOptions, type Condition } from "./condition.ts";
export { DataUnits, type DiffusionNetwork, type NetworkOptions } from "./network.ts";
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
} from "./objective.ts";
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
} from "./training.ts";
