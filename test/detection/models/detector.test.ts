import { describe, expect, it } from "vitest";
import { type Detector, detections } from "../../../src/detection/models/detector.ts";
import { detectors } from "../../../src/detection/models/detectors.ts";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { initialState } from "../../../src/nn/module.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, input, type NdArray } from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { describeForms, SIDE } from "./forms.ts";
import { detectorNamed, foundRectangles, overfitted, rectangles } from "./support.ts";

const SMALL = { width: 0.5, depth: 0.5 };

/** Each detector in a small form; the slow tests have forms of it that take other ways. */
describeForms([
  ["yolo", {}],
  ["fcos", {}],
  ["center-net", { peaks: 20 }],
  ["retina-net", {}],
  ["yolo-v1", {}],
  ["yolo-v3", {}],
  ["sliding-window", {}],
  ["faster-rcnn", { hidden: 32 }],
]);

describe("training", () => {
  it.each([
    ["yolo", {}, { ap50: 0.95, ap75: 0.7 }],
    // Its boxes are learnt from a few regions of each image, and take longer: with eight seeds AP50 is 0.83 to 1, AP75 0.31 to 0.85.
    ["faster-rcnn", { hidden: 64 }, { ap50: 0.7, ap75: 0.25 }],
  ])("of a %s on two images ends with their objects found", async (name, options, least) => {
    const detector = detectorNamed(name, { ...SMALL, ...options }, [3, SIDE, SIDE]);
    const batch = rectangles(2, SIDE, 4, 4);
    const weights = await overfitted(detector, batch, { steps: 60, learningRate: 5e-3 });
    const { ap50, ap75 } = await foundRectangles(detector, batch, weights);
    expect(ap50).toBeGreaterThan(least.ap50);
    expect(ap75).toBeGreaterThan(least.ap75);
  });
});

describe("moving an image moves the boxes", () => {
  it.each([
    ["yolo", { neck: "none", levels: 1, finestStride: 8 }, 8],
    ["yolo-v3", { neck: "none", levels: 1, finestStride: 8, anchorsPerLevel: 1 }, 8],
    ["center-net", { neck: "none", peaks: 1 }, 4],
  ])("%s", async (name, options, stride) => {
    // Something in the middle of a grey image, so far from the borders that nothing there is seen of them.
    const side = 256;
    const detector = detectorNamed(name, { ...SMALL, ...options }, [3, side, side]);
    const weights = initialState(detector, 3);
    const random = new Random(9);
    const patch = Float32Array.from({ length: 3 * 40 * 40 }, () => 255 * random.uniform());
    const image = (right: number, down: number): NdArray<"float32"> => {
      const x = new Float32Array(3 * side * side).fill(120);
      for (let i = 0; i < patch.length; i++) {
        const [channel, row, column] = [Math.floor(i / 1600), Math.floor(i / 40) % 40, i % 40];
        x[(channel * side + row + 108 + down) * side + column + 108 + right] = patch[i] ?? 0;
      }
      return float32(x, [1, 3, side, side]);
    };
    const session = new Session(await testRuntime(), weights);
    const see = session.compiled(detector, "see", ["x"], ({ x }) => detector.decoded(x));
    const [right, down] = [2 * stride, stride];
    const [here, there] = [await see.run({ x: image(0, 0) }), await see.run({ x: image(right, down) })];
    await session.release();
    const shift = [right, down, right, down];
    if (name === "center-net") {
      // The peak of an untrained network may lie anywhere; in this one it is in the middle.
      const [x1 = 0, , x2 = 0] = Array.from(here.boxes.data, Number);
      expect(Math.abs((x1 + x2) / 2 - 128)).toBeLessThan(60);
      for (const [i, value] of here.boxes.data.entries()) {
        expect(Number(there.boxes.data[i])).toBeCloseTo(Number(value) + (shift[i] ?? 0), 3);
      }
      return;
    }
    const columns = side / stride;
    let seen = 0;
    for (let row = 12; row < 20; row++) {
      for (let column = 12; column < 20; column++) {
        const [from, to] = [row * columns + column, (row + 1) * columns + column + 2];
        const of = ({ boxes, scores }: typeof here, place: number) => ({
          box: Array.from(boxes.data.subarray(4 * place, 4 * place + 4), Number),
          scores: Array.from(scores.data.subarray(2 * place, 2 * place + 2), Number),
        });
        const [a, b] = [of(here, from), of(there, to)];
        for (const [i, edge] of a.box.entries()) expect(b.box[i]).toBeCloseTo(edge + (shift[i] ?? 0), 3);
        for (const [i, score] of a.scores.entries()) expect(b.scores[i]).toBeCloseTo(score, 5);
        if (Math.abs((a.scores[0] ?? 0) - Number(here.scores.data[0])) > 1e-6) seen++;
      }
    }
    expect(seen).toBeGreaterThan(20);
  });
});

