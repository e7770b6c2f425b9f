import { describe, expect, it } from "vitest";
import { listDetections } from "../../../src/detection/boxes/detections.ts";
import { weightedBoxesFusion } from "../../../src/detection/boxes/fusion.ts";
import { mirrorLandmarks } from "../../../src/detection/boxes/landmarks.ts";
import { letterbox, toLetterbox } from "../../../src/detection/boxes/letterbox.ts";
import { type Detector, detections, exportedDetector } from "../../../src/detection/models/detector.ts";
import { exportedDetections } from "../../../src/detection/models/exported.ts";
import { inImages, mergeViews } from "../../../src/detection/models/image-pyramid.ts";
import { mirrorBoxes } from "../../../src/detection/scale/test-time.ts";
import { exportOnnx, Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32 } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";

const [PLACES, SIDE] = [40, 64];
const random = new Random(4);
const edges = Array.from({ length: PLACES }, () => {
  const [x, y] = [40 * random.uniform(), 40 * random.uniform()];
  return [x, y, x + 5 + 15 * random.uniform(), y + 5 + 15 * random.uniform()] as const;
});
const scores = edges.map(() => random.uniform());

/** Five points that follow from a box: its corners and its center. */
const pointsOf = ([x1, y1, x2, y2]: readonly [number, number, number, number]) =>
  [
    [x1, y1],
    [x2, y1],
    [(x1 + x2) / 2, (y1 + y2) / 2],
    [x1, y2],
    [x2, y2],
  ] as const;

/** Sees the same in every image; the first pixel of an image adds nothing, but makes what is seen depend on it. */
const detector: Detector = {
  kind: "detector",
  imageSize: { width: SIDE, height: SIDE },
  classes: 1,
  needsSuppression: true,
  loss: () => ({ total: constant(0) }),
  decoded: (x) => {
    const zero = x
      .reshape([-1, 3 * SIDE * SIDE])
      .mul(0)
      .sum(1)
      .reshape([-1, 1, 1]);
    const points = edges.flatMap((box) => pointsOf(box).flat());
    return {
      boxes: constant(float32(edges.flat(), [1, PLACES, 4])).add(zero),
      scores: constant(float32(scores, [1, PLACES, 1])).add(zero),
      landmarks: constant(float32(points, [1, PLACES, 10])).add(zero),
    };
  },
  exported: () => exportedDetector(detector, "Fixed boxes"),
};

const x = float32(new Float32Array(2 * 3 * SIDE * SIDE), [2, 3, SIDE, SIDE]);
const OPTIONS = { confidence: 0.3, iou: 0.3, maximum: 12 };

describe("landmarks", () => {
  it("stay with their boxes through suppression, in each image", async () => {
    const session = new Session(await testRuntime(), new Map());
    const found = await detections(detector, session, x, OPTIONS);
    await session.release();
    expect(found.length).toBe(2);
    for (const image of found) {
      const list = listDetections(image);
      expect(list.length).toBeGreaterThan(4);
      for (const { box, landmarks } of list) {
        for (const [i, point] of pointsOf(box).entries()) {
          for (const axis of [0, 1] as const) {
            expect(landmarks?.[i]?.[axis]).toBeCloseTo(point[axis], 4);
          }
        }
      }
    }
  });

  it("are outputs of exported graphs, which name them", async () => {
    const runtime = await testRuntime();
    const all = detector.exported();
    expect(Object.keys(all.outputs)).toEqual(["boxes", "scores", "landmarks"]);
    expect(all.description).toContain("landmarks: [batch, 40, 10], x and y of left eye, right eye, nose");
    const { outputs, description } = exportedDetections(detector, OPTIONS);
    expect(description).toContain("landmarks: [batch, 12, 10]");
    const session = await runtime.load(exportOnnx(outputs, new Map()));
    const results = await session.run({ x });
    const read = async (name: string) => Array.from((await results[name]?.read())?.data ?? [], Number);
    const [boxes, points, classes] = [await read("boxes"), await read("landmarks"), await read("classes")];
    await session.release();
    expect(points.length).toBe(2 * 12 * 10);
    for (const [row, label] of classes.entries()) {
      if (label < 0) continue;
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = boxes.slice(4 * row, 4 * row + 4);
      const expected = pointsOf([x1, y1, x2, y2]).flat();
      for (const [i, value] of expected.entries()) expect(points[10 * row + i]).toBeCloseTo(value, 4);
    }
  });

  it("of mirror images and of other sizes lie where their box lies in the image", () => {
    // An image of 50 × 25 pixels in the middle of a canvas, seen in the mirror.
    const image = { width: 50, height: 25 };
    const box = [10, 5, 30, 20] as const;
    const canvas = toLetterbox(Float64Array.from(box), letterbox(image, { width: 128, height: 128 }));
    const mirrored = mirrorBoxes(canvas, 128);
    const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = mirrored;
    // Of the mirror image the detector calls left what is left there.
    const seen = {
      boxes: mirrored,
      scores: Float64Array.of(0.9),
      classes: [0],
      landmarks: Float64Array.from(pointsOf([x1, y1, x2, y2]).flat()),
    };
    const { found } = inImages({ side: 128, mirrored: true, range: undefined }, [seen], [image]);
    const [own] = listDetections(present(found[0]));
    expect(own?.box).toEqual(box.map((edge) => expect.closeTo(edge, 9)));
    expect(own?.landmarks).toEqual(pointsOf(box).map((point) => point.map((at) => expect.closeTo(at, 9))));
  });

  it.each(["nms", "soft-nms", "fusion"] as const)("of several views are merged by %s", (merge) => {
    const views = [0, 2].map((shift) => {
      const box = [10 + shift, 10, 40 + shift, 40] as const;
      return {
        side: SIDE * (shift + 1),
        mirrored: false,
        range: undefined,
        found: [
          {
            boxes: Float64Array.from(box),
            scores: Float64Array.of(0.6),
            classes: [0],
            landmarks: Float64Array.from(pointsOf(box).flat()),
          },
        ],
      };
    });
    const [merged] = mergeViews(detector, views, { merge, testScales: [1, 2], confidence: 0.01 });
    for (const { box, landmarks } of listDetections(present(merged))) {
      expect(landmarks).toEqual(pointsOf(box).map((point) => point.map((at) => expect.closeTo(at, 9))));
    }
    expect(merged?.scores.length).toBe(merge === "soft-nms" ? 2 : 1);
  });

  it("are left out of a fusion where a set has none", () => {
    const set = (landmarks?: Float64Array) => ({
      boxes: Float64Array.of(0, 0, 10, 10),
      scores: Float64Array.of(0.5),
      classes: [0],
      ...(landmarks && { landmarks }),
    });
    expect(weightedBoxesFusion([set(Float64Array.of(1, 2)), set()])).not.toHaveProperty("landmarks");
    expect(weightedBoxesFusion([set(Float64Array.of(1, 2)), set(Float64Array.of(3, 2))]).landmarks).toEqual(
      Float64Array.of(2, 2),
    );
  });

  it("of a mirror image of a mirror image are those of the image", () => {
    const points = Float64Array.from({ length: 30 }, () => 64 * random.uniform());
    const twice = mirrorLandmarks(mirrorLandmarks(points, 64, 3), 64, 3);
    for (const [i, value] of twice.entries()) expect(value).toBeCloseTo(points[i] ?? Number.NaN, 9);
    // Three points are none of a face: they keep their order.
    expect(mirrorLandmarks(Float64Array.of(1, 2, 3, 4, 5, 6), 10, 1)).toEqual(
      Float64Array.of(9, 2, 7, 4, 5, 6),
    );
  });
});
