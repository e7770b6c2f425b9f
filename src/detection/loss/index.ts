export type { Assignment, ObjectRows } from "./assignment.ts";
export { binaryCrossEntropy, boxLoss, boxOverlap, type FocalOptions, focalLoss } from "./losses.ts";
