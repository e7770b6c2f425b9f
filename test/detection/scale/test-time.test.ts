import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Box, boxAt, iou } from "../../../src/detection/boxes/boxes.ts";
import { type Detection, listDetections, toDetections } from "../../../src/detection/boxes/detections.ts";
import {
  isPlain,
  looksByScale,
  type MergeOptions,
  mergeDetections,
  mirrorBoxes,
  mirrorImages,
  viewsOf,
} from "../../../src/detection/scale/test-time.ts";
import { OptionError } from "../../../src/errors.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { gridBox, SEEDED } from "../arbitrary.ts";

describe("looks by scale", () => {
  const endless = Number.POSITIVE_INFINITY;

  it("are the scales with their ranges, as options have them", () => {
    const ranges = [
      { from: 0, to: 20.5 },
      { from: 6, to: endless },
    ];
    const looks = looksByScale(64, [2, 1], ranges);
    expect(looks).toEqual({ testScales: [2, 1], testRanges: ["0-20.5", "6-inf"] });
    expect(viewsOf(64, looks).views.map(({ side, range }) => ({ side, range }))).toEqual([
      { side: 128, range: ranges[0] },
      { side: 64, range: ranges[1] },
    ]);
    // Ranges are written without exponents, so that they can be read again.
    const [tiny, huge] = [1.25e-9, 3e21];
    const far = looksByScale(64, [1], [{ from: tiny, to: huge }]);
    expect(far.testRanges).toEqual([`0.00000000125-3${"0".repeat(21)}`]);
    expect(viewsOf(64, far).views[0]?.range).toEqual({ from: tiny, to: huge });
    expect(() => looksByScale(64, [2, 1, 0.5], ranges)).toThrow(/2 ranges for 3 scales/);
  });

  it("of the same size are one, for the sizes of all of them", () => {
    const looks = looksByScale(
      64,
      [1, 0.5, 0.25],
      [
        { from: 0, to: 23 },
        { from: 6, to: 45 },
        { from: 10, to: endless },
      ],
    );
    expect(looks).toEqual({ testScales: [1, 0.5], testRanges: ["0-23", "6-inf"] });
  });
});

describe("views", () => {
  it("are one for each scale, and its mirror image where asked", () => {
    const { views, sides, options } = viewsOf(64, {
      testScales: [0.5, 1, 2],
      mirror: true,
      testRanges: ["0-20", "10-40", "30-inf"],
    });
    expect(sides).toEqual([32, 64, 128]);
    expect(views.map(({ side, mirrored }) => [side, mirrored])).toEqual([
      [32, false],
      [32, true],
      [64, false],
      [64, true],
      [128, false],
      [128, true],
    ]);
    expect(views.map(({ range }) => range?.to)).toEqual([20, 20, 40, 40, Infinity, Infinity]);
    expect(options).toEqual({
      testScales: [0.5, 1, 2],
      mirror: true,
      merge: "nms",
      testRanges: ["0-20", "10-40", "30-inf"],
    });
  });

  it("are plain where an image is looked at once, as it is", () => {
    const plain = (options: Parameters<typeof viewsOf>[1]) => isPlain(viewsOf(64, options), 64);
    expect(plain({})).toBe(true);
    expect(plain({ testScales: [1] })).toBe(true);
    expect(plain({ testScales: [2] })).toBe(false);
    expect(plain({ mirror: true })).toBe(false);
    expect(plain({ testRanges: ["5-inf"] })).toBe(false);
  });

  it.each([
    [{ testScales: [] }, /testScales/],
    [{ testScales: [5] }, /testScales/],
    [{ testScales: [1, 1.1] }, /option testScales: 1 and 1.1 are both images of 64 pixels; leave one out/],
    [{ testScales: [1, 2], testRanges: ["0-20"] }, /option testRanges: 1 range for 2 scales/],
    [{ testRanges: ["20-10"] }, /option testRanges: "20-10" is no range of sizes/],
    [{ merge: "fusion" as const }, /option merge: fusion merges .* give testScales, or mirror/],
  ])("are refused: %o", (options, message) => {
    expect(() => viewsOf(64, options)).toThrow(OptionError);
    expect(() => viewsOf(64, options)).toThrow(message);
  });
});

