import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  area,
  areas,
  type Box,
  boxArray,
  boxAt,
  ciou,
  clipBoxes,
  convertBoxes,
  diou,
  enclosing,
  giou,
  intersection,
  iou,
  iouMatrix,
  type OverlapKind,
  overlap,
  scaleBoxes,
  shiftBoxes,
} from "../../../src/detection/boxes/boxes.ts";
import { listDetections, pickDetections, toDetections } from "../../../src/detection/boxes/detections.ts";
import { fromLetterbox, letterbox, toLetterbox } from "../../../src/detection/boxes/letterbox.ts";
import { anyBox, box, SEEDED } from "../arbitrary.ts";
import { readFixture } from "../fixture.ts";

const KINDS = ["iou", "giou", "diou", "ciou"] as const satisfies readonly OverlapKind[];

interface Fixture {
  readonly by: string;
  readonly pairs: Readonly<Record<"a" | "b" | OverlapKind, readonly number[]>>;
}

const { by, pairs } = await readFixture<Fixture>("geometry");

describe("overlaps of boxes", () => {
  it.each(KINDS)(`%s of all pairs is that of ${by}`, (kind) => {
    const matrix = iouMatrix(pairs.a, pairs.b, kind);
    expect(matrix.length).toBe((pairs.a.length / 4) * (pairs.b.length / 4));
    for (const [i, value] of matrix.entries()) expect(value).toBeCloseTo(pairs[kind][i] ?? Number.NaN, 6);
  });

  it("are what one works out by hand", () => {
    const [a, b]: readonly [Box, Box] = [
      [0, 0, 4, 2],
      [2, 0, 6, 2],
    ];
    expect([area(a), intersection(a, b), iou(a, b)]).toEqual([8, 4, 1 / 3]);
    expect(enclosing(a, b)).toEqual([0, 0, 6, 2]);
    expect(giou(a, b)).toBeCloseTo(1 / 3, 12);
    expect(diou(a, b)).toBeCloseTo(1 / 3 - 4 / 40, 12);
    expect(ciou(a, b)).toBeCloseTo(1 / 3 - 4 / 40, 12);
    // Ten pixels apart: the union fills 16 of the 36 square pixels around both.
    const far: Box = [14, 0, 18, 2];
    expect(giou(a, far)).toBeCloseTo(-(36 - 16) / 36, 12);
    // The same center, upright against lying: v = 4/π² (atan 2 − atan ½)², IoU 1/3.
    const v = (4 / Math.PI ** 2) * (Math.atan(2) - Math.atan(0.5)) ** 2;
    expect(ciou([-2, -1, 2, 1], [-1, -2, 1, 2])).toBeCloseTo(1 / 3 - v ** 2 / (1 - 1 / 3 + v), 12);
  });

  it("of empty, crossed and single-point boxes are numbers", () => {
    const point: Box = [3, 3, 3, 3];
    for (const kind of KINDS) {
      expect(overlap(point, point, kind), kind).toBe(0);
      expect(Number.isFinite(overlap(point, [9, 9, 9, 12], kind)), kind).toBe(true);
    }
    expect([area([5, 5, 2, 8]), iou([5, 5, 2, 8], [0, 0, 9, 9])]).toEqual([0, 0]);
    expect([...areas([0, 0, 2, 3, 1, 1, 1, 5])]).toEqual([6, 0]);
    expect(() => areas([1, 2, 3])).toThrow(/3 numbers are no whole number of boxes/);
  });

  it("are symmetric, bounded, ordered, and 1 for a box with itself", () => {
    const least = { iou: 0, giou: -1, diou: -1, ciou: -1.5 } as const;
    fc.assert(
      fc.property(anyBox, anyBox, (a, b) => {
        for (const kind of KINDS) {
          const value = overlap(a, b, kind);
          expect(value).toBeCloseTo(overlap(b, a, kind), 12);
          expect(value).toBeGreaterThanOrEqual(least[kind] - 1e-9);
          expect(value).toBeLessThanOrEqual(1 + 1e-9);
          if (area(a) > 0) expect(overlap(a, a, kind)).toBeCloseTo(1, 9);
        }
        const plain = iou(a, b) + 1e-9;
        expect([giou(a, b) <= plain, diou(a, b) <= plain, ciou(a, b) <= diou(a, b)]).toEqual([
          true,
          true,
          true,
        ]);
      }),
      { ...SEEDED, numRuns: 500 },
    );
  });

  it("do not change when both boxes are moved or magnified", () => {
    const number = fc.double({ min: -100, max: 100, noNaN: true });
    fc.assert(
      fc.property(
        box,
        box,
        number,
        number,
        fc.double({ min: 0.1, max: 9, noNaN: true }),
        (a, b, x, y, factor) => {
          const moved = ([x1, y1, x2, y2]: Box): Box => [
            x1 * factor + x,
            y1 * factor + y,
            x2 * factor + x,
            y2 * factor + y,
          ];
          for (const kind of KINDS) {
            // Sides go down to 0.01 pixels hundreds of pixels from the origin.
            expect(overlap(moved(a), moved(b), kind)).toBeCloseTo(overlap(a, b, kind), 6);
          }
        },
      ),
      { ...SEEDED, numRuns: 300 },
    );
  });

  it("reaches 1.5 below 0 only in the limit: ciou of a standing and a lying line far apart", () => {
    const value = ciou([0, 0, 1e-6, 10], [1e7, 1e7, 1e7 + 10, 1e7 + 1e-6]);
    expect(value).toBeGreaterThan(-1.5);
    expect(value).toBeLessThan(-1.49);
  });
});

