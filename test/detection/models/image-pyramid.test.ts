import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Detections } from "../../../src/detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { type Detector, detections } from "../../../src/detection/models/detector.ts";
import { detectionsInViews, pyramidDetections } from "../../../src/detection/models/image-pyramid.ts";
import { objectSize } from "../../../src/detection/scale/ranges.ts";
import { mirrorBoxes, mirrorImages } from "../../../src/detection/scale/test-time.ts";
import { OptionError } from "../../../src/errors.ts";
import { Session } from "../../../src/program/program.ts";
import { float32, type NdArray } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { type Batch, detectorNamed, overfitted, rectangles } from "./support.ts";

// The detector is made for images of 32 pixels, and was trained on their double: objects of 32 pixels' images are too small for it.
const [SIDE, LEARNT] = [32, 64];

let batch: Batch;
let detector: Detector;
let session: Session;

beforeAll(async () => {
  detector = detectorNamed("yolo", { width: 0.5, depth: 0.5 }, [3, SIDE, SIDE]);
  batch = rectangles(2, LEARNT, 4, 4);
  session = new Session(
    await testRuntime(),
    await overfitted(detector, batch, { steps: 60, learningRate: 5e-3 }),
  );
});
afterAll(() => session.release());

/** Images of half the size: means of squares of pixels. */
function halved({ data, shape }: NdArray<"float32">): NdArray<"float32"> {
  const [n = 0, channels = 0, height = 0, width = 0] = shape;
  const half = new Float32Array(data.length / 4);
  for (let row = 0; row < n * channels * height; row++) {
    for (let x = 0; x < width; x++) {
      const at = Math.floor(row / 2) * (width / 2) + Math.floor(x / 2);
      half[at] = (half[at] ?? 0) + (data[row * width + x] ?? 0) / 4;
    }
  }
  return float32(half, [n, channels, height / 2, width / 2]);
}

/** The images of 32 pixels, of which there are those of twice the size, too. */
const images = () => ({
  sizes: [
    { width: SIDE, height: SIDE },
    { width: SIDE, height: SIDE },
  ],
  at: (side: number) => (side === LEARNT ? batch.x : halved(batch.x)),
});

function ap50(found: readonly Detections[]): number {
  const evaluator = new DetectionEvaluator(["bright", "dark"]);
  for (const [i, image] of found.entries()) {
    evaluator.add(image, {
      boxes: batch.boxes.data.slice(16 * i, 16 * (i + 1)).map((edge) => edge / 2),
      classes: Array.from(batch.labels.data.slice(4 * i, 4 * (i + 1)), Number),
    });
  }
  return evaluator.coco().ap50;
}

describe("an image pyramid", () => {
  it("with one level is plain detection", async () => {
    const plain = await detections(detector, session, images().at(SIDE));
    for (const options of [
      {},
      { testScales: [1] },
      { testScales: [1], mirror: false, merge: "nms" as const },
    ]) {
      expect(await pyramidDetections(detector, session, images(), options)).toEqual(plain);
    }
  });

  it("finds at scale 2 what is too small at scale 1, however it is merged", async () => {
    const at = (testScales: readonly number[], more = {}) =>
      pyramidDetections(detector, session, images(), { testScales, ...more });
    const plain = ap50(await at([1]));
    expect(plain).toBeLessThan(0.5);
    expect(ap50(await at([2]))).toBeGreaterThan(0.95);
    for (const merge of ["nms", "soft-nms", "fusion"]) {
      expect(ap50(await at([1, 2], { merge, testRanges: ["1000-inf", "0-1000"] }))).toBeGreaterThan(0.95);
    }
  });

  it("takes of each level the objects of its range alone", async () => {
    const ranges = ["0-12", "12-inf"];
    const views = await detectionsInViews(detector, session, images(), {
      testScales: [1, 2],
      testRanges: ranges,
      confidence: 0.01,
    });
    const all = await detectionsInViews(detector, session, images(), {
      testScales: [1, 2],
      confidence: 0.01,
    });
    const sizes = (view: (typeof views)[number] | undefined, scale: number) =>
      present(view).found.flatMap(({ boxes, scores }) =>
        Array.from(scores, (_, i) =>
          objectSize([...boxes.subarray(4 * i, 4 * i + 4)] as [number, number, number, number]),
        ).map((size) => size * scale),
      );
    // Boxes that reach beyond the image are cut off after they were measured.
    expect(Math.max(...sizes(views[0], 1))).toBeLessThanOrEqual(12);
    expect(sizes(views[1], 2).length).toBeGreaterThan(0);
    const larger = (list: readonly number[]) => list.filter((size) => size > 12.5).length;
    expect(larger(sizes(all[0], 1))).toBeGreaterThan(0);
    expect(sizes(views[1], 2).filter((size) => size < 11)).toEqual([]);
  });

  it("brings boxes of mirror images back", async () => {
    const x = images().at(LEARNT);
    const of = { ...images(), sizes: images().sizes.map(() => ({ width: LEARNT, height: LEARNT })) };
    const [, mirror] = await detectionsInViews(detector, session, of, { testScales: [2], mirror: true });
    const seen = await detections(detector, session, mirrorImages(x));
    for (const [i, own] of seen.entries()) {
      const back = present(mirror?.found[i]);
      expect(back.scores).toEqual(own.scores);
      expect(back.boxes).toEqual(mirrorBoxes(own.boxes, LEARNT));
    }
  });

  it("is refused where the detector takes images of one size alone, or an image's size is missing", async () => {
    const connected = detectorNamed("yolo-v1", { head: "connected", width: 0.25 }, [3, SIDE, SIDE]);
    await expect(pyramidDetections(connected, session, images(), { testScales: [1, 2] })).rejects.toThrow(
      /option testScales: this detector has weights for each place of images of 32 × 32/,
    );
    await expect(
      pyramidDetections(detector, session, { ...images(), sizes: [] }, { testScales: [2] }),
    ).rejects.toThrow(OptionError);
  });
});
