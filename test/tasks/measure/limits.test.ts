import { describe, expect, it } from "vitest";
import { limited, toDetections } from "../../../src/detection/boxes/detections.ts";
import { maximumsTo } from "../../../src/detection/measure/coco.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { limitLines, limitsOf } from "../../../src/tasks/measure/limits.ts";
import { annotationsOf, setInMemory } from "../../data/boxes/support.ts";

/** 150 objects beside each other, each of which is found. */
const COUNT = 150;
const boxes = Float32Array.from({ length: 4 * COUNT }, (_, k) => {
  const i = Math.floor(k / 4);
  const corner = k % 2 === 0 ? 20 * (i % 15) : 20 * Math.floor(i / 15);
  return corner + (k % 4 < 2 ? 0 : 10);
});
const classes = new Int32Array(COUNT);
const scores = Float32Array.from({ length: COUNT }, (_, i) => 1 - i / 1000);

function evaluator(): DetectionEvaluator {
  const made = new DetectionEvaluator(["face"]);
  made.add({ boxes, scores, classes: Uint32Array.from(classes) }, { boxes, classes });
  return made;
}

describe("the most detections that count", () => {
  it("are those of COCO, and others where others are asked for", () => {
    expect(maximumsTo(100)).toEqual([1, 10, 100]);
    expect(maximumsTo(5)).toEqual([1, 5]);
    expect(maximumsTo(1)).toEqual([1]);
    expect(maximumsTo(750)).toEqual([1, 10, 100, 750]);
    const usual = evaluator().coco();
    expect(usual).toMatchObject({ maximum: 100, ar: usual.ar100 });
    expect(usual.ar100).toBeCloseTo(100 / COUNT, 12);
    // Precision is 1 at the recalls 0 … 0.66, which are 67 of 101.
    expect(usual.ap).toBeCloseTo(67 / 101, 12);
    const all = evaluator().coco({ maximums: maximumsTo(200) });
    expect(all).toMatchObject({ maximum: 200, ar100: usual.ar100 });
    expect([all.ap, all.ar]).toEqual([expect.closeTo(1, 12), expect.closeTo(1, 12)]);
  });

  it("are the best ones, and it is known whether there were more", () => {
    const found = toDetections([
      { box: [0, 0, 4, 4], score: 0.9, class: 0 },
      { box: [8, 0, 12, 4], score: 0.8, class: 1 },
    ]);
    expect(limited(found, 2)).toEqual({ found, cut: false });
    const { found: best, cut } = limited(found, 1);
    expect([cut, Array.from(best.scores)]).toEqual([true, [0.9]]);
  });

  it("are told once, with the number of images and an example", () => {
    const image = { width: 400, height: 300, data: new Uint8Array(3 * 400 * 300) };
    const item = (file: string, count: number) => ({
      ...annotationsOf(
        file,
        image,
        Array.from({ length: count }, (_, i) => ({
          label: i % 2,
          box: [2 * i, 0, 2 * i + 1, 5] as const,
        })),
      ),
      image,
    });
    const items = [item("few.png", 4), item("more.png", 8), item("most.png", 12)];
    const split = setInMemory(["a", "b"], { train: items, validation: [], test: [] }).splits.train;
    const notes = limitsOf(split, 10, 5);
    notes.cut("few.png");
    notes.cut("more.png");
    notes.windows("most.png", 20_000);
    expect(notes.all).toEqual({
      detections: 10,
      coco: 5,
      cut: { images: 2, example: "few.png" },
      // Of twelve objects six are of each class.
      crowded: { images: 1, example: "most.png", objects: 12 },
      windows: { images: 1, example: "most.png", most: 20_000 },
    });
    expect(limitLines(notes.all, true)).toEqual([
      expect.stringMatching(/^1 image with more objects than .*most\.png has 12; --max raises both$/),
      expect.stringMatching(/^more than 10 detections in 2 images, .* as in few\.png; --max raises it/),
      expect.stringMatching(/^more than 20000 windows passed the proposal network in 1 image, .*most\.png/),
    ]);
    expect(limitLines(notes.all, false)).toHaveLength(2);
    expect(limitLines(limitsOf(split, 100, undefined).all, true)).toEqual([]);
  });
});
