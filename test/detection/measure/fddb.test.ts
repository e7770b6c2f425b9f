import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Box, boxArray } from "../../../src/detection/boxes/boxes.ts";
import { toDetections } from "../../../src/detection/boxes/detections.ts";
import { LargestMatching } from "../../../src/detection/measure/assignment.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { ratesAt } from "../../../src/detection/measure/fddb.ts";
import { SEEDED } from "../arbitrary.ts";

/** The largest sum of weights of a matching, by trying all. */
function largest(weights: readonly (readonly number[])[], columns: readonly number[]): number {
  const [first, ...others] = weights;
  if (first === undefined) return 0;
  return columns.reduce(
    (most, column) =>
      Math.max(
        most,
        (first[column] ?? 0) +
          largest(
            others,
            columns.filter((each) => each !== column),
          ),
      ),
    largest(others, columns),
  );
}

describe("the matching of the largest weight", () => {
  it("is the best of all after each row", () => {
    const weight = fc.oneof(
      fc.constant(0),
      fc.nat(4).map((value) => value / 4),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    const table = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.nat(6)).chain(([columns, rows]) =>
      fc.record({
        columns: fc.constant(columns),
        rows: fc.array(fc.array(weight, { minLength: columns, maxLength: columns }), {
          minLength: rows,
          maxLength: rows,
        }),
      }),
    );
    fc.assert(
      fc.property(table, ({ columns, rows }) => {
        const matching = new LargestMatching(columns);
        const all = Array.from({ length: columns }, (_, i) => i);
        for (const [i, row] of rows.entries()) {
          matching.add(Float64Array.from(row));
          const pairs = [...matching.pairs()];
          expect(new Set(pairs.map((pair) => pair.row)).size).toBe(pairs.length);
          expect(new Set(pairs.map((pair) => pair.column)).size).toBe(pairs.length);
          for (const pair of pairs) expect(pair.weight).toBe(rows[pair.row]?.[pair.column]);
          const sum = pairs.reduce((total, pair) => total + pair.weight, 0);
          expect(sum).toBeCloseTo(largest(rows.slice(0, i + 1), all), 9);
        }
      }),
      { ...SEEDED, numRuns: 300 },
    );
  });

  it("parts a greedy pair where both then have more", () => {
    const matching = new LargestMatching(2);
    matching.add(Float64Array.of(0.9, 0.8));
    expect([...matching.pairs()]).toEqual([{ row: 0, column: 0, weight: 0.9 }]);
    matching.add(Float64Array.of(0.85, 0));
    expect([...matching.pairs()].map(({ row, column }) => [row, column])).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });
});

/** A strip of that width from the left: its IoU with a wider one is the quotient of both. */
const strip = (width: number, top = 0): Box => [0, top, width, top + 10];

