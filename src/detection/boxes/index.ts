export * from "./anchors.ts";
export * from "./boxes.ts";
export * from "./coding.ts";
export {
  boxesOfDeltas,
  boxesOfDistances,
  boxesOfYolo,
  type Sides,
  sides,
  squeezedSides,
} from "./decoding.ts";
export * from "./detections.ts";
export { type FusionOptions, weightedBoxesFusion } from "./fusion.ts";
export {
  FACE_LANDMARKS,
  type LandmarkArray,
  landmarksFromLetterbox,
  mirrorLandmarks,
} from "./landmarks.ts";
export * from "./letterbox.ts";
export { type NmsOptions, nms } from "./nms.ts";
export { type SoftNmsOptions, type SoftSuppression, softNms } from "./soft-nms.ts";
export { suppressed } from "./suppressed.ts";
