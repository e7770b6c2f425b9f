export { sampleStatesOf, writeAnimation } from "./animate.node.ts";
export {
  type AnomalyMeasures,
  type AnomalyRanking,
  rankAnomalies,
} from "./anomaly.node.ts";
export {
  decodeCodes,
  decodeRun,
  type EncodeOptions,
  encodeRun,
  encodeSamples,
} from "./codec.node.ts";
export { type CodeBatch, readCodes, writeCodes } from "./codes.node.ts";
export {
  type CompareHooks,
  type CompareModel,
  type CompareOutcome,
  type CompareProgress,
  type CompareRequest,
  type Comparison,
  compare,
} from "./compare.node.ts";
export { loadDefinition } from "./definition.node.ts";
export {
  type DetectedImage,
  type DetectFilesOptions,
  detectFiles,
  usualConfidence,
} from "./detect.node.ts";
export { DetectionWriter } from "./detect-write.node.ts";
export {
  type DetectionEvaluation,
  type DetectionEvaluationOptions,
  evaluateDetector,
} from "./detection-eval.node.ts";
export { annotatedData, type DetectorRun, detectorRun, openDetectorRun } from "./detection-run.node.ts";
export { DistanceMeter, type DistanceOptions, type Extent } from "./distances.node.ts";
export { editRun } from "./edit.node.ts";
export { type Evaluation, type EvaluationOptions, evaluateRun, type MeanTerm } from "./eval.node.ts";
export { type ExportSummary, exportRun } from "./export.node.ts";
export { type FitHooks, type FitRequest, fit, resumeFit } from "./fit.node.ts";
export type { GivenValues } from "./given.node.ts";
export { findImages, type ImagePath } from "./image-paths.node.ts";
export { type Imputation, type ImputeCounts, type ImputeOptions, imputeTable } from "./impute.node.ts";
export { type IncompleteImages, inpaintRun, knownMask, type Region } from "./inpaint.node.ts";
export { type CodePath, type InterpolateOptions, interpolateRun } from "./interpolate.node.ts";
export { MEASURES, type Measure, type MeasureName, type SampleDistance } from "./measures.ts";
export { drawRunPairs, fitToPairs, type PairFitRequest, type RunPairOptions } from "./reflow.node.ts";
export { type OpenRun, type OpenRunOptions, openRun, runData } from "./run.node.ts";
export { sampleRun, writeSamples } from "./sample.node.ts";
export { type ScoreBatch, type ScoreOptions, score } from "./score.node.ts";
export { translateRun } from "./translate.node.ts";
