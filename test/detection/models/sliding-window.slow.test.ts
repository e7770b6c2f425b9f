import { expect, it } from "vitest";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { detections } from "../../../src/detection/models/detector.ts";
import { Session } from "../../../src/program/program.ts";
import { testRuntime } from "../../tensor/support.ts";
import { detectorNamed, overfitted, rectangles } from "./support.ts";

const SIDE = 64;

it("training a sliding window on two images ends with their objects found, as well as windows of one shape can", async () => {
  const detector = detectorNamed("sliding-window", { smallestHeight: 14, octave: 4, width: 0.5 }, [
    3,
    SIDE,
    SIDE,
  ]);
  const batch = rectangles(2, SIDE, 4, 4);
  const weights = await overfitted(detector, batch, { steps: 150, learningRate: 4e-3 });
  const session = new Session(await testRuntime(), weights);
  const found = await detections(detector, session, batch.x, { iou: 0.3 });
  await session.release();
  const evaluator = new DetectionEvaluator(["bright", "dark"]);
  for (const [i, image] of found.entries()) {
    evaluator.add(image, {
      boxes: batch.boxes.data.slice(16 * i, 16 * (i + 1)),
      classes: Array.from(batch.labels.data.slice(4 * i, 4 * (i + 1)), Number),
    });
  }
  expect(evaluator.coco().ap50).toBeGreaterThan(0.6);
});
