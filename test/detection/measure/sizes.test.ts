import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Box, boxArray } from "../../../src/detection/boxes/boxes.ts";
import { type Detection, toDetections } from "../../../src/detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { atFalsePositives, atRecall } from "../../../src/detection/measure/precision-recall.ts";
import { areaRangeOf, sizeBins } from "../../../src/detection/measure/sizes.ts";
import { anyBox, SEEDED } from "../arbitrary.ts";
import { orMinusOne } from "../fixture.ts";

interface Image {
  readonly objects: readonly { readonly box: Box; readonly class: number; readonly ignore: boolean }[];
  readonly found: readonly Detection[];
}

/** Images whose detections often fit an object, as chance alone seldom makes them. */
const images: fc.Arbitrary<readonly Image[]> = fc.array(
  fc
    .record({
      objects: fc.array(fc.record({ box: anyBox, class: fc.nat(1), ignore: fc.boolean() }), {
        minLength: 1,
        maxLength: 7,
      }),
      others: fc.array(anyBox, { maxLength: 4 }),
      scores: fc.array(fc.nat(1000), { minLength: 12, maxLength: 12 }),
      which: fc.array(fc.nat(20), { maxLength: 8 }),
    })
    .map(({ objects, others, scores, which }) => {
      const near = which.flatMap((i) => objects[i % objects.length] ?? []);
      const boxes = [...near.map(({ box, class: label }) => ({ box, class: label }))];
      const all = [...boxes, ...others.map((box, i) => ({ box, class: i % 2 }))];
      return {
        objects,
        found: all.map((each, i) => ({ ...each, score: (scores[i] ?? 0) / 1000 + i * 1e-5 })),
      };
    }),
  { minLength: 1, maxLength: 4 },
);

const boundaries = fc
  .uniqueArray(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(1, 2, 3, 4, 32)), {
    minLength: 1,
    maxLength: 5,
  })
  .map((list) => list.toSorted((a, b) => a - b));

function evaluate(list: readonly Image[]): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(["a", "b"]);
  for (const { objects, found } of list) {
    evaluator.add(toDetections(found), {
      boxes: boxArray(objects.map(({ box }) => box)),
      classes: objects.map((object) => object.class),
      ignore: objects.map(({ ignore }) => Number(ignore)),
    });
  }
  return evaluator;
}

describe("ranges of size", () => {
  it("lie between boundaries and beyond both ends; every size is in one of them", () => {
    expect(sizeBins([8, 16.5])).toEqual([
      { name: "0–8", from: 0, to: 8 },
      { name: "8–16.5", from: 8, to: 16.5 },
      { name: "16.5–", from: 16.5, to: Number.POSITIVE_INFINITY },
    ]);
    const ranges = sizeBins([8, 32]).map(areaRangeOf);
    const holds = (area: number) => ranges.map(([least, most]) => area >= least && area <= most);
    expect(holds(64)).toEqual([false, true, false]);
    expect(holds(64 - 1e-12)).toEqual([true, false, false]);
    expect(holds(1024)).toEqual([false, false, true]);
  });

  it("are refused where boundaries do not rise", () => {
    for (const wrong of [[], [0, 8], [-1], [8, 8], [16, 8], [8, Number.POSITIVE_INFINITY], [Number.NaN]]) {
      expect(() => sizeBins(wrong)).toThrow(/option sizes: boundaries .* must be positive and rise/);
    }
    expect(() => evaluate([]).coco({ sizes: [9, 3] })).toThrow(/boundaries 9,3/);
    expect(() => evaluate([]).coco({ sizes: [3], areaRanges: { all: [0, 1], "3–": [0, 2] } })).toThrow(
      /two ranges of area are named 3–/,
    );
  });
});

