export {
  type AreaRange,
  COCO_AREAS,
  COCO_THRESHOLDS,
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  summarizeCoco,
} from "./coco.ts";
export type { ConfusionMatrix, ConfusionOptions } from "./confusion.ts";
export { type DetectionErrors, ERROR_KINDS, type ErrorKind, type ErrorOptions } from "./errors.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./evaluator.ts";
export type { CurveOptions, DetectionCurve, DetectionCurves } from "./precision-recall.ts";
export type { VocAccuracy, VocOptions } from "./voc.ts";
