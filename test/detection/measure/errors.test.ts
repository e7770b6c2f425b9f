import { describe, expect, it } from "vitest";
import { toDetections } from "../../../src/detection/boxes/detections.ts";
import { type DetectionErrors, ERROR_KINDS } from "../../../src/detection/measure/errors.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { evaluated, orMinusOne, readFixture, type Scene } from "../fixture.ts";

interface Case extends DetectionErrors {
  readonly classes: number;
  readonly scenes: readonly Scene[];
}

const fixture = await readFixture<{ readonly by: string; readonly cases: readonly Case[] }>("errors");

describe("kinds of errors", () => {
  it(`are those of ${fixture.by}, with their costs`, () => {
    for (const [number, { classes, scenes, ap, counts, costs }] of fixture.cases.entries()) {
      const errors = evaluated(classes, scenes).errors();
      expect(errors.counts, `case ${number}`).toEqual(counts);
      expect(errors.ap, `case ${number}`).toBeCloseTo(ap, 7);
      for (const kind of ERROR_KINDS) {
        expect(errors.costs[kind], `case ${number}, ${kind}`).toBeCloseTo(costs[kind], 7);
      }
    }
  });

  it("are told apart in one picture, worked by hand", () => {
    const evaluator = new DetectionEvaluator(["cat", "dog"]);
    const row = (y: number, width = 10) => [0, y, width, y + 10] as const;
    evaluator.add(
      toDetections([
        { box: row(0), score: 0.9, class: 0 }, // right
        { box: row(0, 9), score: 0.8, class: 0 }, // again: a duplicate
        { box: row(20), score: 0.7, class: 1 }, // a cat taken for a dog
        { box: row(40, 3), score: 0.6, class: 0 }, // IoU 0.3 with a cat
        { box: row(60, 3), score: 0.5, class: 1 }, // IoU 0.3, and no dog
        { box: row(80), score: 0.4, class: 0 }, // nothing there
        { box: row(100), score: 0.35, class: 0 }, // within a crowd of cats
        { box: row(120), score: 0.3, class: 1 }, // a dog that need not be found
      ]),
      {
        boxes: Float64Array.from([row(0), row(20), row(40), row(60), row(100, 50), row(120)].flat()),
        classes: [0, 0, 0, 0, 0, 1],
        crowd: [0, 0, 0, 0, 1, 0],
        ignore: [0, 0, 0, 0, 0, 1],
      },
    );
    const { ap, counts, costs } = evaluator.errors();
    expect(counts).toEqual({ class: 1, localisation: 1, both: 1, duplicate: 1, background: 1, missed: 1 });
    // One of four cats, found first: precision 1 at the recalls 0 … 0.25, of which there are 26 of 101.
    expect(ap).toBeCloseTo(26 / 101, 12);
    // The dog's detection becomes a cat's, in third place: precision 2/3 up to a recall of ½.
    expect(costs.class).toBeCloseTo((2 / 3) * (25 / 101), 12);
    // The same, still in third place among those of cats.
    expect(costs.localisation).toBeCloseTo((2 / 3) * (25 / 101), 12);
    // Three cats are left to be asked for: 34 of the recalls are up to a third.
    expect(costs.missed).toBeCloseTo((34 - 26) / 101, 12);
    expect([costs.both, costs.duplicate, costs.background]).toEqual([0, 0, 0]);
  });

  it("are none where nothing is found or nothing is there", () => {
    const evaluator = new DetectionEvaluator(["cat"]);
    const nothing = { boxes: new Float64Array(), classes: [] };
    evaluator.add(toDetections([]), nothing);
    expect(orMinusOne(evaluator.errors().ap)).toBe(-1);
    evaluator.add(toDetections([{ box: [0, 0, 5, 5], score: 1, class: 0 }]), nothing);
    expect(evaluator.errors().counts.background).toBe(1);
    evaluator.add(toDetections([]), { boxes: Float64Array.from([0, 0, 5, 5]), classes: [0] });
    expect(evaluator.errors()).toMatchObject({ ap: 0, counts: { missed: 1 } });
  });
});
