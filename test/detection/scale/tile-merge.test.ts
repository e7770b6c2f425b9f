import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { area, type Box, enclosing, intersection, iou } from "../../../src/detection/boxes/boxes.ts";
import { type Detection, listDetections, toDetections } from "../../../src/detection/boxes/detections.ts";
import { BoxCells, mergeTiles, overSmaller } from "../../../src/detection/scale/tile-merge.ts";
import { SEEDED } from "../arbitrary.ts";

const SIDE = 40;
const settings = { side: SIDE, threshold: 0.5, acrossClasses: false } as const;

const detection = (box: Box, score: number, label = 0): Detection => ({ box, score, class: label });

/** Greedy merging as SAHI's code has it, in plain loops over all pairs: the best takes all that match it, again and again. */
function byLoops(
  sets: readonly (readonly Detection[])[],
  {
    merge,
    threshold,
    acrossClasses,
  }: { merge: "nms" | "ios" | "union"; threshold: number; acrossClasses: boolean },
): readonly Detection[] {
  let left = sets
    .flatMap((set, tile) => set.map((each) => ({ ...each, tile })))
    .map((each, order) => ({ ...each, order }))
    .sort((a, b) => b.score - a.score || a.order - b.order);
  const result: Detection[] = [];
  for (;;) {
    const [best, ...others] = left;
    if (best === undefined) return result;
    let hull = best.box;
    left = others.filter((other) => {
      const comparable = other.class === best.class ? other.tile !== best.tile : acrossClasses;
      const shared = intersection(best.box, other.box);
      const overlap =
        merge === "nms" ? iou(best.box, other.box) : shared / Math.min(area(best.box), area(other.box));
      if (!comparable || shared === 0 || overlap < threshold) return true;
      hull = enclosing(hull, other.box);
      return false;
    });
    result.push({ box: merge === "union" ? hull : best.box, score: best.score, class: best.class });
  }
}

const box = fc
  .tuple(fc.nat(60), fc.nat(60), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }))
  .map(([x, y, w, h]): Box => [x, y, x + w, y + h]);
const found = fc.array(
  fc.array(
    fc.tuple(box, fc.nat(100), fc.nat(1)).map(([of, score, label]) => detection(of, score / 100, label)),
    { maxLength: 8 },
  ),
  { maxLength: 5 },
);

