import { describe, expect, it } from "vitest";
import { FACE_SUBSETS, subsetBits } from "../../../src/data/boxes/set.ts";
import { toDetections } from "../../../src/detection/boxes/detections.ts";
import { DetectionEvaluator } from "../../../src/detection/measure/evaluator.ts";
import { readFixture } from "../fixture.ts";

type FaceRow = readonly [x1: number, y1: number, x2: number, y2: number, bits: number];
type FoundRow = readonly [x1: number, y1: number, x2: number, y2: number, score: number];
type Image = readonly [faces: readonly FaceRow[], found: readonly FoundRow[]];
type Result = readonly [faces: number, ap: number, precision: number, recall: number] | null;

const { cases } = await readFixture<{
  readonly cases: readonly (readonly [images: readonly Image[], results: readonly Result[]])[];
}>("wider");

function evaluated(images: readonly Image[], classes = ["face"], label = 0): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(classes);
  for (const [faces, found] of images) {
    evaluator.add(
      toDetections(found.map(([x1, y1, x2, y2, score]) => ({ box: [x1, y1, x2, y2], score, class: label }))),
      {
        boxes: Float64Array.from(faces.flatMap((row) => row.slice(0, 4))),
        classes: faces.map(() => label),
        subsets: faces.map((row) => row[4]),
      },
    );
  }
  return evaluator;
}

const [easy, medium, hard] = [1, 2, 4].map((_, i) => subsetBits(FACE_SUBSETS.slice(i)));

describe("WIDER FACE's average precision", () => {
  it(`is that of its protocol in ${cases.length} cases, to 1e-9`, () => {
    expect(cases.length).toBeGreaterThan(40);
    for (const [number, [images, results]] of cases.entries()) {
      const faces = evaluated(images).faces();
      for (const [i, subset] of FACE_SUBSETS.entries()) {
        const result = results[i];
        const own = faces[subset];
        if (result === null || result === undefined) {
          expect([own.faces, own.ap], `case ${number}, ${subset}`).toEqual([0, Number.NaN]);
          continue;
        }
        const weighted = (value: "precision" | "recall") =>
          own.curve.reduce((sum, point, t) => sum + point[value] * Math.cos(t + 1), 0);
        const seen = [own.faces, own.ap, weighted("precision"), weighted("recall")];
        for (const [k, value] of seen.entries()) {
          expect(Math.abs(value - (result[k] ?? Number.NaN)), `case ${number}, ${subset}, ${k}`).toBeLessThan(
            1e-9,
          );
        }
      }
    }
  });

  it("asks of a subset its own faces, and ignores detections of others, worked by hand", () => {
    const face = (x: number, bits = 0): FaceRow => [x, 0, x + 19, 19, bits];
    const found = (x: number, score: number): FoundRow => [x, 0, x + 19, 19, score];
    const images: Image[] = [
      // An easy face found, a hard one found, one of no subset found, nothing there, and the easy one again.
      [
        [face(0, easy), face(100, hard), face(200)],
        [found(0, 0.9), found(100, 0.7), found(200, 0.8), found(300, 0.6), found(0, 0.5)],
      ],
      // Without faces, detections do not count; a medium face is not found.
      [[], [found(0, 0.95)]],
      [[face(0, medium)], []],
    ];
    const faces = evaluated(images).faces();
    expect(FACE_SUBSETS.map((subset) => faces[subset].faces)).toEqual([1, 2, 3]);
    expect(faces.easy.ap).toBe(1);
    expect(faces.medium.ap).toBeCloseTo(1 / 2, 12);
    expect(faces.hard.ap).toBeCloseTo(2 / 3, 12);
    // At the last threshold all count: of the easy subset one right of one, nothing there and the second one.
    expect(faces.easy.curve.at(-1)).toEqual({ recall: 1, precision: 1 / 3 });
  });

  it("has a box with one pixel more on each side", () => {
    // 10 × 10 of 20 × 10 pixels where edges are 9 and 19 apart; by the edges alone it is less than a half.
    const images: Image[] = [[[[0, 0, 19, 9, 7]], [[0, 0, 9, 9, 0.5]]]];
    expect(evaluated(images).faces().hard.ap).toBe(1);
    const apart: Image[] = [[[[0, 0, 20, 9, 7]], [[0, 0, 9, 9, 0.5]]]];
    expect(evaluated(apart).faces().hard.ap).toBe(0);
  });

  it("is of the classes with faces of a subset, whatever other classes have", () => {
    const [images] = cases[0] ?? [[]];
    const alone = evaluated(images).faces();
    const among = evaluated(images, ["person", "face"], 1);
    expect(among.faces()).toEqual(alone);
    const both = new DetectionEvaluator(["person", "face"]);
    for (const [faces, found] of images) {
      const people = found.map(([x1, y1, x2, y2]) => ({
        box: [x1, y1, x2, y2] as const,
        score: 99,
        class: 0,
      }));
      both.add(
        toDetections([
          ...people,
          ...found.map(([x1, y1, x2, y2, score]) => ({ box: [x1, y1, x2, y2] as const, score, class: 1 })),
        ]),
        {
          boxes: Float64Array.from(faces.flatMap((row) => row.slice(0, 4))),
          classes: faces.map(() => 1),
          subsets: faces.map((row) => row[4]),
        },
      );
    }
    expect(both.faces()).toEqual(alone);
  });

  it("wants as many subsets as objects", () => {
    const truth = { boxes: Float64Array.of(0, 0, 1, 1), classes: [0], subsets: [1, 2] };
    expect(() => new DetectionEvaluator(["face"]).add(toDetections([]), truth)).toThrow(
      /2 values of subsets for 1 objects/,
    );
  });
});
