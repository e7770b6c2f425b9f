export {
  assignAdaptively,
  assignByOverlap,
  assignCompensated,
  type OverlapThresholds,
  type PlacedAnchors,
  type RetinaNetTargets,
  type ScaleCompensation,
} from "./anchor-assignment.ts";
export type { Assignment, ObjectRows } from "./assignment.ts";
export { binaryCrossEntropy, boxLoss, boxOverlap, type FocalOptions, focalLoss } from "./losses.ts";
