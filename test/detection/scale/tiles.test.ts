import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import { viewsOf } from "../../../src/detection/scale/test-time.ts";
import { tileOptionsOf, tilingOf } from "../../../src/detection/scale/tile-options.ts";
import { sharedPixels, type Tile, tileGrid } from "../../../src/detection/scale/tiles.ts";
import { OptionError } from "../../../src/errors.ts";
import { SEEDED } from "../arbitrary.ts";

const sides = fc.integer({ min: 1, max: 300 });
const cuts = fc.record({
  side: fc.integer({ min: 1, max: 90 }),
  overlap: fc.double({ min: 0, max: 0.9, noNaN: true }),
});

const all = (grid: ReturnType<typeof tileGrid>): readonly Tile[] =>
  Array.from({ length: grid.count }, (_, i) => grid.at(i));

describe("the tiles of an image", () => {
  test("cover every pixel, lie in the image, and are of the full side where the image is", () => {
    fc.assert(
      fc.property(sides, sides, cuts, (width, height, cut) => {
        const grid = tileGrid({ width, height }, cut);
        const [across, down] = [new Uint8Array(width), new Uint8Array(height)];
        let isInside = true;
        for (const { left, top, width: w, height: h } of all(grid)) {
          isInside &&= w === Math.min(cut.side, width) && h === Math.min(cut.side, height);
          isInside &&= left >= 0 && top >= 0 && left + w <= width && top + h <= height;
          across.fill(1, left, left + w);
          down.fill(1, top, top + h);
        }
        // Each column stands with each row.
        expect([isInside, across.indexOf(0), down.indexOf(0)]).toEqual([true, -1, -1]);
        expect(grid.count).toBe(grid.columns.length * grid.rows.length);
      }),
      SEEDED,
    );
  });

  test("hold every object that is no larger than what neighbors share, whole, in at least one of them", () => {
    const unit = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(sides, sides, cuts, unit, unit, unit, unit, (width, height, cut, a, b, c, d) => {
        const most = sharedPixels(cut);
        const [w, h] = [Math.min(width, a * most), Math.min(height, b * most)];
        const [x, y] = [c * (width - w), d * (height - h)];
        const whole = all(tileGrid({ width, height }, cut)).filter(
          (tile) =>
            x >= tile.left &&
            y >= tile.top &&
            x + w <= tile.left + tile.width &&
            y + h <= tile.top + tile.height,
        );
        expect(whole.length).toBeGreaterThan(0);
      }),
      { ...SEEDED, numRuns: 500 },
    );
  });

  test("that a box reaches into are those that share a part of it", () => {
    fc.assert(
      fc.property(
        sides,
        sides,
        cuts,
        fc.array(fc.nat(1000), { minLength: 4, maxLength: 4 }),
        (width, height, cut, e) => {
          const edge = (k: number, length: number) => ((e[k] ?? 0) / 1000) * length;
          const [x1, y1] = [edge(0, width) * 0.9, edge(1, height) * 0.9];
          const box: Box = [
            x1,
            y1,
            x1 + Math.max(0.01, edge(2, width - x1)),
            y1 + Math.max(0.01, edge(3, height - y1)),
          ];
          const grid = tileGrid({ width, height }, cut);
          const expected = all(grid).flatMap(({ left, top }, i) =>
            box[0] < left + cut.side && box[2] > left && box[1] < top + cut.side && box[3] > top ? [i] : [],
          );
          expect(grid.touched(box)).toEqual(expected);
        },
      ),
      SEEDED,
    );
  });

  it("are at these places for a photo of 1000 × 600 and tiles of 320 that share a fifth, as in SAHI", () => {
    const grid = tileGrid({ width: 1000, height: 600 }, { side: 320, overlap: 0.2 });
    expect(grid.columns).toEqual([0, 256, 512, 680]);
    expect(grid.rows).toEqual([0, 256, 280]);
    expect(grid.at(11)).toEqual({ left: 680, top: 280, width: 320, height: 320 });
    expect(() => grid.at(12)).toThrow(RangeError);
    expect(all(tileGrid({ width: 1, height: 1 }, { side: 320, overlap: 0.2 }))).toEqual([
      { left: 0, top: 0, width: 1, height: 1 },
    ]);
  });
});

describe("options of tiles", () => {
  it("have these defaults, and stand in the options of views", () => {
    const tiling = tilingOf({ tiles: 320 });
    expect(tiling).toEqual({
      side: 320,
      overlap: 0.2,
      fullImage: false,
      merge: "edges",
      threshold: 0.5,
      acrossClasses: false,
    });
    expect(tilingOf(tileOptionsOf(tiling))).toEqual(tiling);
    const views = viewsOf(64, { tiles: 32, testScales: [1, 2], tileMerge: "nms" });
    expect(views.tiling).toMatchObject({ side: 32, merge: "nms" });
    expect(views.sides).toEqual([64, 128]);
    expect(tilingOf({ tiles: 0 })).toBeUndefined();
    expect(tilingOf({})).toBeUndefined();
  });

  it.each([
    [{ overlap: 0.3 }, /^option overlap: is without effect without tiles.*digit-scenes .* digitOverlap$/],
    [{ tiles: 0, fullImage: true }, /^option fullImage: is without effect without tiles/],
    [{ tileMerge: "ios" as const }, /^option tileMerge: is without effect/],
    [{ acrossClasses: true }, /^option acrossClasses: is without effect/],
    [{ tiles: 8 }, /option tiles: must be 0, or from 16 to 8192 pixels/],
    [{ tiles: 320, overlap: 0.95 }, /option overlap/],
    [{ tiles: 320, tileThreshold: 2 }, /option tileThreshold/],
  ])("are refused: %o", (options, message) => {
    expect(() => viewsOf(64, options)).toThrow(OptionError);
    expect(() => viewsOf(64, options)).toThrow(message);
  });
});
