export { type Assignment, assign } from "./assignment.ts";
export { bitsPerDimension } from "./bits-per-dimension.ts";
export {
  type ClassifierTest,
  type ClassifierTestOptions,
  classifierTwoSampleTest,
} from "./classifier-test.ts";
export { DIGIT_FEATURES, DigitClassifier, DigitFeatureNetwork, type DigitViews } from "./digit-features.ts";
export { energyDistance } from "./energy-distance.ts";
export { frechetDistance, frechetDistanceOfGaussians, type Gaussian } from "./frechet.ts";
export type { Kernel } from "./kernels.ts";
export { type MeanLikelihood, meanLikelihood } from "./likelihood.ts";
export {
  type DensityCoverage,
  densityCoverage,
  type ManifoldOptions,
  type PrecisionRecall,
  precisionRecall,
} from "./manifold.ts";
export {
  type Discrepancy,
  type DiscrepancyOptions,
  maximumMeanDiscrepancy,
} from "./maximum-mean-discrepancy.ts";
export { type Memorisation, memorisation } from "./memorisation.ts";
export { type MomentErrors, momentErrors } from "./moment-errors.ts";
export {
  type OptimalTransport,
  type OptimalTransportOptions,
  optimalTransport,
} from "./optimal-transport.ts";
export { type Parzen, type ParzenOptions, parzenLogLikelihood } from "./parzen.ts";
export { type PrincipalComponents, principalComponents } from "./principal-components.ts";
export { areaUnderRoc, averagePrecision, descendingOrder } from "./roc.ts";
export { type SymmetricEigen, symmetricEigen, symmetricEigenvalues } from "./symmetric-eigen.ts";
export type { Shipment } from "./transport.ts";
export {
  type SlicedWassersteinOptions,
  slicedWasserstein,
  type Wasserstein1dOptions,
  wasserstein1d,
} from "./wasserstein.ts";