describe("COCO's numbers by size", () => {
  it("of a range around all objects are those of all sizes", () => {
    fc.assert(
      fc.property(images, (list) => {
        const { ap, ap50, ar100, objects, sizes } = evaluate(list).coco({ sizes: [1e6] });
        const [every, none] = sizes ?? [];
        expect(every).toMatchObject({ ap, ap50, ar: ar100, objects });
        expect([none?.objects, none?.ap]).toEqual([0, Number.NaN]);
      }),
      { ...SEEDED, numRuns: 60 },
    );
  });

  it("are those of COCO's own names for its boundaries", () => {
    const side = (box: Box) => Math.sqrt((box[2] - box[0]) * (box[3] - box[1]));
    fc.assert(
      fc.property(images, (list) => {
        // An object of exactly 32² or 96² is in two of COCO's ranges.
        fc.pre(
          list.every(
            ({ objects, found }) => ![...objects, ...found].some(({ box }) => [32, 96].includes(side(box))),
          ),
        );
        const result = evaluate(list).coco({ sizes: [32, 96] });
        expect(result.sizes?.map(({ ap }) => ap)).toEqual([result.apSmall, result.apMedium, result.apLarge]);
        expect(result.sizes?.map(({ ar }) => ar)).toEqual([result.arSmall, result.arMedium, result.arLarge]);
        expect(result.classes[0]?.sizes?.map(({ ap }) => ap)).toEqual([
          result.classes[0]?.apSmall,
          result.classes[0]?.apMedium,
          result.classes[0]?.apLarge,
        ]);
      }),
      { ...SEEDED, numRuns: 60 },
    );
  });

  it("leave all other numbers as they are, and are absent where no size is asked for", () => {
    fc.assert(
      fc.property(images, boundaries, (list, sizes) => {
        const evaluator = evaluate(list);
        const plain = evaluator.coco();
        const { sizes: own, classes, ...others } = evaluator.coco({ sizes });
        expect(own).toHaveLength(sizes.length + 1);
        const strip = classes.map(({ sizes: _, ...each }) => each);
        expect({ ...others, classes: strip }).toEqual(plain);
        expect(plain).not.toHaveProperty("sizes");
      }),
      { ...SEEDED, numRuns: 40 },
    );
  });

  it("ignore objects of other sizes, worked by hand", () => {
    const evaluator = new DetectionEvaluator(["cell"]);
    evaluator.add(
      toDetections([
        { box: [0, 0, 10, 10], score: 0.9, class: 0 },
        { box: [100, 0, 120, 20], score: 0.8, class: 0 },
        { box: [300, 0, 310, 10], score: 0.7, class: 0 },
        { box: [400, 0, 440, 40], score: 0.6, class: 0 },
      ]),
      {
        // Of 10, 20, 12 and 40 pixels; the third is not found, one of 10 and one of 40 pixels are nothing.
        boxes: Float64Array.from([0, 0, 10, 10, 100, 0, 120, 20, 200, 0, 212, 12, 500, 0, 540, 40]),
        classes: [0, 0, 0, 0],
      },
    );
    const { sizes } = evaluator.coco({ sizes: [16, 32, 64] });
    expect(sizes?.map(({ objects }) => objects)).toEqual([2, 1, 1, 0]);
    expect(sizes?.[0]?.ap50).toBeCloseTo(51 / 101, 12);
    expect(sizes?.[1]).toMatchObject({ ap: 1, ap50: 1, ar: 1 });
    expect(sizes?.[2]?.ap).toBe(0);
    expect(evaluator.recallBySize({ sizes: [16, 32, 64], minimumScore: 0.85 })).toEqual([
      { name: "0–16", from: 0, to: 16, objects: 2, found: 1, recall: 0.5 },
      { name: "16–32", from: 16, to: 32, objects: 1, found: 0, recall: 0 },
      { name: "32–64", from: 32, to: 64, objects: 1, found: 0, recall: 0 },
      { name: "64–", from: 64, to: Number.POSITIVE_INFINITY, objects: 0, found: 0, recall: Number.NaN },
    ]);
  });
});

