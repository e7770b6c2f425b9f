export { suppressed } from "../boxes/suppressed.ts";
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
} from "./center-net.ts";
export {
  type AnyDetector,
  type CascadeDetector,
  type Decoded,
  DenseDetector,
  type DetectionInfo,
  type DetectOptions,
  type Detector,
  type DetectorDefinition,
  type DetectorNames,
  defineCascade,
  defineDetector,
  detections,
  detectOptionsOf,
  type ExportedStage,
  isDetector,
  pickedDetections,
} from "./detector.ts";
export { detectors } from "./detectors.ts";
export { exportedDetections } from "./exported.ts";
export {
  FACE_MODELS,
  type FaceModel,
  type PublishedFaceDetector,
  readFaceDetector,
} from "./faces/published.ts";
export {
  UltraLightRfb,
  type UltraLightRfbOptions,
  ultraLightAnchors,
  ultraLightLosses,
  ultraLightRfbDefinition,
  ultraLightRfbOptions,
} from "./faces/ultra-light-rfb.ts";
export {
  YuNet,
  type YuNetOptions,
  type YuNetOutputs,
  yunetBoxes,
  yunetDefinition,
  yunetLosses,
  yunetOptions,
} from "./faces/yunet.ts";
export {
  FasterRcnn,
  type FasterRcnnOptions,
  fasterRcnnDefinition,
  fasterRcnnOptions,
  type RegionGeometry,
  regionGeometry,
  TwoStageHead,
  type TwoStageOptions,
  type TwoStageOutputs,
} from "./faster-rcnn.ts";
export type { FcosOutputs } from "./fcos.ts";
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
} from "./fcos.ts";
export {
  detectionsInViews,
  inImages,
  mergeViews,
  type PyramidImages,
  pyramidDetections,
  type ViewDetections,
} from "./image-pyramid.ts";
export * from "./mtcnn/index.ts";
export {
  RegionHead,
  type RegionHeadOptions,
  type RegionOutputs,
  type RegionTargetOptions,
  type RegionTargets,
  regionBoxes,
  regionLosses,
  regionTargets,
  rematched,
  stageWeights,
} from "./region-head.ts";
export { type RetinaAnchorOptions, retinaAnchors } from "./retina-anchors.ts";
export {
  deltasOf,
  RetinaNet,
  type RetinaNetOptions,
  type RetinaNetOutputs,
  retinaNetDefinition,
  retinaNetLosses,
  retinaNetOptions,
  smoothL1,
} from "./retina-net.ts";
export {
  SlidingWindow,
  type SlidingWindowOptions,
  slidingWindowDefinition,
  slidingWindowOptions,
} from "./sliding-window.ts";
export { lookedAt, TileGatherer, type TileReports, tiledDetections } from "./tiled-images.ts";
export {
  readTorchvision,
  TORCHVISION_MODELS,
  type TorchvisionDetector,
  type TorchvisionModel,
} from "./torchvision.ts";
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
} from "./yolo.ts";
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
} from "./yolo-v1.ts";
export type { YoloV3Outputs } from "./yolo-v3.ts";
export {
  type AnchorTargets,
  assignAnchors,
  foundObjects,
  YoloV3,
  type YoloV3Anchors,
  type YoloV3Options,
  yoloV3Anchors,
  yoloV3Definition,
  yoloV3Losses,
  yoloV3Options,
} from "./yolo-v3.ts";