describe("detections", () => {
  const found = {
    boxes: [
      [10, 10, 30, 30],
      [12, 10, 32, 30],
      [40, 40, 70, 60],
      [0, 0, 5, 5],
    ],
    scores: [
      [0.9, 0.3],
      [0.8, 0.02],
      [0.1, 0.6],
      [0.04, 0.04],
    ],
  };

  function fake(needsSuppression: boolean): Detector {
    return {
      kind: "detector",
      imageSize: { width: 64, height: 64 },
      classes: 2,
      needsSuppression,
      loss: () => ({ total: constant(0) }),
      // The first pixel of an image moves its scores by nothing, but makes them depend on it.
      decoded: (x) => {
        const zero = x.reshape([2, -1]).mul(0).sum(1).reshape([2, 1, 1]);
        return {
          boxes: constant(float32(found.boxes.flat(), [1, 4, 4])).add(zero),
          scores: constant(float32(found.scores.flat(), [1, 4, 2])).add(zero),
        };
      },
      exported: () => ({ outputs: {}, description: "" }),
    };
  }

  const x = float32(new Float32Array(2 * 3 * 64 * 64), [2, 3, 64, 64]);

  it("are the best boxes of each class, cut off at the borders", async () => {
    const session = new Session(await testRuntime(), new Map());
    const results = await detections(fake(true), session, x);
    expect(results.length).toBe(2);
    for (const { boxes, scores, classes } of results) {
      expect(Array.from(scores, (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.6, 0.3, 0.1]);
      expect(Array.from(classes)).toEqual([0, 1, 1, 0]);
      expect(Array.from(boxes.slice(4, 8))).toEqual([40, 40, 64, 60]);
    }
    const [few] = await detections(fake(true), session, x, { maximum: 2, confidence: 0.2, iou: 0.9 });
    expect(Array.from(few?.scores ?? [], (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.8]);
    await session.release();
  });

  it("are not suppressed where the graph has picked them", async () => {
    const session = new Session(await testRuntime(), new Map());
    const [result] = await detections(fake(false), session, x, { confidence: 0.5 });
    expect(Array.from(result?.scores ?? [], (score) => Number(score.toFixed(3)))).toEqual([0.9, 0.8, 0.6]);
    await session.release();
  });

  it("name options that are not acceptable", async () => {
    const session = new Session(await testRuntime(), new Map());
    await expect(detections(fake(true), session, x, { confidence: 2 })).rejects.toThrow(OptionError);
    await expect(detections(fake(true), session, x, { iou: -1 })).rejects.toThrow(/iou -1 must lie in 0 … 1/);
    await expect(detections(fake(true), session, x, { maximum: -1 })).rejects.toThrow(/maximum -1/);
  });
});

describe("options", () => {
  it.each([...detectors.keys()])("%s describes each and builds with its defaults", (name) => {
    const { options, preferences, build } = present(detectors.get(name));
    const detector = detectorNamed(name, {}, [3, 320, 320], 3);
    const { boxes, scores } = detector.decoded(input("x", ["batch", 3, 320, 320]));
    expect(boxes.shape).toEqual(["batch", scores.shape[1], 4]);
    expect(scores.shape[2]).toBe(3);
    expect(preferences({ sampleShape: [3, 320, 320], classes: 3 }).batchSize).toBe(8);
    expect(() => detector.decoded(input("x", [1, 3, 300, 320]))).toThrow(ShapeError);
    expect(() => build(options.parse({}), { sampleShape: [3, 320, 320] })).toThrow(/no classes/);
    expect(() => options.parse({ neckk: "fpn" })).toThrow();
  });

  it.each([
    ["retina-net", { foreground: 0.3 }, /option background: 0.4 must not be above foreground, 0.3/],
    ["yolo-v3", { anchors: [10, 12, 20, 30] }, /option anchors: 4 numbers; 9 anchors .* need 18/],
    ["center-net", { peaks: 1000 }, /option peaks: the heat maps have 512 cells, fewer than 1000/],
  ])("%s refuses %j", (name, options, message) => {
    expect(() => detectorNamed(name, options, [3, SIDE, SIDE])).toThrow(OptionError);
    expect(() => detectorNamed(name, options, [3, SIDE, SIDE])).toThrow(message);
  });
});
