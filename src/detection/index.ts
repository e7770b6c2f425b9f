export {
  type DetectionBatches,
  type DetectionBatchOptions,
  type DetectionRoom,
  detectionBatches,
  letterboxBatch,
  letterboxRoom,
} from "./augment/batches.ts";
export {
  type Canvas,
  type ColorChange,
  type ColorMap,
  colorMap,
  drawImage,
  type Placement,
  placeBox,
  placeBoxes,
  type VisibilityRule,
} from "./augment/draw.ts";
export { type AugmentOptions, augmentSchema } from "./augment/options.ts";
export { drawRecipe, drawRecipeImage, type Recipe, recipeObjects } from "./augment/recipe.ts";
export * from "./boxes/anchors.ts";
export * from "./boxes/boxes.ts";
export * from "./boxes/boxes.ts";
export * from "./boxes/coding.ts";
export { boxesOfDeltas, boxesOfDistances, boxesOfYolo } from "./boxes/decoding.ts";
export * from "./boxes/detections.ts";
export { type FusionOptions, weightedBoxesFusion } from "./boxes/fusion.ts";
export * from "./boxes/letterbox.ts";
export { type NmsOptions, nms } from "./boxes/nms.ts";
export { type SoftNmsOptions, type SoftSuppression, softNms } from "./boxes/soft-nms.ts";
export type { Assignment, ObjectRows } from "./loss/assignment.ts";
export { binaryCrossEntropy, boxLoss, boxOverlap, type FocalOptions, focalLoss } from "./loss/losses.ts";
export {
  type AreaRange,
  COCO_AREAS,
  COCO_THRESHOLDS,
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  summarizeCoco,
} from "./measure/coco.ts";
export type { ConfusionMatrix, ConfusionOptions } from "./measure/confusion.ts";
export { type DetectionErrors, ERROR_KINDS, type ErrorKind, type ErrorOptions } from "./measure/errors.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./measure/evaluator.ts";
export type { CurveOptions, DetectionCurve, DetectionCurves } from "./measure/precision-recall.ts";
export type { VocAccuracy, VocOptions } from "./measure/voc.ts";
export {
  CenterNet,
  type CenterNetOptions,
  type CenterNetOutputs,
  type CenterNetTargets,
  centerNetDefinition,
  centerNetLosses,
  centerNetOptions,
  heatLoss,
  heatRadius,
  heatTargets,
  peaks,
} from "./models/center-net.ts";
export type { DetectionInfo, DetectorDefinition } from "./models/detector.ts";
export {
  type Decoded,
  type DetectOptions,
  type Detector,
  detections,
  isDetector,
  pickedDetections,
} from "./models/detector.ts";
export { detectors } from "./models/detectors.ts";
export { exportedDetections, suppressed } from "./models/exported.ts";
export type { FcosOutputs } from "./models/fcos.ts";
export {
  assignBySize,
  centernessOf,
  Fcos,
  type FcosOptions,
  type FcosTargets,
  fcosDefinition,
  fcosLosses,
  fcosOptions,
  type SizeRanges,
  sizeRanges,
} from "./models/fcos.ts";
export {
  assignByOverlap,
  deltasOf,
  type OverlapThresholds,
  RetinaNet,
  type RetinaNetOptions,
  type RetinaNetOutputs,
  type RetinaNetTargets,
  retinaNetDefinition,
  retinaNetLosses,
  retinaNetOptions,
  smoothL1,
} from "./models/retina-net.ts";
export {
  alignTasks,
  boxesOfDistributions,
  distancesOf,
  distributionLoss,
  Yolo,
  type YoloOptions,
  type YoloOutputs,
  type YoloPredictions,
  type YoloTargets,
  yoloDefinition,
  yoloLosses,
  yoloOptions,
} from "./models/yolo.ts";
export {
  assignCells,
  boxesOfCodes,
  type CellTargets,
  cornersOf,
  responsible,
  YoloV1,
  type YoloV1Options,
  type YoloV1Outputs,
  yoloV1Definition,
  yoloV1Losses,
  yoloV1Options,
} from "./models/yolo-v1.ts";
export type { YoloV3Outputs } from "./models/yolo-v3.ts";
export {
  type AnchorTargets,
  assignAnchors,
  YoloV3,
  type YoloV3Anchors,
  type YoloV3Options,
  yoloV3Anchors,
  yoloV3Definition,
  yoloV3Losses,
  yoloV3Options,
} from "./models/yolo-v3.ts";
export type { Backbone, BackboneOptions, FeatureLevel } from "./network/backbones.ts";
export { CspNet, ResNet } from "./network/backbones.ts";
export {
  FeatureNetwork,
  type FeatureNetworkOptions,
  type FeaturePoints,
  featurePoints,
  featureRows,
  levelGrids,
} from "./network/feature-network.ts";
export { Fpn, type Neck, type NeckKind, neckOf, Pan } from "./network/necks.ts";
