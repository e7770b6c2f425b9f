import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boxArray, boxAt, diou, iou } from "../../../src/detection/boxes/boxes.ts";
import { nms } from "../../../src/detection/boxes/nms.ts";
import { Random } from "../../../src/random.ts";
import { anyBox, SEEDED } from "../arbitrary.ts";
import { crowd, readFixture } from "../fixture.ts";

interface Suppression {
  readonly threshold: number;
  readonly boxes: readonly number[];
  readonly scores: readonly number[];
  readonly classes: readonly number[];
  readonly all: readonly number[];
  readonly byClass: readonly number[];
}

const { by, suppressions } = await readFixture<{
  readonly by: string;
  readonly suppressions: readonly Suppression[];
}>("geometry");

/** Every box against every kept one, as the definition has it. */
function plainly(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  threshold: number,
  measure: typeof iou,
): readonly number[] {
  const order = [...Array(scores.length).keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const kept: number[] = [];
  const all = order.map((_, i) => boxAt(boxes, i));
  for (const i of order) {
    const own = boxAt(boxes, i);
    if (kept.every((k) => measure(own, all[k] ?? own) <= threshold)) kept.push(i);
  }
  return kept;
}

describe("nms", () => {
  it(`keeps what ${by} keeps, over all boxes and by class`, () => {
    for (const { boxes, scores, classes, threshold, all, byClass } of suppressions) {
      expect([...nms(boxes, scores, { threshold })]).toEqual(all);
      expect([...nms(boxes, scores, { threshold, classes })]).toEqual(byClass);
    }
  });

  it.each([0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.95, 1])(
    "keeps what the definition keeps at %f, among many",
    (threshold) => {
      for (const [seed, side] of [
        [1, 100],
        [2, 400],
        [3, 3000],
      ] as const) {
        const { boxes, scores } = crowd(seed, 500, side);
        expect([...nms(boxes, scores, { threshold })]).toEqual(plainly(boxes, scores, threshold, iou));
        const apart = nms(boxes, scores, { threshold, overlap: "diou" });
        expect([...apart]).toEqual(plainly(boxes, scores, threshold, diou));
      }
    },
  );

  it("finds suppressions at the farthest: nested boxes, and shifted ones, just above the threshold", () => {
    const random = new Random(4);
    for (const threshold of [0.06, 0.2, 0.45, 0.5, 0.55, 0.8]) {
      const pairs = Array.from({ length: 200 }, (_, i) => {
        const [x, y, size] = [400 * i, 300 * random.uniform(), 1 + 99 * random.uniform()];
        const share = threshold + (i % 2 ? 1e-7 : -1e-7);
        // Part of a box at its left edge, or the box moved to where the overlap is that share.
        const shift = (size * (1 - share)) / (1 + share);
        const [big, small] = [
          [x, y, x + size, y + size],
          i % 3 ? [x, y, x + size * share, y + size] : [x + shift, y, x + shift + size, y + size],
        ] as const;
        return i % 5 < 3 ? [big, small] : [small, big];
      });
      const boxes = boxArray(
        pairs.flatMap((pair) => pair.map(([a = 0, b = 0, c = 0, d = 0]) => [a, b, c, d] as const)),
      );
      const scores = Float64Array.from({ length: 400 }, (_, i) => 1 - i / 400);
      const kept = new Set(nms(boxes, scores, { threshold }));
      for (let i = 0; i < 200; i++) expect(kept.has(2 * i + 1), `${threshold}, pair ${i}`).toBe(i % 2 === 0);
    }
  });

  it("changes nothing the second time, and leaves no two boxes that overlap by more", () => {
    const entry = fc.record({
      box: anyBox,
      score: fc.double({ min: 0, max: 1, noNaN: true }),
      label: fc.nat(2),
    });
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 40 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (list, threshold) => {
          const boxes = boxArray(list.map(({ box }) => box));
          const scores = list.map(({ score }) => score);
          const classes = list.map(({ label }) => label);
          for (const overlap of ["iou", "diou"] as const) {
            const kept = nms(boxes, scores, { threshold, classes, overlap });
            const pick = <T>(values: readonly T[]) => Array.from(kept, (i) => values[i] as T);
            const again = nms(boxArray(pick(list).map(({ box }) => box)), pick(scores), {
              threshold,
              classes: pick(classes),
              overlap,
            });
            expect([...again]).toEqual([...kept.keys()]);
            const measure = overlap === "iou" ? iou : diou;
            for (const [at, i] of kept.entries()) {
              for (const j of kept.subarray(at + 1)) {
                if (classes[i] !== classes[j]) continue;
                expect(measure(boxAt(boxes, i), boxAt(boxes, j))).toBeLessThanOrEqual(threshold);
              }
              expect(scores[i]).toBeGreaterThanOrEqual(scores[kept[at + 1] ?? i] ?? 0);
            }
          }
        },
      ),
      { ...SEEDED, numRuns: 200 },
    );
  });

  it("takes the first of equal scores, and leaves out what is not a number", () => {
    const same = [0, 0, 4, 4];
    const boxes = [...same, ...same, 9, 9, 9, 9, ...same, 1, Number.NaN, 2, 2, 0, 0, Infinity, 5];
    expect([...nms(boxes, [0.5, 0.5, 0.5, Number.NaN, 0.9, 0.9])]).toEqual([0, 2]);
    expect([...nms([...same, ...same], [Number.NaN, -Infinity])]).toEqual([1]);
    expect([...nms([...same, 9, 9, 10, 10], [-Infinity, Infinity])]).toEqual([1, 0]);
    expect([...nms([], [])]).toEqual([]);
    // Boxes without an area overlap with nothing, not even with themselves.
    expect([...nms([9, 9, 9, 9, 9, 9, 9, 9], [1, 1], { threshold: 0 })]).toEqual([0, 1]);
  });

  it("keeps at most as many as told, of the scores that are told", () => {
    const { boxes, scores } = crowd(7, 300, 500);
    const all = nms(boxes, scores);
    expect([...nms(boxes, scores, { maximum: 10 })]).toEqual([...all.slice(0, 10)]);
    const classes = Array.from(scores, (_, i) => i % 3);
    const byClass = nms(boxes, scores, { classes });
    expect([...nms(boxes, scores, { classes, maximum: 25 })]).toEqual([...byClass.slice(0, 25)]);
    expect([...nms(boxes, scores, { minimumScore: 0.8 })]).toEqual([
      ...all.filter((i) => (scores[i] ?? 0) >= Math.fround(0.8)),
    ]);
    expect(nms(boxes, scores, { maximum: 0 }).length).toBe(0);
  });

  it("spares boxes whose centers lie apart when told to compare distances", () => {
    // Two people behind each other: IoU 0.54, centers 3 pixels apart in a hull of 13 by 20.
    const boxes = [0, 0, 10, 20, 3, 0, 13, 20];
    expect([...nms(boxes, [0.9, 0.8], { threshold: 0.53 })]).toEqual([0]);
    expect([...nms(boxes, [0.9, 0.8], { threshold: 0.53, overlap: "diou" })]).toEqual([0, 1]);
  });

  it("names the option at fault", () => {
    expect(() => nms([0, 0, 1, 1], [1], { threshold: 1.5 })).toThrow(/nms: threshold 1.5/);
    expect(() => nms([0, 0, 1, 1], [1, 2])).toThrow(/nms: 1 boxes, 2 scores do not belong together/);
    expect(() => nms([0, 0, 1, 1], [1], { classes: [] })).toThrow(/1 scores and 0 classes/);
    expect(() => nms([0, 0, 1, 1], [1], { maximum: -1 })).toThrow(/maximum -1/);
  });
});
