export {
  type ClassifierTest,
  type ClassifierTestOptions,
  classifierTwoSampleTest,
} from "./classifier-test.ts";
export { DIGIT_FEATURES, DigitClassifier, DigitFeatureNetwork, type DigitViews } from "./digit-features.ts";
export {
  type Discrepancy,
  type DiscrepancyOptions,
  energyDistance,
  maximumMeanDiscrepancy,
} from "./discrepancy.ts";
export {
  frechetDistance,
  frechetDistanceOfGaussians,
  type Gaussian,
  type MomentErrors,
  momentErrors,
} from "./frechet.ts";
export type { Kernel } from "./kernels.ts";
export {
  bitsPerDimension,
  type MeanLikelihood,
  meanLikelihood,
  type Parzen,
  type ParzenOptions,
  parzenLogLikelihood,
} from "./likelihood.ts";
export { type Memorization, memorization } from "./memorization.ts";
export {
  type DensityCoverage,
  densityCoverage,
  kNearestRows,
  type ManifoldOptions,
  type NearestRows,
  type PrecisionRecall,
  precisionRecall,
} from "./neighbors.ts";
export { areaUnderRoc, averagePrecision, descendingOrder } from "./roc.ts";
export type { Rows } from "./rows.ts";
export {
  alongAxes,
  type PrincipalAxes,
  type PrincipalComponents,
  principalAxes,
  principalComponents,
  type SymmetricEigen,
  symmetricEigen,
  symmetricEigenvalues,
} from "./symmetric-eigen.ts";
export {
  type Boosting,
  type BoostingOptions,
  type BoostingRows,
  type BoostingTarget,
  boosting,
  boundaryAdherence,
  type ColumnCells,
  type ColumnSimilarity,
  categoryCoverage,
  closestDistances,
  columnCoverage,
  columnShape,
  contingencySimilarity,
  correlation,
  correlationSimilarity,
  ksComplement,
  type LevelCells,
  missingSimilarity,
  type NumberCells,
  type PairSimilarity,
  pairTrend,
  rangeCoverage,
  type TableCells,
  type TableClassifier,
  type TablePrivacy,
  type TableSimilarity,
  type TableSimilarityOptions,
  type TableTwoSample,
  type TableTwoSampleOptions,
  type TargetScores,
  tablePrivacy,
  tableSimilarity,
  tableTwoSampleTest,
  trainOnSynthetic,
  treeClassifier,
  tvComplement,
} from "./table/index.ts";
export type { Shipment } from "./transport.ts";
export { type Assignment, assign } from "./transport.ts";
export {
  type OptimalTransport,
  type OptimalTransportOptions,
  optimalTransport,
  type SlicedWassersteinOptions,
  slicedWasserstein,
  type Wasserstein1dOptions,
  wasserstein1d,
} from "./wasserstein.ts";
