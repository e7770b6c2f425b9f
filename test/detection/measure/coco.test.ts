import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { area, type Box, boxArray } from "../../../src/detection/boxes/boxes.ts";
import { type Detection, toDetections } from "../../../src/detection/boxes/detections.ts";
import { COCO_THRESHOLDS, type CocoSummary, summarizeCoco } from "../../../src/detection/measure/coco.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { anyBox, SEEDED } from "../arbitrary.ts";
import { evaluated, orMinusOne, readFixture, type Scene } from "../fixture.ts";

type Case = readonly [
  classes: number,
  scenes: readonly Scene[],
  stats: readonly number[],
  precision: number,
  recall: number,
];

const fixture = await readFixture<{ readonly by: string; readonly cases: readonly Case[] }>("coco");

const STATS = [
  "ap",
  "ap50",
  "ap75",
  "apSmall",
  "apMedium",
  "apLarge",
  "ar1",
  "ar10",
  "ar100",
  "arSmall",
  "arMedium",
  "arLarge",
] as const satisfies readonly (keyof CocoSummary)[];

/** The mean of a table with the weights of the fixture. */
function weighted(table: Float64Array): number {
  let sum = 0;
  for (const [i, value] of table.entries()) sum += orMinusOne(value) * Math.cos(i + 1);
  return sum / table.length;
}

describe("COCO's average precision", () => {
  it(`is that of ${fixture.by} in ${fixture.cases.length} cases`, () => {
    expect(fixture.cases.length).toBeGreaterThan(250);
    for (const [number, [classes, scenes, stats, precision, recall]] of fixture.cases.entries()) {
      const tables = evaluated(classes, scenes).cocoTables();
      const summary = summarizeCoco(tables);
      for (const [i, name] of STATS.entries()) {
        expect(orMinusOne(summary[name]), `case ${number}, ${name}`).toBeCloseTo(stats[i] ?? 0, 7);
      }
      expect(weighted(tables.precision), `case ${number}, precision`).toBeCloseTo(precision, 7);
      expect(weighted(tables.recall), `case ${number}, recall`).toBeCloseTo(recall, 7);
    }
  });

  it("has numpy's thresholds to the last bit", () => {
    expect(COCO_THRESHOLDS).toEqual([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95]);
  });

  it("is told class by class, worked by hand", () => {
    const evaluator = new DetectionEvaluator(["cat", "dog", "cow"]);
    evaluator.add(
      toDetections([
        { box: [0, 0, 10, 10], score: 0.9, class: 0 },
        { box: [50, 50, 60, 57], score: 0.5, class: 1 },
        { box: [0, 0, 9, 9], score: 0.4, class: 2 },
      ]),
      { boxes: Float64Array.from([0, 0, 10, 10, 200, 200, 240, 240, 50, 50, 60, 60]), classes: [0, 0, 1] },
    );
    const { classes, ap, ap50, ar1, apSmall, apMedium, objects, images } = evaluator.coco();
    // One of two cats, at all thresholds; the dog at IoU 0.7, which is five of ten; there is no cow.
    const half = 51 / 101;
    expect(classes.map(({ name, objects, ap }) => [name, objects, orMinusOne(ap)])).toEqual([
      ["cat", 2, expect.closeTo(half, 12)],
      ["dog", 1, expect.closeTo(0.5, 12)],
      ["cow", 0, -1],
    ]);
    expect([objects, images]).toEqual([3, 1]);
    expect(ap).toBeCloseTo((half + 0.5) / 2, 12);
    expect(ap50).toBeCloseTo((half + 1) / 2, 12);
    expect(ar1).toBeCloseTo(0.5, 12);
    expect(apSmall).toBeCloseTo(0.75, 12);
    expect(apMedium).toBe(0);
    expect(classes[0]?.apSmall).toBeCloseTo(1, 12);
  });

  const label = fc.nat(2);
  const objects = fc.array(fc.record({ box: anyBox, class: label }), { minLength: 1, maxLength: 8 });
  const found = fc.array(
    fc.record({ box: anyBox, class: label, score: fc.double({ min: 0, max: 1, noNaN: true }) }),
    { maxLength: 12 },
  );
  const images = fc.array(fc.record({ objects, found }), { minLength: 1, maxLength: 3 });

  const evaluate = (
    list: readonly {
      readonly objects: readonly { readonly box: Box; readonly class: number }[];
      readonly found: readonly Detection[];
    }[],
  ) => {
    const evaluator = new DetectionEvaluator(["a", "b", "c"]);
    for (const { objects: all, found: detections } of list) {
      evaluator.add(toDetections(detections), {
        boxes: boxArray(all.map(({ box }) => box)),
        classes: all.map((object) => object.class),
      });
    }
    return evaluator;
  };

  it("lies in 0 … 1, and 1 is what perfect detections have, by COCO's and VOC's rules", () => {
    fc.assert(
      fc.property(images, (list) => {
        const evaluator = evaluate(list);
        const numbers = [...Object.values(summarizeCoco(evaluator.cocoTables())), evaluator.voc().ap];
        for (const value of [...numbers, evaluator.voc({ points: 11 }).ap]) {
          expect(Number.isNaN(value) || (value >= 0 && value <= 1)).toBe(true);
        }
        const whole = list.map((image) => image.objects.filter(({ box }) => area(box) > 0));
        fc.pre(whole.some((all) => all.length > 0));
        const perfect = evaluate(
          whole.map((all) => ({
            objects: all,
            found: all.map((object, i) => ({ ...object, score: (i % 3) / 3 })),
          })),
        );
        const { ap, ar100 } = perfect.coco();
        expect(ap).toBeCloseTo(1, 12);
        expect(ar100).toBeCloseTo(1, 12);
        expect(perfect.curves().all.best).toMatchObject({ f1: 1 });
        // Of four by four counts only those of the diagonal are not 0.
        const { counts } = perfect.confusion({ minimumScore: 0 });
        expect([...counts].filter((count, i) => i % 5 > 0 && count > 0)).toEqual([]);
        expect(Object.values(perfect.errors().counts)).toEqual([0, 0, 0, 0, 0, 0]);
      }),
      { ...SEEDED, numRuns: 80 },
    );
  });

  it("depends on the order of scores alone, not on a wrong detection after all others, and falls with one before", () => {
    fc.assert(
      fc.property(images, label, (list, wrong) => {
        const { ap } = evaluate(list).coco();
        const rescored = list.map((image) => ({
          ...image,
          found: image.found.map((detection) => ({ ...detection, score: 5 + 3 * detection.score })),
        }));
        // Rounding may make scores equal that were not: compare only where it has not.
        const distinct = (all: typeof list) =>
          new Set(all.flatMap((image) => image.found.map(({ score }) => score))).size;
        if (distinct(list) === distinct(rescored)) expect(evaluate(rescored).coco().ap).toBeCloseTo(ap, 12);
        const nowhere = { box: [5000, 5000, 5010, 5010] as const, class: wrong };
        const withOne = (score: number) =>
          evaluate([...list, { objects: [], found: [{ ...nowhere, score }] }]).coco().ap;
        expect(withOne(-1)).toBeCloseTo(ap, 12);
        expect(withOne(2)).toBeLessThanOrEqual(ap + 1e-12);
      }),
      { ...SEEDED, numRuns: 80 },
    );
  });
});
