import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import {
  type Chip,
  chipRoom,
  coverByChips,
  gridPositions,
  gridStep,
  holds,
  negativeChips,
} from "../../../src/detection/scale/chips.ts";
import { SEEDED } from "../arbitrary.ts";

const SIZE = { width: 300, height: 220 };

/** Boxes within the image, some larger than a chip. */
const boxIn = fc
  .tuple(
    fc.double({ min: 0, max: 290, noNaN: true }),
    fc.double({ min: 0, max: 210, noNaN: true }),
    fc.double({ min: 1, max: 120, noNaN: true }),
    fc.double({ min: 1, max: 120, noNaN: true }),
  )
  .map(([x, y, w, h]): Box => [x, y, Math.min(SIZE.width, x + w), Math.min(SIZE.height, y + h)]);
const boxesIn = fc.array(boxIn, { maxLength: 14 });
const sides = fc.integer({ min: 48, max: 400 });

const gridOf = (side: number, step: number): readonly Chip[] =>
  gridPositions(SIZE.height, side, step).flatMap((top) =>
    gridPositions(SIZE.width, side, step).map((left) => ({ left, top, hull: undefined })),
  );

/** The fewest chips of a grid that hold all boxes that any does, by trying sets of 1, 2, … of them. */
function fewest(boxes: readonly Box[], side: number, step: number): number {
  const masks = [
    ...new Set(
      gridOf(side, step).map((chip) =>
        boxes.reduce((mask, box, i) => mask | (holds(chip, side, box) ? 1 << i : 0), 0),
      ),
    ),
  ];
  const all = masks.reduce((a, b) => a | b, 0);
  let reached = new Set([0]);
  for (let count = 0; ; count++) {
    if (reached.has(all)) return count;
    reached = new Set([...reached].flatMap((done) => masks.map((mask) => done | mask)));
  }
}

describe("positive chips", () => {
  test("hold every box that any chip of the grid holds, and no chip is idle", () => {
    fc.assert(
      fc.property(boxesIn, sides, (boxes, side) => {
        const { chips, uncovered } = coverByChips(boxes, SIZE, side);
        const grid = gridOf(side, gridStep(side));
        for (const [i, box] of boxes.entries()) {
          const covered = chips.some((chip) => holds(chip, side, box));
          expect(covered).toBe(grid.some((chip) => holds(chip, side, box)));
          expect(uncovered.includes(i)).toBe(!covered);
          const longest = Math.max(box[2] - box[0], box[3] - box[1]);
          if (longest <= side - gridStep(side)) expect(covered).toBe(true);
        }
        for (const [k, chip] of chips.entries()) {
          const others = chips.slice(0, k);
          const own = boxes.filter(
            (box) => holds(chip, side, box) && !others.some((other) => holds(other, side, box)),
          );
          expect(own.length).toBeGreaterThan(0);
          // The chip that holds most of what is left: no other one of the grid would have held more.
          const most = Math.max(
            ...grid.map(
              (any) =>
                boxes.filter(
                  (box) => holds(any, side, box) && !others.some((other) => holds(other, side, box)),
                ).length,
            ),
          );
          expect(own.length).toBe(most);
        }
      }),
      SEEDED,
    );
  });

  test("are at most 1 + ln n times as many as the fewest", () => {
    fc.assert(
      fc.property(
        fc.array(boxIn, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 80, max: 160 }),
        (boxes, side) => {
          const step = 20;
          const { chips, uncovered } = coverByChips(boxes, SIZE, side, step);
          const n = Math.max(1, boxes.length - uncovered.length);
          expect(chips.length).toBeLessThanOrEqual((1 + Math.log(n)) * fewest(boxes, side, step));
        },
      ),
      { ...SEEDED, numRuns: 60 },
    );
  });

  test("do not depend on the order of the boxes, but for which are named", () => {
    fc.assert(
      fc.property(boxesIn, sides, (boxes, side) => {
        expect(coverByChips(boxes.toReversed(), SIZE, side).chips).toEqual(
          coverByChips(boxes, SIZE, side).chips,
        );
      }),
      SEEDED,
    );
  });

  test("of equal chips the topmost and leftmost is taken", () => {
    const { chips } = coverByChips([[100, 100, 110, 110]], SIZE, 64, 4);
    expect(chips).toEqual([{ left: 48, top: 48, hull: [100, 100, 110, 110] }]);
  });

  test("an image that is smaller than a chip is one chip", () => {
    const { chips, uncovered } = coverByChips(
      [
        [0, 0, 5, 5],
        [290, 210, 300, 220],
      ],
      SIZE,
      320,
    );
    expect(chips).toEqual([{ left: 0, top: 0, hull: [0, 0, 300, 220] }]);
    expect(uncovered).toEqual([]);
  });

  test("can be moved as far as they hold their objects and lie in the image", () => {
    fc.assert(
      fc.property(boxesIn, sides, (boxes, side) => {
        for (const chip of coverByChips(boxes, SIZE, side).chips) {
          const room = chipRoom(chip, SIZE, side);
          const held = boxes.filter((box) => holds(chip, side, box));
          for (const left of room.left)
            for (const top of room.top) {
              for (const box of held) expect(holds({ left, top }, side, box)).toBe(true);
              expect(left).toBeGreaterThanOrEqual(0);
              expect(top).toBeGreaterThanOrEqual(0);
              expect(left).toBeLessThanOrEqual(Math.max(0, SIZE.width - side));
              expect(top).toBeLessThanOrEqual(Math.max(0, SIZE.height - side));
            }
        }
      }),
      SEEDED,
    );
  });
});

describe("negative chips", () => {
  test("hold proposals that no positive chip holds, at least so many", () => {
    fc.assert(
      fc.property(
        boxesIn,
        boxesIn,
        fc.integer({ min: 48, max: 120 }),
        fc.integer({ min: 1, max: 3 }),
        (boxes, proposals, side, least) => {
          const positive = coverByChips(boxes, SIZE, side).chips;
          const left = proposals.filter((box) => !positive.some((chip) => holds(chip, side, box)));
          const negative = negativeChips(proposals, positive, SIZE, side, least);
          for (const chip of negative) {
            expect(left.filter((box) => holds(chip, side, box)).length).toBeGreaterThanOrEqual(least);
          }
          // What none of them holds is too sparse for another chip.
          const rest = left.filter((box) => !negative.some((chip) => holds(chip, side, box)));
          for (const chip of gridOf(side, gridStep(side))) {
            expect(rest.filter((box) => holds(chip, side, box)).length).toBeLessThan(least);
          }
        },
      ),
      { ...SEEDED, numRuns: 30 },
    );
  });
});

test("chips stand on a grid, the last one flush with the border", () => {
  expect(gridPositions(100, 40, 25)).toEqual([0, 25, 50, 60]);
  expect(gridPositions(90, 40, 25)).toEqual([0, 25, 50]);
  expect(gridPositions(30, 40, 25)).toEqual([0]);
  expect([512, 96, 8].map(gridStep)).toEqual([32, 6, 1]);
});
