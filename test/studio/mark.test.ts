import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeMark, encodeMark, photoPath } from "../../studio/mark/address.ts";
import {
  along,
  type Box,
  boxBetween,
  fitted,
  handleNear,
  heldIn,
  middleBox,
  overlap,
  resized,
  shifted,
  smallestAt,
  stretched,
  toPhoto,
  zoomed,
} from "../../studio/mark/geometry.ts";
import { begin, type Marked, redo, step, undo } from "../../studio/mark/history.ts";
import { columnsIn, rowsSeen } from "../../studio/mark/rows.ts";
import { doubt, fresh, suspects } from "../../studio/mark/suspects.ts";

const photo = { width: 100, height: 50 };
const box: Box = [10, 10, 30, 20];

describe("a view of a photo", () => {
  it("shows all of it, in the middle", () => {
    expect(fitted(photo, { width: 200, height: 200 })).toEqual({ scale: 2, x: 0, y: 50 });
    expect(fitted(photo, { width: 50, height: 200 })).toEqual({ scale: 0.5, x: 0, y: 87.5 });
  });

  it("keeps the point under the pointer when it zooms, as far as it goes", () => {
    const view = { scale: 2, x: 5, y: 7 };
    const near = zoomed(view, 3, [40, 30]);
    expect(toPhoto(near, [40, 30])).toEqual(toPhoto(view, [40, 30]));
    expect(near.scale).toBe(6);
    expect(zoomed(view, 1e9, [0, 0]).scale).toBe(40);
  });

  it("never loses the photo", () => {
    const { x, y } = heldIn({ scale: 1, x: -1e6, y: 1e6 }, photo, { width: 300, height: 300 });
    expect([x, y]).toEqual([-40, 250]);
  });
});

describe("a box", () => {
  it("has edges on whole pixels within the photo, whichever corner was first", () => {
    expect(boxBetween([30.4, 20.6], [9.6, -5], photo)).toEqual([10, 0, 30, 21]);
    expect(boxBetween([120, 3], [130, 9], photo)).toBeUndefined();
    expect(boxBetween([3, 3], [3.2, 9], photo)).toBeUndefined();
  });

  it("is resized by the handle that is near, and keeps a pixel", () => {
    expect(handleNear(box, [30.5, 20.5], 2)).toEqual([1, 1]);
    expect(handleNear(box, [20, 10], 2)).toEqual([0, -1]);
    expect(handleNear(box, [20, 15], 2)).toBeUndefined();
    expect(resized(box, [1, 1], [200, 3], photo)).toEqual([10, 10, 100, 11]);
    expect(resized(box, [-1, 0], [95, 3], photo)).toEqual([29, 10, 30, 20]);
  });

  it("is moved within the photo; one that reaches beyond it is not pulled in", () => {
    expect(shifted(box, [5, -3], photo)).toEqual([15, 7, 35, 17]);
    expect(shifted(box, [-50, 90], photo)).toEqual([0, 40, 20, 50]);
    expect(shifted([-4, 0, 10, 10], [0, 1], photo)).toEqual([-4, 1, 10, 11]);
    expect(stretched(box, [-40, 2], photo)).toEqual([10, 10, 11, 22]);
    expect(stretched([10.5, 10, 30.5, 20], [0, 1], photo)).toEqual([10.5, 10, 30.5, 21]);
  });

  it("is chosen where it is the smallest under the pointer", () => {
    const [large, small] = [{ box: [0, 0, 50, 50] as Box }, { box }];
    expect(smallestAt([small, large], [12, 12], 0)).toBe(small);
    expect(smallestAt([small, large], [45, 45], 0)).toBe(large);
    expect(smallestAt([small, large], [80, 45], 0)).toBeUndefined();
  });

  it("overlaps another by intersection over union", () => {
    expect(overlap(box, box)).toBe(1);
    expect(overlap([0, 0, 2, 2], [1, 1, 3, 3])).toBeCloseTo(1 / 7);
    expect(overlap(box, [30, 10, 40, 20])).toBe(0);
  });

  it("takes its outline along", () => {
    expect(along([10, 10, 30, 20, 20, 15], box, [20, 0, 60, 20])).toEqual([20, 0, 60, 20, 40, 10]);
  });

  it("is in the middle of what is seen where it is drawn by keys", () => {
    expect(middleBox({ scale: 2, x: 0, y: 0 }, photo, { width: 200, height: 100 })).toEqual([37, 19, 63, 31]);
    // Far into the photo, where a few pixels are seen.
    const near = middleBox({ scale: 40, x: -3960, y: -1960 }, photo, { width: 80, height: 80 });
    expect(near[2] - near[0]).toBeGreaterThan(0);
    expect(near[2]).toBeLessThanOrEqual(100);
  });
});

