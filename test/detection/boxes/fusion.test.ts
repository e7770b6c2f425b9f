import { describe, expect, it } from "vitest";
import { boxArray, boxAt } from "../../../src/detection/boxes/boxes.ts";
import { toDetections } from "../../../src/detection/boxes/detections.ts";
import { weightedBoxesFusion } from "../../../src/detection/boxes/fusion.ts";
import { softNms } from "../../../src/detection/boxes/soft-nms.ts";
import { crowd, readFixture } from "../fixture.ts";

interface RawDetections {
  readonly boxes: readonly (readonly number[])[];
  readonly scores: readonly number[];
  readonly classes: readonly number[];
}

interface Fusions {
  readonly by: string;
  readonly fusions: readonly {
    readonly sets: readonly RawDetections[];
    readonly weights: readonly number[] | null;
    readonly threshold: number;
    readonly minimumScore: number;
    readonly score: "mean" | "maximum";
    readonly fused: { readonly boxes: number[]; readonly scores: number[]; readonly classes: number[] };
  }[];
  readonly soft: readonly {
    readonly method: "linear" | "gaussian";
    readonly threshold: number;
    readonly sigma: number;
    readonly minimumScore: number;
    readonly boxes: readonly (readonly number[])[];
    readonly scores: readonly number[];
    readonly kept: readonly (readonly [place: number, score: number])[];
  }[];
}

const fusion = await readFixture<Fusions>("fusion");

describe("softNms", () => {
  it("keeps and lowers as the paper's algorithm", () => {
    for (const { kept, boxes, scores, ...options } of fusion.soft) {
      const result = softNms(boxes.flat(), scores, options);
      expect([...result.places]).toEqual(kept.map(([place]) => place));
      for (const [i, [, score]] of kept.entries()) expect(result.scores[i]).toBeCloseTo(score, 7);
    }
  });

  it("never raises a score, keeps the best, and ranks what it keeps", () => {
    const { boxes, scores } = crowd(9, 250, 300);
    for (const method of ["linear", "gaussian"] as const) {
      const classes = Array.from(scores, (_, i) => i % 4);
      const { places, scores: left } = softNms(boxes, scores, { method, classes });
      expect(left[0]).toBe(Math.max(...scores));
      for (const [i, place] of places.entries()) {
        expect(left[i]).toBeLessThanOrEqual(scores[place] ?? 0);
        expect(left[i]).toBeGreaterThanOrEqual(left[i + 1] ?? 0.001);
      }
      const first = softNms(boxes, scores, { method, classes, maximum: 7 });
      expect(first.places).toEqual(places.slice(0, 7));
      // Each class by itself gives the same.
      const own = Array.from(scores.keys()).filter((i) => i % 4 === 2);
      const alone = softNms(
        boxArray(own.map((i) => boxAt(boxes, i))),
        own.map((i) => scores[i] ?? 0),
        { method },
      );
      expect(Array.from(alone.places, (i) => own[i])).toEqual([...places.filter((i) => i % 4 === 2)]);
    }
  });

  it("is nms where scores sink to nothing", () => {
    const boxes = [0, 0, 10, 10, 0, 0, 10, 10, 50, 0, 60, 10];
    expect([...softNms(boxes, [0.9, 0.8, 0.7], { method: "linear" }).places]).toEqual([0, 2]);
    expect(() => softNms(boxes, [1, 1, 1], { sigma: 0 })).toThrow(/sigma 0 must be positive/);
    expect(() => softNms(boxes, [1, 1, 1], { minimumScore: -1 })).toThrow(/minimumScore -1/);
    expect(() => softNms(boxes, [1, 1, 1], { threshold: 2 })).toThrow(/softNms: threshold 2/);
    expect(() => softNms(boxes, [1, 1, 1], { maximum: Number.NaN })).toThrow(/maximum NaN/);
  });
});

describe("weightedBoxesFusion", () => {
  const toSet = ({ boxes, scores, classes }: RawDetections) => ({
    boxes: Float64Array.from(boxes.flat()),
    scores: Float64Array.from(scores),
    classes,
  });

  it(`fuses as ${fusion.by}`, () => {
    for (const { sets, weights, fused, ...options } of fusion.fusions) {
      const result = weightedBoxesFusion(sets.map(toSet), {
        ...options,
        ...(weights === null ? {} : { weights }),
      });
      expect([...Array.from(result.classes)]).toEqual(fused.classes);
      // The package keeps boxes in float32.
      for (const [i, value] of fused.boxes.entries()) expect(result.boxes[i]).toBeCloseTo(value, 5);
      for (const [i, value] of fused.scores.entries()) expect(result.scores[i]).toBeCloseTo(value, 6);
    }
  });

  it("means boxes by their scores, and lowers what one set alone has found, worked by hand", () => {
    const found = (x: number, score: number, label = 0) => ({
      box: [x, 0, x + 10, 10] as const,
      score,
      class: label,
    });
    const fused = weightedBoxesFusion([
      toDetections([found(0, 0.8), found(50, 0.6)]),
      toDetections([found(1, 0.4), found(50, 0.5, 1), found(9, Number.NaN), found(9, 0)]),
    ]);
    expect([...fused.scores].map((score) => Number(score.toFixed(12)))).toEqual([0.6, 0.3, 0.25]);
    expect([...Array.from(fused.classes)]).toEqual([0, 0, 1]);
    const third = 1 / 3;
    for (const [i, edge] of [third, 0, 10 + third, 10, 50, 0, 60, 10].entries()) {
      expect(fused.boxes[i]).toBeCloseTo(edge, 12);
    }
    expect(weightedBoxesFusion([]).scores.length).toBe(0);
    expect(() => weightedBoxesFusion([toDetections([])], { weights: [0] })).toThrow(
      /weights \[0\] must be positive/,
    );
    expect(() => weightedBoxesFusion([toDetections([])], { weights: [1, 1] })).toThrow(/each of the 1 sets/);
  });
});
