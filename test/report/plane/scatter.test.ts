import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/errors.ts";
import { scatterRaster } from "../../../src/report/plane/panel.ts";
import { squareFrame } from "../../../src/report/points.ts";
import { blankRaster, drawStroke } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

const white = [255, 255, 255] as const;
const black = [0, 0, 0] as const;
const covered = (data: Uint8Array) => data.reduce((sum, value) => sum + (255 - value) / 255, 0) / 3;

describe("drawStroke", () => {
  it("covers the area of a disc, and of a rectangle with round ends", () => {
    const dot = blankRaster(60, 60, white);
    drawStroke(dot, { from: [30.3, 29.6], to: [30.3, 29.6], radius: 12, color: black, opacity: 1 });
    expect(covered(dot.data) / (Math.PI * 144)).toBeCloseTo(1, 2);
    const line = blankRaster(60, 60, white);
    drawStroke(line, { from: [10, 12], to: [45, 40], radius: 4, color: black, opacity: 0.5 });
    const area = Math.PI * 16 + 8 * Math.hypot(35, 28);
    expect(covered(line.data) / (0.5 * area)).toBeCloseTo(1, 2);
  });

  it("covers whole pixels exactly and cuts off what lies outside", () => {
    const raster = blankRaster(5, 3, white);
    drawStroke(raster, { from: [-9, 1], to: [99, 1], radius: 0.5, color: [10, 20, 30], opacity: 1 });
    expect([...raster.data.subarray(15, 21)]).toEqual([10, 20, 30, 10, 20, 30]);
    expect([...raster.data.subarray(0, 15)].every((value) => value === 255)).toBe(true);
  });
});

describe("squareFrame", () => {
  it("is square, holds the points, and ignores a stray one", () => {
    const points = Array.from({ length: 2000 }, (_, i) => [Math.sin(i), 3 * Math.cos(i)] as const);
    const { x, y } = squareFrame([...points, [1e6, 0]]);
    expect(x[1] - x[0]).toBeCloseTo(y[1] - y[0], 10);
    expect([x[0] < -1 && x[1] > 1, y[0] < -3 && y[1] > 3, x[1] < 10]).toEqual([true, true, true]);
  });
});

const data = float32([-1, -1, 1, -1, 1, 1, -1, 1], [4, 2]);

describe("scatterRaster", () => {
  it("draws samples blue where they are", () => {
    const { width, height, data: pixels } = scatterRaster({ data, samples: float32([0, 0, 50, 50], [2, 2]) });
    const blue: [number, number][] = [];
    for (let i = 0; i < width * height; i++) {
      const [red = 0, , blueness = 0] = pixels.subarray(3 * i, 3 * i + 3);
      if (blueness - red > 100) blue.push([i % width, Math.floor(i / width)]);
    }
    // Inside the axes lie 660 pixels; the frame is symmetric around the origin, and the far sample is outside of it.
    const meanX = blue.reduce((sum, [x]) => sum + x, 0) / blue.length;
    const meanY = blue.reduce((sum, [, y]) => sum + y, 0) / blue.length;
    expect(blue.length).toBeGreaterThan(5);
    expect(meanX).toBeCloseTo(width - 16 - 330, 0);
    expect(meanY).toBeCloseTo(16 + 330, 0);
  });

  it("names the shape it cannot draw", () => {
    expect(() => scatterRaster({ samples: float32([1, 2, 3], [1, 3]) })).toThrow(ShapeError);
  });
});
