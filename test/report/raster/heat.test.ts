import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { heatOverlay, viridis } from "../../../src/report/raster/heat.ts";
import { blankRaster } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

describe("heatOverlay", () => {
  it("leaves cold places grey, by luma, and colors hot ones where they lie", () => {
    const image = blankRaster(40, 20, [200, 100, 0]);
    const heat = new Float32Array(8);
    heat[1] = 1;
    const { data, width, height } = heatOverlay(image, float32(heat, [2, 4]));
    expect([width, height]).toEqual([40, 20]);
    const at = (x: number, y: number) => [...data.subarray(3 * (y * 40 + x), 3 * (y * 40 + x) + 3)];
    const grey = Math.round(0.299 * 200 + 0.587 * 100);
    expect(at(39, 19)).toEqual([grey, grey, grey]);
    // The cell of row 0 and column 1 has its center at (15, 5), between pixels 14 and 15.
    const [red = 0, green = 0, blue = 0] = at(15, 5);
    const [r, g, b] = viridis(1);
    for (const [value, hot] of [
      [red, r],
      [green, g],
      [blue, b],
    ] as const) {
      expect(Math.abs(value - hot)).toBeLessThan(Math.abs(grey - hot));
    }
    expect(at(15, 15)).not.toEqual(at(15, 5));
  });

  it("is everywhere the same for even heat, whatever the numbers of cells", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.double({ min: -1, max: 2, noNaN: true }),
        (rows, columns, value) => {
          const heat = float32(new Float32Array(rows * columns).fill(value), [rows, columns]);
          const { data } = heatOverlay(blankRaster(7, 9, [50, 50, 50]), heat);
          expect(
            new Set(Array.from({ length: 63 }, (_, i) => data.subarray(3 * i, 3 * i + 3).join())).size,
          ).toBe(1);
        },
      ),
    );
  });

  it("wants a map", () => {
    expect(() => heatOverlay(blankRaster(2, 2, [0, 0, 0]), float32([1, 2], [2]))).toThrow(ShapeError);
  });
});
