import { describe, expect, it } from "vitest";
import { toDetections } from "../../../src/detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";

/** Two images: three cats of which two are found, a dog taken for a cat, a cat twice, and one in a crowd. */
function example(): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(["cat", "dog"]);
  evaluator.add(
    toDetections([
      { box: [0, 0, 10, 10], score: 0.9, class: 0 },
      { box: [0, 0, 10, 9], score: 0.6, class: 0 },
      { box: [50, 50, 60, 60], score: 0.6, class: 0 },
      { box: [0, 90, 5, 95], score: 0.8, class: 0 },
    ]),
    {
      boxes: Float64Array.from([0, 0, 10, 10, 20, 20, 30, 30, 50, 50, 60, 60, 0, 80, 100, 100]),
      classes: [0, 0, 1, 0],
      crowd: [0, 0, 0, 1],
    },
  );
  evaluator.add(
    toDetections([
      { box: [0, 0, 10, 10], score: 0.7, class: 0 },
      { box: [40, 40, 50, 50], score: 0.2, class: 1 },
    ]),
    { boxes: Float64Array.from([0, 0, 10, 10]), classes: [0] },
  );
  return evaluator;
}

describe("curves", () => {
  it("count right and wrong detections from each score up, worked by hand", () => {
    const { classes, all } = example().curves();
    const [cat, dog] = classes;
    // Cats: 0.9 right, 0.7 right, then two wrong ones of the same score; the one in the crowd is not counted.
    expect(cat?.objects).toBe(3);
    expect([...(cat?.scores ?? [])]).toEqual([0.9, 0.7, 0.6]);
    expect([...(cat?.precision ?? [])]).toEqual([1, 1, 0.5]);
    expect([...(cat?.recall ?? [])]).toEqual([1 / 3, 2 / 3, 2 / 3]);
    expect([...(cat?.f1 ?? [])]).toEqual([0.5, 0.8, 4 / 7]);
    expect(cat?.best).toEqual({ score: 0.7, f1: 0.8, precision: 1, recall: 2 / 3 });
    expect([dog?.objects, ...(dog?.precision ?? []), ...(dog?.recall ?? [])]).toEqual([1, 0, 0]);
    expect(all.objects).toBe(4);
    expect([...all.precision]).toEqual([1, 1, 0.5, 0.4]);
    expect([...all.recall]).toEqual([0.25, 0.5, 0.5, 0.5]);
  });

  it("are empty where nothing counts", () => {
    const evaluator = new DetectionEvaluator(["cat"]);
    expect(evaluator.curves().all).toMatchObject({ objects: 0, scores: new Float64Array() });
    evaluator.add(toDetections([{ box: [0, 0, 1, 1], score: 0.5, class: 0 }]), {
      boxes: new Float64Array(),
      classes: [],
    });
    const { all } = evaluator.curves();
    expect([all.best, all.recall[0], all.precision[0], all.f1[0]]).toEqual([undefined, 0, 0, 0]);
  });
});

describe("confusion", () => {
  it("counts objects by what they were taken for, worked by hand", () => {
    // Rows: cat, dog, nothing there; columns: found as cat, as dog, not found.
    expect([...example().confusion().counts]).toEqual([2, 0, 1, 1, 0, 0, 1, 0, 0]);
    expect([...example().confusion({ minimumScore: 0.1 }).counts]).toEqual([2, 0, 1, 1, 0, 0, 1, 1, 0]);
    expect([...example().confusion({ minimumScore: 0.65 }).counts]).toEqual([2, 0, 1, 0, 0, 1, 0, 0, 0]);
    expect([...example().confusion({ threshold: 0.95, minimumScore: 0.65 }).counts]).toEqual([
      2, 0, 1, 0, 0, 1, 0, 0, 0,
    ]);
  });

  it("prefers the right class where boxes agree equally, and the nearer box elsewhere", () => {
    const evaluator = new DetectionEvaluator(["cat", "dog"]);
    evaluator.add(
      toDetections([
        { box: [0, 0, 10, 10], score: 0.9, class: 1 },
        { box: [0, 0, 10, 10], score: 0.8, class: 0 },
        { box: [20, 0, 30, 8], score: 0.9, class: 0 },
        { box: [20, 0, 30, 9], score: 0.5, class: 1 },
      ]),
      { boxes: Float64Array.from([0, 0, 10, 10, 20, 0, 30, 10]), classes: [0, 0] },
    );
    expect([...evaluator.confusion().counts]).toEqual([1, 1, 0, 0, 0, 0, 1, 1, 0]);
  });
});

describe("DetectionEvaluator", () => {
  it("names the image and the number at fault", () => {
    const evaluator = new DetectionEvaluator(["cat"]);
    const truth = { boxes: Float64Array.from([0, 0, 1, 1]), classes: [0] };
    const found = (score: number, label: number, x = 0) =>
      toDetections([{ box: [x, 0, 1, 1], score, class: label }]);
    expect(() => evaluator.add(found(Number.NaN, 0), truth, "a.jpg")).toThrow(
      /a\.jpg, detections: number 0.*NaN/,
    );
    expect(() => evaluator.add(found(1, 1), truth)).toThrow(
      /image 0, detections: number 0 has class 1; .* 0 to 0/,
    );
    expect(() => evaluator.add(found(1, 0, Infinity), truth)).toThrow(/coordinate of Infinity/);
    expect(() => evaluator.add(found(1, 0), { ...truth, classes: [0, 0] })).toThrow(/1 boxes, 2 classes/);
    expect(() => evaluator.add(found(1, 0), { ...truth, crowd: [] })).toThrow(
      /0 values of crowd for 1 objects/,
    );
    expect(() => evaluator.add({ ...found(1, 0), boxes: new Float64Array(3) }, truth)).toThrow(/3 numbers/);
    expect(() => new DetectionEvaluator([])).toThrow(/no classes/);
    expect(evaluator.count).toBe(0);
  });

  it("keeps what it was given when the caller's arrays change", () => {
    const evaluator = new DetectionEvaluator(["cat"]);
    const boxes = Float32Array.from([0, 0, 10, 10]);
    evaluator.add({ boxes, scores: Float32Array.of(0.5), classes: [0] }, { boxes, classes: [0] });
    boxes.fill(0);
    expect(evaluator.coco().ap).toBe(1);
  });

  it("takes other thresholds, sizes and maximums", () => {
    const evaluator = example();
    const areaRanges = { all: [0, 1e10], tiny: [0, 50], small: [51, 200] } as const;
    const result = evaluator.coco({ thresholds: [0.5], maximums: [1, 3], areaRanges });
    expect(result.ap).toBe(result.ap50);
    expect([result.ap75, result.apMedium, result.ar10, result.ar100]).toEqual(Array(4).fill(Number.NaN));
    expect([result.images, result.objects, result.classes[0]?.objects]).toEqual([2, 4, 3]);
    expect(result.apSmall).toBeCloseTo(result.ap, 12);
    expect(() => evaluator.coco({ thresholds: [0.6, 0.5] })).toThrow(
      /thresholds \[0.6,0.5\] must be positive and rise/,
    );
    for (const threshold of [-0.1, 2, Number.NaN]) {
      expect(() => evaluator.voc({ threshold })).toThrow(/voc: threshold/);
      expect(() => evaluator.curves({ threshold })).toThrow(/curves: threshold/);
      expect(() => evaluator.confusion({ threshold })).toThrow(/confusion: threshold/);
      expect(() => evaluator.errors({ background: threshold })).toThrow(/errors: background/);
    }
    expect(() => evaluator.coco({ areaRanges: { small: [0, 1] } })).toThrow(/one named all/);
  });
});
