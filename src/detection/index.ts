export * from "./anchors.ts";
export type { Assignment, ObjectRows } from "./assignment.ts";
export { type ColourChange, type ColourMap, colourMap } from "./augment-colour.ts";
export { type Canvas, drawImage } from "./augment-draw.ts";
export { type AugmentOptions, augmentSchema } from "./augment-options.ts";
export { type Placement, placeBox, placeBoxes, type VisibilityRule } from "./augment-placement.ts";
export { drawRecipe, drawRecipeImage, type Recipe, recipeObjects } from "./augment-recipe.ts";
export {
  type AreaRange,
  COCO_AREAS,
  COCO_THRESHOLDS,
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  summariseCoco,
} from "./average-precision.ts";
export type { Backbone, BackboneOptions, FeatureLevel } from "./backbone.ts";
export * from "./box-coding.ts";
export { boxesOfDeltas, boxesOfDistances, boxesOfYolo } from "./box-decoding.ts";
export * from "./box-formats.ts";
export { type FusionOptions, weightedBoxesFusion } from "./box-fusion.ts";
export { boxLoss, boxOverlap } from "./box-losses.ts";
export * from "./boxes.ts";
export {
  CenterNet,
  type CenterNetOptions,
  centerNetDefinition,
  centerNetLosses,
  centerNetOptions,
  heatLoss,
} from "./center-net.ts";
export { type CenterNetTargets, heatRadius, heatTargets } from "./center-net-assignment.ts";
export { type CenterNetOutputs, peaks } from "./center-net-head.ts";
export type { ConfusionMatrix, ConfusionOptions } from "./confusion.ts";
export { CspNet } from "./csp.ts";
export {
  type DetectionBatches,
  type DetectionBatchOptions,
  type DetectionRoom,
  detectionBatches,
  letterboxBatch,
  letterboxRoom,
} from "./detection-batches.ts";
export { type DetectionErrors, ERROR_KINDS, type ErrorKind, type ErrorOptions } from "./detection-errors.ts";
export * from "./detections.ts";
export {
  type Decoded,
  type DetectOptions,
  type Detector,
  detections,
  isDetector,
  pickedDetections,
} from "./detector.ts";
export type { DetectionInfo, DetectorDefinition } from "./detector-definition.ts";
export { binaryCrossEntropy, type FocalOptions, focalLoss } from "./detector-losses.ts";
export { detectors } from "./detectors.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./evaluator.ts";
export { exportedDetections, suppressed } from "./exported-detections.ts";
export { Fcos, type FcosOptions, fcosDefinition, fcosLosses, fcosOptions } from "./fcos.ts";
export {
  assignBySize,
  centrenessOf,
  type FcosTargets,
  type SizeRanges,
  sizeRanges,
} from "./fcos-assignment.ts";
export type { FcosOutputs } from "./fcos-head.ts";
export { FeatureNetwork, type FeatureNetworkOptions } from "./feature-network.ts";
export { type FeaturePoints, featurePoints, featureRows, levelGrids } from "./feature-points.ts";
export { Fpn } from "./fpn.ts";
export * from "./letterbox.ts";
export { type Neck, type NeckKind, neckOf } from "./neck.ts";
export { type NmsOptions, nms } from "./nms.ts";
export { Pan } from "./pan.ts";
export type { CurveOptions, DetectionCurve, DetectionCurves } from "./precision-recall.ts";
export { ResNet } from "./resnet.ts";
export {
  RetinaNet,
  type RetinaNetOptions,
  retinaNetDefinition,
  retinaNetLosses,
  retinaNetOptions,
} from "./retina-net.ts";
export { assignByOverlap, type OverlapThresholds, type RetinaNetTargets } from "./retina-net-assignment.ts";
export { deltasOf, type RetinaNetOutputs, smoothL1 } from "./retina-net-head.ts";
export { type SoftNmsOptions, type SoftSuppression, softNms } from "./soft-nms.ts";
export type { VocAccuracy, VocOptions } from "./voc.ts";
export { Yolo, type YoloOptions, yoloDefinition, yoloLosses, yoloOptions } from "./yolo.ts";
export { alignTasks, type YoloPredictions, type YoloTargets } from "./yolo-assignment.ts";
export { boxesOfDistributions, distancesOf, distributionLoss, type YoloOutputs } from "./yolo-head.ts";
export { YoloV1, type YoloV1Options, yoloV1Definition, yoloV1Losses, yoloV1Options } from "./yolo-v1.ts";
export { assignCells, type CellTargets, responsible } from "./yolo-v1-assignment.ts";
export { boxesOfCodes, cornersOf, type YoloV1Outputs } from "./yolo-v1-head.ts";
export { YoloV3, type YoloV3Options, yoloV3Definition, yoloV3Losses, yoloV3Options } from "./yolo-v3.ts";
export { type YoloV3Anchors, yoloV3Anchors } from "./yolo-v3-anchors.ts";
export { type AnchorTargets, assignAnchors } from "./yolo-v3-assignment.ts";
export type { YoloV3Outputs } from "./yolo-v3-head.ts";
