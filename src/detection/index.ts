// What finds objects, and what most programs need beside. Parts for experts stand in boxes, augment, network, loss, regions, scale, measure and
// models.

export {
  type DetectionBatches,
  type DetectionBatchOptions,
  detectionBatches,
  letterboxBatch,
} from "./augment/batches.ts";
export { type AugmentOptions, augmentSchema } from "./augment/options.ts";
export { planSmallObjects, type SmallObjects } from "./augment/small-objects.ts";
export { type Box, type BoxArray, iouMatrix, type Size } from "./boxes/boxes.ts";
export { type Detection, type Detections, pickDetections, toDetections } from "./boxes/detections.ts";
export { type FusionOptions, weightedBoxesFusion } from "./boxes/fusion.ts";
export { fromLetterbox, type Letterbox, letterbox, toLetterbox } from "./boxes/letterbox.ts";
export { type NmsOptions, nms } from "./boxes/nms.ts";
export { type SoftNmsOptions, softNms } from "./boxes/soft-nms.ts";
export { type ClassSummary, type CocoResult, DetectionEvaluator } from "./measure/evaluator.ts";
export {
  CenterNet,
  type CenterNetOptions,
  centerNetDefinition,
  centerNetOptions,
} from "./models/center-net.ts";
export {
  type AnyDetector,
  type CascadeDetector,
  type Decoded,
  DenseDetector,
  type DetectionInfo,
  type DetectOptions,
  type Detector,
  type DetectorDefinition,
  defineDetector,
  detections,
  isDetector,
  pickedDetections,
} from "./models/detector.ts";
export { detectors } from "./models/detectors.ts";
export { exportedDetections } from "./models/exported.ts";
export {
  UltraLightRfb,
  type UltraLightRfbOptions,
  ultraLightRfbDefinition,
  ultraLightRfbOptions,
} from "./models/faces/ultra-light-rfb.ts";
export { YuNet, type YuNetOptions, yunetDefinition, yunetOptions } from "./models/faces/yunet.ts";
export {
  FasterRcnn,
  type FasterRcnnOptions,
  fasterRcnnDefinition,
  fasterRcnnOptions,
} from "./models/faster-rcnn.ts";
export { Fcos, type FcosOptions, fcosDefinition, fcosOptions } from "./models/fcos.ts";
export { type PyramidImages, pyramidDetections } from "./models/image-pyramid.ts";
export { Mtcnn, type MtcnnOptions, mtcnnDefinition, mtcnnOptions } from "./models/mtcnn/index.ts";
export {
  RetinaNet,
  type RetinaNetOptions,
  retinaNetDefinition,
  retinaNetOptions,
} from "./models/retina-net.ts";
export {
  SlidingWindow,
  type SlidingWindowOptions,
  slidingWindowDefinition,
  slidingWindowOptions,
} from "./models/sliding-window.ts";
export { lookedAt, type TileReports, tiledDetections } from "./models/tiled-images.ts";
export { Yolo, type YoloOptions, yoloDefinition, yoloOptions } from "./models/yolo.ts";
export { YoloV1, type YoloV1Options, yoloV1Definition, yoloV1Options } from "./models/yolo-v1.ts";
export { YoloV3, type YoloV3Options, yoloV3Definition, yoloV3Options } from "./models/yolo-v3.ts";
export type { TestTimeOptions } from "./scale/test-time.ts";
