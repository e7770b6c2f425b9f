// How like synthetic tables are to real ones.
export {
  type Boosting,
  type BoostingOptions,
  type BoostingRows,
  type BoostingTarget,
  boosting,
} from "./boosting.ts";
export {
  type ColumnCells,
  columnPairs,
  type LevelCells,
  levelCounts,
  type NumberCells,
  pickCells,
  type TableCells,
} from "./cells.ts";
export {
  boundaryAdherence,
  categoryCoverage,
  columnCoverage,
  columnShape,
  ksComplement,
  missingSimilarity,
  rangeCoverage,
  tvComplement,
} from "./columns.ts";
export { type DesignKind, type DesignRows, designOf } from "./design.ts";
export { contingencySimilarity, correlation, correlationSimilarity, pairTrend } from "./pairs.ts";
export { closestDistances, type TablePrivacy, tablePrivacy } from "./privacy.ts";
export {
  type ColumnSimilarity,
  type PairSimilarity,
  type TableSimilarity,
  type TableSimilarityOptions,
  tableSimilarity,
} from "./similarity.ts";
export { determination, macroF1, type TargetScores, trainOnSynthetic } from "./target.ts";
export {
  foldAreas,
  type TableClassifier,
  type TableTwoSample,
  type TableTwoSampleOptions,
  tableTwoSampleTest,
  treeClassifier,
} from "./two-sample.ts";
