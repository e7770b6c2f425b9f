export { BOUNDS, type Bound, type BoundDefinition, type BoundName, type Side } from "./bounds.ts";
export { buildCritic, type Critic, type CriticKind, type CriticOptions } from "./critics.ts";
export {
  ESTIMATORS,
  type EstimateWatch,
  type EstimatorName,
  type MutualInformation,
  type MutualInformationOptions,
  mutualInformation,
} from "./estimate.ts";
export { ksgMutualInformation } from "./ksg.ts";
export {
  type ContrastedDensities,
  negativeSamplingLoss,
  noiseContrastiveLoss,
} from "./noise-contrastive.ts";
export { type PairedRows, pairedRows } from "./pairs.ts";
export { gaussianMutualInformation, histogramMutualInformation } from "./references.ts";
