export * from "./anchors.ts";
export {
  type AreaRange,
  COCO_AREAS,
  COCO_THRESHOLDS,
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  summariseCoco,
} from "./average-precision.ts";
export * from "./box-coding.ts";
export { boxesOfDeltas, boxesOfDistances, boxesOfYolo } from "./box-decoding.ts";
export * from "./box-formats.ts";
export { type FusionOptions, weightedBoxesFusion } from "./box-fusion.ts";
export { boxLoss, boxOverlap } from "./box-losses.ts";
export * from "./boxes.ts";
export type { ConfusionMatrix, ConfusionOptions } from "./confusion.ts";
export { type DetectionErrors, ERROR_KINDS, type ErrorKind, type ErrorOptions } from "./detection-errors.ts";
export * from "./detections.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./evaluator.ts";
export * from "./letterbox.ts";
export { type NmsOptions, nms } from "./nms.ts";
export type { CurveOptions, DetectionCurve, DetectionCurves } from "./precision-recall.ts";
export { type SoftNmsOptions, type SoftSuppression, softNms } from "./soft-nms.ts";
export type { VocAccuracy, VocOptions } from "./voc.ts";