describe("mirror images", () => {
  const [width, height] = [9, 5];
  const pixel = fc.tuple(fc.nat(width - 1), fc.nat(height - 1));

  it("show things where mirrored boxes are", () => {
    fc.assert(
      fc.property(pixel, pixel, ([xa, ya], [xb, yb]) => {
        const box: Box = [Math.min(xa, xb), Math.min(ya, yb), Math.max(xa, xb) + 1, Math.max(ya, yb) + 1];
        const inside = ([x1, y1, x2, y2]: Box, x: number, y: number) =>
          x >= x1 && x < x2 && y >= y1 && y < y2;
        const painted = (of: Box) =>
          Float32Array.from({ length: 2 * width * height }, (_, i) =>
            inside(of, i % width, Math.floor(i / width) % height) ? 255 : 0,
          );
        const shape = [1, 2, height, width];
        const mirror = boxAt(mirrorBoxes(Float64Array.from(box), width), 0);
        expect(mirrorImages(float32(painted(box), shape)).data).toEqual(painted(mirror));
        expect(boxAt(mirrorBoxes(Float64Array.from(mirror), width), 0)).toEqual(box);
      }),
      SEEDED,
    );
  });

  it("leave the image itself as it is", () => {
    const x = float32([1, 2, 3, 4], [1, 1, 2, 2]);
    expect(Array.from(mirrorImages(x).data)).toEqual([2, 1, 4, 3]);
    expect(Array.from(x.data)).toEqual([1, 2, 3, 4]);
  });
});

describe("merging", () => {
  const detection: fc.Arbitrary<Detection> = fc.record({
    box: gridBox.filter(([x1, y1, x2, y2]) => x2 > x1 && y2 > y1),
    score: fc.integer({ min: 1, max: 1000 }).map((score) => score / 1000),
    class: fc.nat(1),
  });
  const sets = fc.array(fc.array(detection, { maxLength: 5 }), { minLength: 1, maxLength: 4 });
  const settings: MergeOptions = { merge: "nms", confidence: 0.05, iou: 0.5, maximum: 8, partial: false };

  /** A box and its score, rounded. */
  const shown = (list: readonly Detection[]) =>
    list.map(({ box, score, class: label }) =>
      [...box, score, label].map((value) => value.toFixed(9)).join(),
    );
  const best = (list: readonly Detection[]) => list.toSorted((a, b) => b.score - a.score);

  /** Scores are made different, so that the order is one alone. */
  const distinct = (lists: readonly (readonly Detection[])[]): readonly (readonly Detection[])[] => {
    let number = 0;
    return lists.map((list) => list.map((own) => ({ ...own, score: own.score * 0.9 + 1e-4 * number++ })));
  };

  it("nms: the best stays of all that overlap, by loops over all pairs", () => {
    fc.assert(
      fc.property(sets, (given) => {
        const lists = distinct(given);
        const kept: Detection[] = [];
        for (const own of best(lists.flat())) {
          const rival = kept.some((other) => other.class === own.class && iou(other.box, own.box) > 0.5);
          if (!rival) kept.push(own);
        }
        const merged = mergeDetections(lists.map(toDetections), settings);
        expect(shown(listDetections(merged))).toEqual(shown(kept.slice(0, 8)));
      }),
      SEEDED,
    );
  });

  it("soft-nms: the best in turn lowers the scores of the others, by loops over all pairs", () => {
    fc.assert(
      fc.property(sets, (given) => {
        let rest: readonly Detection[] = distinct(given).flat();
        const kept: Detection[] = [];
        for (let [top] = best(rest); top !== undefined; [top] = best(rest)) {
          const chosen = top;
          kept.push(chosen);
          rest = rest
            .filter((own) => own !== chosen)
            .map((own) => {
              const overlap = own.class === chosen.class ? iou(own.box, chosen.box) : 0;
              return { ...own, score: own.score * Math.exp(-(overlap ** 2) / 0.5) };
            })
            .filter(({ score }) => score >= 0.05);
        }
        const enough = best(kept).filter(({ score }) => score >= 0.05);
        const merged = mergeDetections(distinct(given).map(toDetections), { ...settings, merge: "soft-nms" });
        expect(shown(listDetections(merged))).toEqual(shown(enough.slice(0, 8)));
      }),
      SEEDED,
    );
  });

  it("fusion: an object that one of two sets lacks counts half, but for sets of some sizes alone", () => {
    const one: Detection = { box: [0, 0, 10, 10], score: 0.8, class: 0 };
    const other: Detection = { box: [0, 0, 10, 12], score: 0.4, class: 0 };
    const alone: Detection = { box: [50, 50, 60, 60], score: 0.6, class: 1 };
    const two = [toDetections([one, alone]), toDetections([other])];
    const fused = listDetections(mergeDetections(two, { ...settings, merge: "fusion" }));
    expect(shown(fused)).toEqual(
      shown([
        { box: [0, 0, 10, (10 * 0.8 + 12 * 0.4) / 1.2], score: 0.6, class: 0 },
        { ...alone, score: 0.3 },
      ]),
    );
    const partial = listDetections(mergeDetections(two, { ...settings, merge: "fusion", partial: true }));
    expect(partial.map(({ score }) => score)).toEqual([0.8, 0.6]);
    const sure = mergeDetections(two, { ...settings, merge: "fusion", confidence: 0.5 });
    expect(sure.scores).toHaveLength(1);
  });
});
