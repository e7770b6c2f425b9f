import { expect, it } from "vitest";
import { detectorNamed, foundRectangles, overfitted, rectangles } from "./support.ts";

const SIDE = 64;

it.each([
  ["a cascade", { cascade: [0.5, 0.6, 0.7] }],
  ["enlarged regions", { enlarge: true, enlargeSizes: [18, 18] }],
  ["one map", { neck: "none", levels: 1, finestStride: 8, anchorSides: [2, 3, 4] }],
])("%s, trained on two images, finds their objects to IoU 0.75", async (_, options) => {
  const detector = detectorNamed("faster-rcnn", { width: 0.5, depth: 0.5, hidden: 64, ...options }, [
    3,
    SIDE,
    SIDE,
  ]);
  const batch = rectangles(2, SIDE, 4, 4);
  const weights = await overfitted(detector, batch, { steps: 100, learningRate: 5e-3 });
  const { ap50, ap75 } = await foundRectangles(detector, batch, weights);

  expect(ap50).toBeGreaterThan(0.95);
  expect(ap75).toBeGreaterThan(0.7);
});