describe("formats", () => {
  it("turn into each other and back", () => {
    const formats = ["xyxy", "xywh", "cxcywh"] as const;
    const boxes = boxArray([
      [1, 2, 11, 32],
      [-5, 0, 5, 1],
    ]);
    expect([...convertBoxes(boxes, "xyxy", "xywh")]).toEqual([1, 2, 10, 30, -5, 0, 10, 1]);
    expect([...convertBoxes(boxes, "xyxy", "cxcywh")]).toEqual([6, 17, 10, 30, 0, 0.5, 10, 1]);
    for (const from of formats) {
      for (const to of formats) {
        const there = convertBoxes(convertBoxes(boxes, "xyxy", from), from, to);
        expect(convertBoxes(there, to, "xyxy")).toEqual(boxes);
      }
    }
    const float = Float32Array.from([1, 2, 3, 4]);
    const same = convertBoxes(float, "xywh", "xywh");
    expect(same).toEqual(float);
    expect(same).not.toBe(float);
    expect(() => convertBoxes(new Float32Array(5), "xyxy", "xywh")).toThrow(/5 numbers/);
  });

  it("clip at the borders of the image, shift and scale", () => {
    const boxes = boxArray([
      [-5, 2, 30, 50],
      [200, -9, 300, -1],
    ]);
    expect([...clipBoxes(boxes, { width: 20, height: 40 })]).toEqual([0, 2, 20, 40, 20, 0, 20, 0]);
    expect([...shiftBoxes(boxes, 5, -2)]).toEqual([0, 0, 35, 48, 205, -11, 305, -3]);
    expect([...scaleBoxes(boxes, 2, 0.5)]).toEqual([-10, 1, 60, 25, 400, -4.5, 600, -0.5]);
  });
});

describe("letterbox", () => {
  it("centers the image in the canvas, worked by hand", () => {
    const wide = letterbox({ width: 640, height: 480 }, { width: 320, height: 320 });
    expect(wide).toMatchObject({ inner: { width: 320, height: 240 }, left: 0, top: 40 });
    expect([...toLetterbox(boxArray([[64, 48, 640, 480]]), wide)]).toEqual([32, 64, 320, 280]);
    expect(letterbox({ width: 10, height: 21 }, { width: 100, height: 100 }, false)).toMatchObject({
      inner: { width: 10, height: 21 },
      left: 45,
      top: 39,
    });
    expect(letterbox({ width: 5000, height: 1 }, { width: 100, height: 50 }).inner).toEqual({
      width: 100,
      height: 1,
    });
  });

  it("has an inverse, and boxes in the padding are cut off", () => {
    const side = fc.integer({ min: 1, max: 900 });
    const size = fc.record({ width: side, height: side });
    fc.assert(
      fc.property(size, size, fc.boolean(), box, (image, canvas, enlarge, any) => {
        const fitted = letterbox(image, canvas, enlarge);
        expect(fitted.left + fitted.inner.width).toBeLessThanOrEqual(canvas.width);
        expect(fitted.top + fitted.inner.height).toBeLessThanOrEqual(canvas.height);
        const boxes = boxArray([any]);
        const back = fromLetterbox(toLetterbox(boxes, fitted), fitted, false);
        for (const [i, value] of back.entries()) expect(value).toBeCloseTo(boxes[i] ?? 0, 6);
        const whole = boxArray([[0, 0, canvas.width, canvas.height]]);
        const clipped = fromLetterbox(whole, fitted);
        for (const [i, edge] of [0, 0, image.width, image.height].entries())
          expect(clipped[i]).toBeCloseTo(edge, 9);
      }),
      { ...SEEDED, numRuns: 200 },
    );
  });

  it("refuses sizes that are none", () => {
    expect(() => letterbox({ width: 0, height: 3 }, { width: 9, height: 9 })).toThrow(
      /the image has 0 × 3 pixels/,
    );
    expect(() => letterbox({ width: 3, height: 3 }, { width: 9.5, height: 9 })).toThrow(
      /the canvas has 9.5 × 9/,
    );
  });
});

describe("detections", () => {
  it("are arrays or a list", () => {
    const list = [
      { box: [0, 0, 1, 1], score: 0.5, class: 2 },
      { box: [3, 4, 5, 6], score: 0.25, class: 0 },
    ] as const;
    expect(listDetections(toDetections(list))).toEqual(list);
    expect(listDetections(pickDetections(toDetections(list), [1]))).toEqual(list.slice(1));
    expect(boxAt(toDetections(list).boxes, 1)).toEqual([3, 4, 5, 6]);
  });
});
