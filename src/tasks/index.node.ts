export {
  type CompareHooks,
  type CompareModel,
  type CompareOutcome,
  type CompareProgress,
  type CompareRequest,
  type Comparison,
  compare,
} from "./compare/compare.node.ts";
export { type ExportSummary, exportRun } from "./export/export.node.ts";
export { type FitHooks, type FitRequest, fit, resumeFit } from "./fit/fit.node.ts";
export { drawRunPairs, fitToPairs, type PairFitRequest, type RunPairOptions } from "./fit/reflow.node.ts";
export {
  type DetectionEvaluation,
  type DetectionEvaluationOptions,
  evaluateDetector,
} from "./measure/detection.node.ts";
export { DistanceMeter, type DistanceOptions, type Extent } from "./measure/distances.node.ts";
export { type Evaluation, type EvaluationOptions, evaluateRun, type MeanTerm } from "./measure/eval.node.ts";
export { MEASURES, type Measure, type MeasureName, type SampleDistance } from "./measure/measures.ts";
export { loadDefinition } from "./run/definition.node.ts";
export type { GivenValues } from "./run/given.node.ts";
export { findImages, type ImagePath } from "./run/inputs.node.ts";
export {
  annotatedData,
  type DetectorRun,
  detectorRun,
  type OpenRun,
  type OpenRunOptions,
  openDetectorRun,
  openRun,
  runData,
} from "./run/run.node.ts";
export {
  type CodeBatch,
  decodeCodes,
  decodeRun,
  type EncodeOptions,
  encodeRun,
  encodeSamples,
  readCodes,
  writeCodes,
} from "./use/codes.node.ts";
export {
  type DetectedImage,
  type DetectFilesOptions,
  DetectionWriter,
  detectFiles,
  usualConfidence,
} from "./use/detect.node.ts";
export { editRun, translateRun } from "./use/edit.node.ts";
export { type Imputation, type ImputeCounts, type ImputeOptions, imputeTable } from "./use/impute.node.ts";
export { type IncompleteImages, inpaintRun, knownMask, type Region } from "./use/inpaint.node.ts";
export { type CodePath, type InterpolateOptions, interpolateRun } from "./use/interpolate.node.ts";
export { sampleRun, sampleStatesOf, writeAnimation, writeSamples } from "./use/sample.node.ts";
export {
  type AnomalyMeasures,
  type AnomalyRanking,
  rankAnomalies,
  type ScoreBatch,
  type ScoreOptions,
  score,
} from "./use/score.node.ts";
