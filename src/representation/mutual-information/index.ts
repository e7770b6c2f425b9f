export { BOUNDS, type Bound, type BoundDefinition, type BoundName, type Side } from "./bounds.ts";
export { buildCritic, type Critic, type CriticKind, type CriticOptions } from "./critics.ts";
export { type EstimateWatch, type MutualInformation, mutualInformation } from "./estimate.ts";
export { ksgMutualInformation } from "./ksg.ts";
export {
  type ContrastedDensities,
  negativeSamplingLoss,
  noiseContrastiveLoss,
} from "./noise-contrastive.ts";
export { ESTIMATORS, type EstimatorName, type MutualInformationOptions } from "./options.ts";
export { type PairedRows, pairedRows } from "./pairs.ts";
export { gaussianMutualInformation, histogramMutualInformation } from "./references.ts";
