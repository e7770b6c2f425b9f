import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { gridGeometry, imageGrid } from "../../../src/report/raster/grid.ts";
import { float32 } from "../../../src/tensor/array.ts";

const layout = fc.record({
  count: fc.integer({ min: 1, max: 30 }),
  height: fc.integer({ min: 1, max: 7 }),
  width: fc.integer({ min: 1, max: 7 }),
  channels: fc.constantFrom(1, 3),
  padding: fc.integer({ min: 0, max: 3 }),
  scale: fc.integer({ min: 1, max: 3 }),
  columns: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
});

describe("imageGrid", () => {
  it("shows every pixel of every image once, scaled, and background everywhere else", () => {
    fc.assert(
      fc.property(layout, ({ count, height, width, channels, padding, scale, columns }) => {
        // 0 … 199 in the images, so that 255 is background alone.
        const values = Array.from({ length: count * channels * height * width }, (_, i) => (i * 37) % 200);
        const options = { padding, scale, ...(columns === undefined ? {} : { columns }) };
        const raster = imageGrid(float32(values, [count, channels, height, width]), options);
        const grid = gridGeometry(count, height, width, options);
        expect(raster).toMatchObject({ width: grid.width, height: grid.height, channels });
        const seen = new Uint8Array(raster.width * raster.height);
        for (let index = 0; index < count; index++) {
          const { x, y } = grid.place(index);
          for (let v = 0; v < height * scale; v++) {
            for (let u = 0; u < width * scale; u++) {
              const pixel = (y + v) * raster.width + x + u;
              seen[pixel] = (seen[pixel] ?? 0) + 1;
              for (let c = 0; c < channels; c++) {
                const row = (index * channels + c) * height + Math.floor(v / scale);
                const expected = values[row * width + Math.floor(u / scale)];
                if (raster.data[pixel * channels + c] !== expected) return false;
              }
            }
          }
        }
        const rest = raster.data.filter((_, i) => seen[Math.floor(i / channels)] === 0);
        return seen.every((times) => times <= 1) && rest.every((value) => value === 255);
      }),
      { numRuns: 60 },
    );
  });

  it("rounds, clamps and takes NaN for black", () => {
    const raster = imageGrid(float32([-3, 12.6, 999, Number.NaN], [1, 1, 2, 2]), { padding: 0, scale: 1 });
    expect([...raster.data]).toEqual([0, 13, 255, 0]);
  });

  it("names the shape it cannot draw", () => {
    expect(() => imageGrid(float32([1, 2], [1, 2, 1, 1]))).toThrow(/\[1,2,1,1\].*\[count, 1 or 3/);
    expect(() => imageGrid(float32([], [0, 1, 4, 4]))).toThrow(ShapeError);
    expect(() => imageGrid(float32([1], [1, 1, 1, 1]), { scale: 1.5 })).toThrow(/scale is 1.5/);
  });
});

describe("gridGeometry", () => {
  it("is near square: one column or row fewer would not come closer, and no row is empty", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (count) => {
        const { columns, rows } = gridGeometry(count, 8, 8);
        expect(columns * rows).toBeGreaterThanOrEqual(count);
        expect(columns * (rows - 1)).toBeLessThan(count);
        expect(Math.abs(columns - Math.sqrt(count))).toBeLessThanOrEqual(1);
        expect(Math.abs(rows - Math.sqrt(count))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("doubles digits, leaves large images alone and lays 64 out as 8 by 8", () => {
    expect(gridGeometry(64, 28, 28)).toMatchObject({
      columns: 8,
      rows: 8,
      scale: 2,
      width: 466,
      height: 466,
    });
    expect(gridGeometry(4, 64, 64).scale).toBe(1);
    expect(gridGeometry(4, 2, 2).scale).toBe(8);
  });
});
