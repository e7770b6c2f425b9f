export type { VideoFrame } from "../data/image/video.node.ts";
export {
  type CompareHooks,
  type CompareModel,
  type CompareOutcome,
  type CompareProgress,
  type CompareRequest,
  type Comparison,
  compare,
} from "./compare/compare.node.ts";
export {
  compareSamplers,
  parseSamplers,
  type SamplerChoice,
  type SamplersHooks,
  type SamplersRequest,
} from "./compare/samplers.node.ts";
export {
  type FitHooks,
  type FitRequest,
  type FitRequestOf,
  fit,
  type OwnFitRequest,
  resumeFit,
} from "./fit/fit.node.ts";
export { fitToPairs, type PairFitRequest, type RunPairOptions } from "./fit/reflow.node.ts";
export { type ImportRequest, type ImportSummary, importDetector } from "./import/import.node.ts";
export type { DetectionEvaluation, DetectionEvaluationOptions } from "./measure/detection.node.ts";
export type { MeasureOptions, MoreMeasures, RecallBySize } from "./measure/detection-measures.ts";
export type { Evaluation, EvaluationOptions } from "./measure/eval.node.ts";
export {
  type MutualInformationRequest,
  type TableInformation,
  tableInformation,
} from "./measure/mutual-information.node.ts";
export type { ProbeRow, RunProbe, RunProbeOptions } from "./measure/probe.node.ts";
export { cellsOfSamples } from "./measure/table/cells.ts";
export {
  type ColumnImputation,
  type ImputationQuality,
  imputationQuality,
} from "./measure/table/imputation.ts";
export { logisticTableClassifier } from "./measure/table/logistic-classifier.ts";
export {
  judgeSyntheticTable,
  type SyntheticTable,
  type SyntheticTableOptions,
} from "./measure/table/synthetic.ts";
export { type Found, type FoundInFrame, openRun, Run, type RunOf, type Scores } from "./open-run.node.ts";
export { findImages, type ImagePath } from "./run/inputs.node.ts";
export type { SampleInput } from "./run/samples.node.ts";
export type {
  EditRequest,
  EncodeRequest,
  InpaintRequest,
  OpenRunOptions,
  SampleRequest,
} from "./run-options.node.ts";
export type { AnomalyOptions, AnomalyRanking } from "./use/anomalies.node.ts";
export type { DetectFramesOptions } from "./use/detect-video.node.ts";
export type { Embedded, EmbedOptions, FeatureBatch, LayerOptions } from "./use/embed.node.ts";
export type { EmbedFileOptions, EmbedSummary } from "./use/embed-file.node.ts";
export type { Imputation, ImputeOptions } from "./use/impute.node.ts";
export type { Region } from "./use/inpaint.node.ts";
export { type MergeSummary, mergeShards } from "./use/merge.node.ts";
export type { Duplicates, FeatureDistance, NeighborOptions, Neighbors } from "./use/neighbors.node.ts";
export type { CellReason, Reasons, RowReasons } from "./use/reasons.node.ts";
export type { Acceptance } from "./use/sample-where.node.ts";
export type { ScoreBatch, ScoreOptions } from "./use/score.node.ts";
export { ShardFolder, type ShardRecord } from "./use/shards.node.ts";
