export { type FeatureRows, featureRows, type LabeledFeatures, withLabels } from "./features.ts";
export { type LbfgsOptions, lbfgs, type Minimum, type Objective } from "./lbfgs.ts";
export {
  type LogisticOptions,
  type LogisticRegression,
  logisticRegression,
  predictLogistic,
} from "./logistic.ts";
export { predictNeighbors } from "./neighbors.ts";
export { PROBES, type ProbeName, type ProbeOptions } from "./options.ts";
export {
  type FeatureSplit,
  type FeatureSplits,
  type FewLabels,
  type Probed,
  type ProbeWatch,
  probeFeatures,
} from "./probe.ts";
