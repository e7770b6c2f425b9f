export { LargestMatching } from "./assignment.ts";
export {
  COCO_AREAS,
  COCO_THRESHOLDS,
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  type SizeSummary,
  summarizeCoco,
  summarizeSizes,
} from "./coco.ts";
export type { ConfusionMatrix, ConfusionOptions } from "./confusion.ts";
export { type DetectionErrors, ERROR_KINDS, type ErrorKind, type ErrorOptions } from "./errors.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./evaluator.ts";
export { type RocCurve, type RocOptions, ratesAt } from "./fddb.ts";
export type { AreaRange } from "./matching.ts";
export {
  atFalsePositives,
  atRecall,
  type CurveOptions,
  type DetectionCurve,
  type DetectionCurves,
  type OperatingPoint,
} from "./precision-recall.ts";
export { type SizeBin, type SizeRecall, type SizeRecallOptions, sizeBins } from "./sizes.ts";
export type { VocAccuracy, VocOptions } from "./voc.ts";
export type { FaceAccuracy } from "./wider.ts";
