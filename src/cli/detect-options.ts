import { z } from "zod";
import type { DetectOptions } from "../detection/models/detector.ts";

const share = z.number().min(0).max(1).optional();

/** Options of commands that find objects. */
export const detectFlags = {
  confidence: share.describe(
    "least score of a detection (detect and export: that at which F₁ was highest on the validation split, eval: 0.01)",
  ),
  iou: share.describe("of two detections of a class that overlap by a larger IoU the better one stays (0.6)"),
  max: z.int().positive().optional().describe("most detections of an image (100)"),
};

/** The options by the names that code has for them. */
export function detectOptions({
  confidence,
  iou,
  max,
}: z.output<z.ZodObject<typeof detectFlags>>): DetectOptions {
  return {
    ...(confidence !== undefined && { confidence }),
    ...(iou !== undefined && { iou }),
    ...(max !== undefined && { maximum: max }),
  };
}
