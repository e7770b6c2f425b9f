import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  anchorGrid,
  anchorLevels,
  anchorShapes,
  cellCenters,
  clusterAnchors,
} from "../../../src/detection/boxes/anchors.ts";
import { area, boxArray, boxAt, boxCount, iou } from "../../../src/detection/boxes/boxes.ts";
import { Random } from "../../../src/random.ts";
import { box, SEEDED } from "../arbitrary.ts";

describe("grids", () => {
  it("have anchors of all shapes around the centers of the cells", () => {
    const shapes = anchorShapes([16, 32], [0.5, 1, 2]);
    expect(shapes.length).toBe(6);
    expect(shapes[0]).toEqual({ width: 16 / Math.sqrt(0.5), height: 16 * Math.sqrt(0.5) });
    for (const [i, { width, height }] of shapes.entries()) {
      expect(width * height).toBeCloseTo(i % 2 ? 1024 : 256, 9);
      expect(height / width).toBeCloseTo([0.5, 1, 2][Math.floor(i / 2)] ?? 0, 9);
    }
    const square = [
      { width: 4, height: 4 },
      { width: 2, height: 6 },
    ] as const;
    const grid = { rows: 1, columns: 2, stride: 8, shapes: square };
    expect([...cellCenters(grid)]).toEqual([4, 4, 12, 4]);
    expect([...anchorGrid(grid)]).toEqual([2, 2, 6, 6, 3, 1, 5, 7, 10, 2, 14, 6, 11, 1, 13, 7]);
    const { boxes, strides } = anchorLevels([
      grid,
      { rows: 2, columns: 1, stride: 16, shapes: square.slice(0, 1) },
    ]);
    expect([...strides]).toEqual([8, 8, 8, 8, 16, 16]);
    expect(boxAt(boxes, 5)).toEqual([6, 22, 10, 26]);
  });
});

describe("clusterAnchors", () => {
  /** Boxes of three shapes, give or take a tenth, anywhere. */
  function threeKinds() {
    const random = new Random(8);
    return boxArray(
      Array.from({ length: 300 }, (_, i) => {
        const [width, height] = (
          [
            [10, 20],
            [60, 50],
            [200, 150],
          ] as const
        )[i % 3] ?? [1, 1];
        const [x, y] = [500 * random.uniform(), 500 * random.uniform()];
        const size = () => 0.95 + 0.1 * random.uniform();
        return [x, y, x + width * size(), y + height * size()] as const;
      }),
    );
  }

  it("finds the shapes that there are, from the smallest up", () => {
    const { shapes, meanIou } = clusterAnchors(threeKinds(), 3);
    const sizes = shapes.flatMap(({ width, height }) => [width, height]);
    for (const [i, size] of [10, 20, 60, 50, 200, 150].entries()) {
      expect((sizes[i] ?? 0) / size).toBeCloseTo(1, 1);
    }
    expect(meanIou).toBeGreaterThan(0.92);
  });

  it("gives the same for a seed, and counts small boxes as much as large ones", () => {
    const boxes = threeKinds();
    expect(clusterAnchors(boxes, 5, { seed: 3 })).toEqual(clusterAnchors(boxes, 5, { seed: 3 }));
    const scaled = clusterAnchors(
      boxes.map((value) => 7 * value),
      3,
    );
    expect(scaled.meanIou).toBeCloseTo(clusterAnchors(boxes, 3).meanIou, 9);
  });

  it("tells the mean IoU with the best shape, and one shape a box fits exactly", () => {
    fc.assert(
      fc.property(fc.array(box, { minLength: 3, maxLength: 12 }), fc.nat(99), (list, seed) => {
        const boxes = boxArray(list);
        const atOrigin = (i: number) => {
          const [x1, y1, x2, y2] = boxAt(boxes, i);
          return [0, 0, x2 - x1, y2 - y1] as const;
        };
        const { shapes, meanIou } = clusterAnchors(boxes, 2, { seed });
        const best = Array.from({ length: boxCount(boxes) }, (_, i) =>
          Math.max(...shapes.map(({ width, height }) => iou(atOrigin(i), [0, 0, width, height]))),
        );
        expect(meanIou).toBeCloseTo(best.reduce((sum, value) => sum + value, 0) / best.length, 9);
        expect(area([0, 0, shapes[0]?.width ?? 0, shapes[0]?.height ?? 0])).toBeLessThanOrEqual(
          area([0, 0, shapes[1]?.width ?? 0, shapes[1]?.height ?? 0]),
        );
        const all = clusterAnchors(boxes, list.length, { seed });
        expect(all.meanIou).toBeCloseTo(1, 9);
      }),
      { ...SEEDED, numRuns: 50 },
    );
  });

  it("refuses empty boxes and more anchors than shapes", () => {
    const two = boxArray([
      [0, 0, 4, 4],
      [9, 9, 13, 13],
      [0, 0, 5, 4],
    ]);
    expect(() => clusterAnchors(two, 3)).toThrow(
      /3 anchors cannot be made of 3 boxes with 2 different shapes/,
    );
    expect(() => clusterAnchors(two, 1.5)).toThrow(/1.5 anchors/);
    expect(() => clusterAnchors([0, 0, 4, 0], 1)).toThrow(/box 0, \[0,0,4,0\], is empty/);
    expect(clusterAnchors(two, 2).meanIou).toBe(1);
  });
});
