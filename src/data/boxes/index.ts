// Annotated images in detail: the formats of annotations, what can be wrong with them, and what a set holds.
export { DETECTION_FORMATS, type DetectionFormat } from "./check.ts";
export { type DetectionOptions, detectionOptionsSchema, resolveDetectionOptions } from "./options.ts";
export type { Annotations, ByteImage, DetectionFault, DetectionSet, FaceSubset, FaultKind } from "./set.ts";
export {
  countFaults,
  FACE_SUBSETS,
  FAULTS,
  faultLines,
  ImageCache,
  lazySplit,
  subsetBits,
  withClasses,
} from "./set.ts";
export { type DetectionStatistics, detectionStatistics } from "./statistics.ts";