describe("recall by size", () => {
  it("adds up to that of all objects, and only falls as the score rises", () => {
    fc.assert(
      fc.property(images, boundaries, fc.double({ min: 0, max: 1, noNaN: true }), (list, sizes, score) => {
        const evaluator = evaluate(list);
        const all = evaluator.recallBySize({ sizes });
        const some = evaluator.recallBySize({ sizes, minimumScore: score });
        const [whole] = evaluator.recallBySize({ sizes: [1e6], minimumScore: score });
        const sum = (key: "objects" | "found", bins: typeof all) =>
          bins.reduce((total, bin) => total + bin[key], 0);
        expect(sum("objects", some)).toBe(whole?.objects);
        expect(sum("found", some)).toBe(whole?.found);
        expect(sum("objects", all)).toBe(evaluator.curves().all.objects);
        for (const [i, bin] of some.entries()) {
          expect(bin.found).toBeLessThanOrEqual(all[i]?.found ?? 0);
          expect(bin.found).toBeLessThanOrEqual(bin.objects);
        }
        const { recall, scores } = evaluator.curves().all;
        const at = scores.findLastIndex((each) => each >= score);
        const objects = whole?.objects ?? 0;
        if (objects > 0) expect((whole?.found ?? 0) / objects).toBeCloseTo(recall[at] ?? 0, 12);
      }),
      { ...SEEDED, numRuns: 60 },
    );
  });

  it("does not depend on the order of images, nor on that of detections", () => {
    fc.assert(
      fc.property(images, boundaries, (list, sizes) => {
        // Equal scores come in the order of the images.
        const scores = list.flatMap(({ found }) => found.map(({ score }) => score));
        fc.pre(new Set(scores).size === scores.length);
        const turned = list
          .toReversed()
          .map(({ objects, found }) => ({ objects, found: found.toReversed() }));
        const [one, other] = [evaluate(list), evaluate(turned)];
        expect(other.recallBySize({ sizes })).toEqual(one.recallBySize({ sizes }));
        for (const [i, { ap, ar, objects }] of (one.coco({ sizes }).sizes ?? []).entries()) {
          const own = other.coco({ sizes }).sizes?.[i];
          expect(own?.objects).toBe(objects);
          expect(orMinusOne(own?.ap ?? 9)).toBeCloseTo(orMinusOne(ap), 12);
          expect(orMinusOne(own?.ar ?? 9)).toBeCloseTo(orMinusOne(ar), 12);
        }
      }),
      { ...SEEDED, numRuns: 30 },
    );
  });
});

describe("the free-response curve", () => {
  it("has recall and wrong detections that only rise, and points that keep to what is asked for", () => {
    fc.assert(
      fc.property(
        images,
        fc.double({ min: 0, max: 6, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (list, most, least) => {
          const { all } = evaluate(list).curves();
          for (let i = 1; i < all.scores.length; i++) {
            expect(all.falsePositives[i]).toBeGreaterThanOrEqual(all.falsePositives[i - 1] ?? 0);
            expect(all.recall[i]).toBeGreaterThanOrEqual(all.recall[i - 1] ?? 0);
          }
          const limited = atFalsePositives(all, most);
          const better = all.recall.filter((_, i) => (all.falsePositives[i] ?? 0) <= most);
          expect(limited?.recall).toBe(better.at(-1));
          const reached = atRecall(all, least);
          const cheap = all.falsePositives.filter((_, i) => (all.recall[i] ?? 0) >= least);
          expect(reached?.falsePositives).toBe(cheap[0]);
        },
      ),
      { ...SEEDED, numRuns: 60 },
    );
  });

  it("counts images without objects, worked by hand", () => {
    const evaluator = new DetectionEvaluator(["cell"]);
    const box = [0, 0, 10, 10] as const;
    evaluator.add(
      toDetections([
        { box, score: 0.9, class: 0 },
        { box: [50, 50, 60, 60], score: 0.8, class: 0 },
      ]),
      { boxes: Float64Array.from([...box, 90, 90, 99, 99]), classes: [0, 0] },
    );
    evaluator.add(toDetections([{ box, score: 0.95, class: 0 }]), { boxes: new Float64Array(), classes: [] });
    for (let i = 0; i < 2; i++) evaluator.add(toDetections([]), { boxes: new Float64Array(), classes: [] });
    const { all } = evaluator.curves();
    expect([...all.falsePositives]).toEqual([0.25, 0.25, 0.5]);
    expect(atFalsePositives(all, 0.25)).toEqual({
      score: 0.9,
      recall: 0.5,
      precision: 0.5,
      falsePositives: 0.25,
    });
    expect(atFalsePositives(all, 0.1)).toBeUndefined();
    expect(atFalsePositives(all, 9)?.score).toBe(0.8);
    expect(atRecall(all, 0.5)?.score).toBe(0.9);
    expect(atRecall(all, 0.51)).toBeUndefined();
  });
});
