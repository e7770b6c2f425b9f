import { expect, it } from "vitest";
import { detectorNamed, foundRectangles, overfitted, rectangles } from "./support.ts";

const SIDE = 64;

it("training a sliding window on two images ends with their objects found, as well as windows of one shape can", async () => {
  const detector = detectorNamed("sliding-window", { smallestHeight: 14, octave: 4, width: 0.5 }, [
    3,
    SIDE,
    SIDE,
  ]);
  const batch = rectangles(2, SIDE, 4, 4);
  const weights = await overfitted(detector, batch, { steps: 150, learningRate: 4e-3 });
  const { ap50 } = await foundRectangles(detector, batch, weights, { iou: 0.3 });
  expect(ap50).toBeGreaterThan(0.6);
});