describe("FDDB's curves", () => {
  it("count pairs above one half, and the IoU of all pairs, worked by hand", () => {
    const evaluator = new DetectionEvaluator(["face"]);
    evaluator.add(
      toDetections([
        { box: strip(80), score: 0.9, class: 0 },
        { box: strip(50, 100), score: 0.8, class: 0 },
        { box: strip(100, 300), score: 0.8, class: 0 },
        { box: strip(60), score: 0.7, class: 0 },
      ]),
      { boxes: boxArray([strip(100), strip(100, 100), strip(100, 200)]), classes: [0, 0, 0] },
    );
    evaluator.add(toDetections([{ box: strip(100), score: 0.6, class: 0 }]), {
      boxes: boxArray([strip(100)]),
      classes: [0],
    });
    const roc = evaluator.roc();
    expect(roc.objects).toBe(4);
    expect([...roc.scores]).toEqual([0.9, 0.8, 0.7, 0.6]);
    // Of an IoU of exactly one half a pair has a discrete score of 0, and one of .5 of the other.
    expect([...roc.discrete]).toEqual([0.25, 0.25, 0.25, 0.5]);
    expect([...roc.falsePositives]).toEqual([0, 2, 3, 3]);
    for (const [i, rate] of [0.2, 0.325, 0.325, 0.575].entries())
      expect(roc.continuous[i]).toBeCloseTo(rate, 12);
    expect(ratesAt(roc, 2).discrete).toBe(0.25);
    expect(ratesAt(roc, 2).continuous).toBeCloseTo(0.325, 12);
    expect(ratesAt(roc, 100).discrete).toBe(0.5);
    expect(ratesAt(roc, -1)).toEqual({ discrete: 0, continuous: 0 });
  });

  it("do not count detections of what is to be ignored, nor those in a crowd", () => {
    const evaluator = new DetectionEvaluator(["face"]);
    evaluator.add(
      toDetections([
        { box: strip(100), score: 0.9, class: 0 },
        { box: strip(40, 203), score: 0.8, class: 0 },
        { box: strip(100, 400), score: 0.7, class: 0 },
      ]),
      {
        boxes: boxArray([strip(100), [0, 200, 300, 300], strip(100, 500)]),
        classes: [0, 0, 0],
        ignore: [1, 0, 0],
        crowd: [0, 1, 0],
      },
    );
    const roc = evaluator.roc();
    expect(roc.objects).toBe(1);
    expect([...roc.falsePositives]).toEqual([0, 0, 1]);
    expect([...roc.discrete]).toEqual([0, 0, 0]);
  });

  it("are those of trying all matchings at each score, image by image", () => {
    const side = fc.integer({ min: 1, max: 6 });
    const box: fc.Arbitrary<Box> = fc
      .tuple(fc.nat(4), fc.nat(4), side, side)
      .map(([x, y, width, height]) => [x, y, x + width, y + height]);
    const image = fc.record({
      objects: fc.array(box, { maxLength: 4 }),
      found: fc.array(fc.record({ box, score: fc.nat(5).map((value) => value / 5) }), { maxLength: 5 }),
    });
    const iou = (a: Box, b: Box): number => {
      const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
      const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
      const both = width > 0 && height > 0 ? width * height : 0;
      const size = (each: Box) => (each[2] - each[0]) * (each[3] - each[1]);
      return both / (size(a) + size(b) - both);
    };
    fc.assert(
      fc.property(fc.array(image, { minLength: 1, maxLength: 3 }), (list) => {
        const evaluator = new DetectionEvaluator(["face"]);
        for (const { objects, found } of list) {
          evaluator.add(toDetections(found.map((each) => ({ ...each, class: 0 }))), {
            boxes: boxArray(objects),
            classes: objects.map(() => 0),
          });
        }
        const roc = evaluator.roc();
        const objects = list.reduce((sum, each) => sum + each.objects.length, 0);
        const every = [...new Set(list.flatMap(({ found }) => found.map(({ score }) => score)))];
        expect([...roc.scores]).toEqual(every.toSorted((a, b) => b - a));
        if (objects === 0) return;
        for (const [i, score] of roc.scores.entries()) {
          const best = list.reduce((sum, { objects: own, found }) => {
            const counted = found.filter((each) => each.score >= score);
            const weights = counted.map((each) => own.map((object) => iou(each.box, object)));
            return sum + largest(weights, [...own.keys()]);
          }, 0);
          expect((roc.continuous[i] ?? 0) * objects).toBeCloseTo(best, 9);
          const counted = list.flatMap(({ found }) => found).filter((each) => each.score >= score).length;
          const right = (roc.discrete[i] ?? 0) * objects;
          expect((roc.falsePositives[i] ?? 0) + right).toBeCloseTo(counted, 9);
        }
      }),
      { ...SEEDED, numRuns: 150 },
    );
  });

  it("are empty where nothing is found, and undefined where there is no object", () => {
    const evaluator = new DetectionEvaluator(["face"]);
    expect(evaluator.roc()).toMatchObject({ objects: 0, scores: new Float64Array() });
    evaluator.add(toDetections([{ box: strip(9), score: 1, class: 0 }]), {
      boxes: new Float64Array(),
      classes: [],
    });
    expect([...evaluator.roc().discrete]).toEqual([Number.NaN]);
    expect(() => evaluator.roc({ threshold: 2 })).toThrow(/roc: threshold/);
  });
});
