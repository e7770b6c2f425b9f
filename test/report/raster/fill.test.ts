import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fillOutline } from "../../../src/report/raster/fill.ts";
import { blankRaster } from "../../../src/report/raster/raster.ts";
import type { OutlineCommand } from "../../../src/report/text/shape.ts";

/** A polygon in pixels whose corners have y pointing downwards, pixel corners at whole numbers. */
function polygon(corners: readonly (readonly [number, number])[]): readonly OutlineCommand[] {
  return [
    ...corners.map(([x, y], i) => ({ kind: i === 0 ? ("move" as const) : ("line" as const), x, y: -y })),
    { kind: "close" as const },
  ];
}

/** How much of each pixel is covered, 0 … 255. */
function covered(commands: readonly OutlineCommand[], width: number, height: number): readonly number[] {
  const raster = blankRaster(width, height, [0, 0, 0]);
  fillOutline(raster, commands, { x: -0.5, y: -0.5, size: 1 }, [255, 255, 255]);
  return Array.from({ length: width * height }, (_, i) => raster.data[3 * i] ?? 0);
}

describe("fillOutline", () => {
  it("covers pixels by their share of a rectangle", () => {
    const corners = [
      [0.5, 1],
      [2.25, 1],
      [2.25, 2.5],
      [0.5, 2.5],
    ] as const;
    expect(covered(polygon(corners), 3, 3)).toEqual([0, 0, 0, 128, 255, 64, 64, 128, 32]);
  });

  it("leaves a hole where an inner contour goes the other way, and cuts off what lies outside", () => {
    const outer = polygon([
      [-5, -5],
      [9, -5],
      [9, 9],
      [-5, 9],
    ]);
    const inner = polygon([
      [1, 1],
      [1, 2],
      [2, 2],
      [2, 1],
    ]);
    expect(covered([...outer, ...inner], 3, 3)).toEqual([255, 255, 255, 255, 0, 255, 255, 255, 255]);
  });

  it("covers in all the area of a triangle, whichever way it turns", () => {
    const corner = fc.tuple(
      fc.double({ min: 0, max: 12, noNaN: true }),
      fc.double({ min: 0, max: 12, noNaN: true }),
    );
    fc.assert(
      fc.property(fc.tuple(corner, corner, corner), (corners) => {
        const [[x1, y1], [x2, y2], [x3, y3]] = corners;
        const area = Math.abs((x2 - x1) * (y3 - y1) - (x3 - x1) * (y2 - y1)) / 2;
        const sum = covered(polygon(corners), 12, 12).reduce((total, value) => total + value, 0) / 255;
        // Each of the pixels along an edge is rounded to a byte.
        expect(Math.abs(sum - area)).toBeLessThan(0.15);
      }),
    );
  });

  it("fills curves: a circle of four cubics has the area of a circle", () => {
    const [r, k] = [5, 5 * 0.5522847498];
    const commands: readonly OutlineCommand[] = [
      { kind: "move", x: 6 + r, y: -6 },
      { kind: "cubic", points: [6 + r, -6 - k, 6 + k, -6 - r, 6, -6 - r] },
      { kind: "cubic", points: [6 - k, -6 - r, 6 - r, -6 - k, 6 - r, -6] },
      { kind: "cubic", points: [6 - r, -6 + k, 6 - k, -6 + r, 6, -6 + r] },
      { kind: "cubic", points: [6 + k, -6 + r, 6 + r, -6 + k, 6 + r, -6] },
      { kind: "close" },
    ];
    const sum = covered(commands, 12, 12).reduce((total, value) => total + value, 0) / 255;
    expect(Math.abs(sum - Math.PI * r * r)).toBeLessThan(0.6);
  });
});