describe("detections of tiles as one set", () => {
  test.each(["nms", "ios", "union"] as const)("by %s are those of plain loops over all pairs", (merge) => {
    fc.assert(
      fc.property(found, fc.boolean(), fc.constantFrom(0, 0.3, 0.5, 1), (sets, acrossClasses, threshold) => {
        const options = { merge, threshold, acrossClasses };
        const merged = listDetections(mergeTiles(sets.map(toDetections), { side: SIDE, ...options }));
        expect(merged).toEqual(byLoops(sets, options));
      }),
      SEEDED,
    );
  });

  it("of one tile are those of the tile, whatever they overlap with", () => {
    const set = [
      detection([0, 0, 20, 20], 0.9),
      detection([2, 2, 12, 12], 0.8),
      detection([1, 1, 19, 19], 0.7),
    ];
    for (const merge of ["nms", "ios", "union", "edges"] as const) {
      expect(listDetections(mergeTiles([toDetections(set)], { ...settings, merge }, [undefined]))).toEqual(
        set,
      );
    }
  });

  it("of an object that an edge cuts are the part where it scores higher, but for union, which has the whole", () => {
    const [part, whole] = [detection([30, 10, 40, 20], 0.9), detection([30, 10, 48, 20], 0.8)];
    const of = (merge: "nms" | "ios" | "union") =>
      listDetections(mergeTiles([toDetections([part]), toDetections([whole])], { ...settings, merge }));
    expect(of("ios")).toEqual([part]);
    expect(of("union")).toEqual([{ ...whole, score: 0.9 }]);
    const sliver = detection([30, 10, 36, 20], 0.9);
    // A third of the whole: their union says that they are two.
    const both = mergeTiles([toDetections([sliver]), toDetections([whole])], { ...settings, merge: "nms" });
    expect(listDetections(both)).toEqual([sliver, whole]);
    expect(overSmaller(sliver.box, whole.box)).toBe(1);
    expect(overSmaller(sliver.box, [100, 100, 120, 120])).toBe(0);
  });

  it("by edges grow where an edge of the tile cuts them off, and by what is nearly as sure", () => {
    // Two tiles of 40 pixels beside each other, 20 pixels in common, in an image of 60 × 40.
    const windows = [
      { left: 0, top: 0, width: 40, height: 40 },
      { left: 20, top: 0, width: 40, height: 40 },
    ];
    const of = (first: ReturnType<typeof detection>, second: ReturnType<typeof detection>) =>
      listDetections(
        mergeTiles(
          [toDetections([first]), toDetections([second])],
          { ...settings, side: 40, merge: "edges" },
          windows,
        ),
      );
    const part = detection([30, 10, 40, 20], 0.9);
    const whole = (score: number) => detection([30, 10, 48, 20], score);
    expect(of(part, whole(0.8))).toEqual([whole(0.9)]);
    expect(of(part, whole(0.45))).toEqual([whole(0.9)]);
    expect(of(part, whole(0.4))).toEqual([part]);
    // What lies within its tile is whole, and so is what ends where the image does.
    const within = detection([25, 10, 35, 20], 0.9);
    expect(of(within, detection([22, 5, 45, 25], 0.8))).toEqual([within]);
    const border = detection([20.5, 0, 38, 10], 0.9);
    expect(of(border, detection([20.5, 0, 45, 15], 0.8))).toEqual([border]);
    const right = detection([45, 30, 60, 40], 0.9);
    expect(
      listDetections(
        mergeTiles(
          [toDetections([detection([39, 28, 60, 40], 0.8)]), toDetections([right])],
          { ...settings, side: 40, merge: "edges" },
          windows,
        ),
      ),
    ).toEqual([right]);
    expect(() => mergeTiles([toDetections([part])], { ...settings, merge: "edges" })).toThrow(
      "1 sets have 0 tiles",
    );
  });

  it("by edges keep their boxes whatever unsure box lies around them, as an image of many low scores has", () => {
    const windows = [
      { left: 0, top: 0, width: 40, height: 40 },
      { left: 20, top: 0, width: 40, height: 40 },
      undefined,
    ];
    fc.assert(
      fc.property(fc.array(box, { maxLength: 8 }), (junk) => {
        const objects = [detection([4, 4, 12, 14], 0.9), detection([30, 20, 40, 30], 0.8)];
        const unsure = junk.map((of) => detection(of, 0.01));
        const sets = [objects, unsure, [detection([0, 0, 60, 40], 0.02)]].map(toDetections);
        const merged = listDetections(mergeTiles(sets, { ...settings, side: 40, merge: "edges" }, windows));
        expect(merged.slice(0, 2)).toEqual(objects);
      }),
      SEEDED,
    );
  });

  it("keep landmarks where all sets have them; nothing found is nothing", () => {
    const at = (x: number) => ({
      ...detection([x, 0, x + 5, 5], 0.5 + x / 1000),
      landmarks: [[x + 1, 2] as const],
    });
    const sets = [toDetections([at(0)]), toDetections([]), toDetections([at(50)])];
    expect(listDetections(mergeTiles(sets, { ...settings, merge: "union" }))).toEqual([at(50), at(0)]);
    const mixed = [toDetections([at(0)]), toDetections([detection([50, 0, 55, 5], 0.9)])];
    expect(
      listDetections(mergeTiles(mixed, { ...settings, merge: "union" })).map((each) => each.landmarks),
    ).toEqual([undefined, undefined]);
    expect(mergeTiles([], { ...settings, merge: "union" }).scores.length).toBe(0);
    expect(mergeTiles([toDetections([])], { ...settings, merge: "nms" }).boxes.length).toBe(0);
  });
});

describe("cells that boxes are held in", () => {
  const entry = (own: Box, rank: number) => ({ own, rank });

  it("are four at most of each box, however large it is", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 2e4, noNaN: true }),
        fc.double({ min: 0, max: 2e4, noNaN: true }),
        fc.double({ min: 1e-3, max: 2e4, noNaN: true }),
        fc.double({ min: 1e-3, max: 2e4, noNaN: true }),
        (x, y, width, height) => {
          const cells = new BoxCells(SIDE);
          cells.enter(entry([x, y, x + width, y + height], 0));
          expect(cells.entered).toBeGreaterThan(0);
          expect(cells.entered).toBeLessThanOrEqual(4);
        },
      ),
      SEEDED,
    );
  });

  it("are looked into in proportion to the boxes where all of them are as large as a huge image", () => {
    const count = 200;
    const cells = new BoxCells<{ readonly own: Box; readonly rank: number }>(320);
    for (let rank = 0; rank < count; rank++) {
      const huge: Box = [rank, rank, 20_000 - rank, 20_000 - 2 * rank];
      expect(cells.first(huge, ({ own }) => iou(own, huge) > 1)).toBeUndefined();
      cells.enter(entry(huge, rank));
    }
    // In cells of 320 pixels each of them would stand in 63 × 63.
    expect(cells.entered).toBeLessThanOrEqual(4 * count);
    expect(cells.visited).toBeLessThanOrEqual(4 * count);
  });

  it("are no more than there are with something in them where a huge box is looked around for small ones", () => {
    const cells = new BoxCells<{ readonly own: Box; readonly rank: number }>(SIDE);
    for (let rank = 0; rank < 10; rank++) cells.enter(entry([rank * 900, 5, rank * 900 + 10, 15], rank));
    const found = cells.first([0, 0, 20_000, 20_000], ({ rank }) => rank >= 4);
    expect(found?.rank).toBe(4);
    expect(cells.visited).toBeLessThanOrEqual(20);
  });
});