describe("steps", () => {
  const at = (left: number): Marked => ({
    marks: [{ id: 1, class: "a", box: [left, 0, 9, 9], difficult: false, crowd: false }],
    isMarked: true,
  });
  const lefts = (history: ReturnType<typeof begin>) => history.now.marks[0]?.box[0];

  it("are undone and done again", () => {
    const all = step(step(begin(at(0)), at(1)), at(2));
    expect(lefts(undo(all))).toBe(1);
    expect(lefts(undo(undo(undo(all))))).toBe(0);
    expect(lefts(redo(redo(undo(undo(all)))))).toBe(2);
    expect(step(undo(all), at(5)).future).toEqual([]);
  });

  it("of one kind after one another are one, until something else was done", () => {
    let history = begin(at(0));
    for (const left of [1, 2, 3]) history = step(history, at(left), "nudge");
    expect(lefts(undo(history))).toBe(0);
    history = step(redo(undo(history)), at(4), "nudge");
    expect(lefts(undo(history))).toBe(3);
  });
});

describe("photos that are worth a look", () => {
  const found = (label: string, score: number, own: Box) => ({ label, score, box: own });
  const mark = (name: string, own: Box, difficult = false) => ({
    class: name,
    box: own,
    difficult,
    crowd: false,
  });

  it("are those with an object of which the run is unsure", () => {
    expect(doubt([found("a", 0.5, box), found("a", 0.99, box)])).toBe(1);
    expect(doubt([found("a", 0.99, box)])).toBeCloseTo(0.0396);
    expect(doubt([])).toBe(0.5);
  });

  it("are those whose marks it contradicts: missed, not found, of another class", () => {
    const far: Box = [60, 10, 80, 30];
    expect(suspects([mark("a", box)], [found("a", 0.9, box), found("b", 0.8, far)])).toEqual([
      { kind: "missed", weight: 0.8, box: far, class: "b" },
    ]);
    expect(suspects([mark("a", box), mark("a", far)], [found("a", 0.9, box), found("a", 0.25, far)])).toEqual(
      [{ kind: "not-found", weight: 0.75, box: far, class: "a" }],
    );
    expect(suspects([mark("a", box)], [found("b", 0.75, box), found("a", 0.25, box)])).toEqual([
      { kind: "other-class", weight: 0.5, box, class: "b" },
    ]);
    expect(suspects([mark("a", far, true)], [])).toEqual([]);
  });

  it("are those whose boxes lie far from what it finds, unless that is of the mark beside", () => {
    // IoU 1/3: half of each box is shared.
    const [drawn, seen]: Box[] = [
      [10, 10, 30, 20],
      [20, 10, 40, 20],
    ] as const;
    expect(suspects([mark("a", drawn)], [found("a", 0.9, seen)])).toEqual([
      { kind: "badly-placed", weight: 0.9 * (1 - 1 / 3), box: seen, class: "a" },
    ]);
    expect(
      suspects([mark("a", drawn), mark("a", seen)], [found("a", 0.9, seen), found("a", 0.8, drawn)]),
    ).toEqual([]);
    expect(suspects([mark("a", drawn)], [found("a", 0.4, seen)]).map(({ kind }) => kind)).toEqual([
      "not-found",
    ]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 40 }),
        fc.double({ min: 0.5, max: 1, noNaN: true }),
        (by, score) => {
          const moved: Box = [drawn[0] + by, drawn[1], drawn[2] + by, drawn[3]];
          const kinds = suspects([mark("a", drawn)], [found("a", score, moved)])
            .map(({ kind }) => kind)
            .toSorted();
          // 20 wide: by 5 they share 3/5, by 12 a quarter.
          const right = by <= 5 ? [] : by <= 12 ? ["badly-placed"] : ["missed", "not-found"];
          expect(kinds).toEqual(right);
        },
      ),
    );
  });

  it("propose what is sure enough and not marked yet", () => {
    const near: Box = [10, 10, 30, 21];
    const all = [found("a", 0.9, near), found("a", 0.6, [50, 0, 70, 20]), found("a", 0.2, [0, 30, 9, 40])];
    expect(fresh(all, [{ box }], 0.5)).toEqual([all[1]]);
  });
});

describe("the grid", () => {
  it("has the rows on the page that are seen, and a few more", () => {
    expect(columnsIn(350, 100)).toBe(3);
    expect(columnsIn(20, 100)).toBe(1);
    expect(rowsSeen(10_000, 3, 100, 50_000, 400)).toEqual({ from: 1494, to: 1518, rows: 3334 });
    expect(rowsSeen(2, 3, 100, 0, 400)).toEqual({ from: 0, to: 2, rows: 1 });
    expect(rowsSeen(0, 3, 100, 0, 400)).toEqual({ from: 0, to: 0, rows: 0 });
  });
});

describe("the address", () => {
  it("holds the folder and the photo, whatever they are called", () => {
    const view = { folder: "./cats & dogs", photo: "a/ü?#.jpg" };
    expect(decodeMark(encodeMark(view))).toEqual(view);
    expect(decodeMark("photo=a.jpg")).toEqual({ folder: "", photo: "" });
    expect(encodeMark({ folder: "", photo: "a" })).toBe("");
    expect(photoPath("image", view.folder, view.photo)).toBe(
      "mark/image?folder=.%2Fcats+%26+dogs&photo=a%2F%C3%BC%3F%23.jpg",
    );
  });
});
