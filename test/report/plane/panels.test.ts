import { describe, expect, it } from "vitest";
import { pathPanels } from "../../../src/report/plane/paths.ts";
import { labeledRow } from "../../../src/report/raster/grid.ts";
import type { Raster } from "../../../src/report/raster/raster.ts";
import { float32 } from "../../../src/tensor/array.ts";

function pixel({ data, width }: Raster, x: number, y: number): readonly number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

/** The strongest channel, where the pixel is not grey. */
function tint(raster: Raster, x: number, y: number): string | undefined {
  const [red = 0, green = 0, blue = 0] = pixel(raster, x, y);
  const [least, most] = [Math.min(red, green, blue), Math.max(red, green, blue)];
  return most - least < 40 ? undefined : ["red", "green", "blue"][[red, green, blue].indexOf(most)];
}

describe("pathPanels", () => {
  // Three directions a third of a turn apart: red to the right, green and blue to the left above and below.
  const corner = (turn: number) => [Math.cos(2 * Math.PI * turn), Math.sin(2 * Math.PI * turn)];
  const start = [corner(0), corner(1 / 3), corner(2 / 3)];
  const end = [start[1], start[2], start[0]];
  const states = [
    { step: 0, points: float32(start.flat(), [3, 2]) },
    {
      step: 3,
      points: float32(
        end.flatMap((point) => point ?? []),
        [3, 2],
      ),
    },
  ];

  it("draws every point in the color of its first direction, wherever it goes", () => {
    const raster = pathPanels(states);
    expect([raster.width, raster.height]).toEqual([2 * 212 + 12, 238]);
    // Frames are a tenth wider than the points and centered on their extent.
    const half = 0.55 * Math.sqrt(3);
    const at = (panel: number, [x = 0, y = 0]: readonly number[]): [number, number] => [
      Math.round(12 + panel * 212 + (0.5 + (x - 0.25) / (2 * half)) * 200),
      Math.round(26 + (0.5 - y / (2 * half)) * 200),
    ];
    const seen = (panel: number) => start.map((place) => tint(raster, ...at(panel, place)));
    expect(seen(0)).toEqual(["red", "green", "blue"]);
    expect(seen(1)).toEqual(["blue", "red", "green"]);
    expect(tint(raster, ...at(0, [0.25, 0]))).toBeUndefined();
  });

  it("refuses other shapes and an empty path", () => {
    expect(() => pathPanels([])).toThrow(/no states/);
    expect(() => pathPanels([{ step: 0, points: float32([1, 2, 3], [1, 3]) }])).toThrow(/\[1,3\]/);
  });
});

describe("labeledRow", () => {
  it("puts pictures side by side, grey ones too, each below its number", () => {
    const grey: Raster = { width: 40, height: 20, channels: 1, data: new Uint8Array(800).fill(90) };
    const red = new Uint8Array(40 * 10 * 3);
    for (let i = 0; i < red.length; i += 3) red[i] = 200;
    const row = labeledRow([
      { label: 0.5, raster: grey },
      { label: 1, raster: { width: 40, height: 10, channels: 3, data: red } },
    ]);
    expect([row.width, row.height, row.channels]).toEqual([96, 50, 3]);
    expect(pixel(row, 39, 49)).toEqual([90, 90, 90]);
    expect(pixel(row, 56, 30)).toEqual([200, 0, 0]);
    expect(pixel(row, 48, 40)).toEqual([255, 255, 255]);
    const dark = (from: number, to: number) =>
      Array.from({ length: 30 * (to - from) }, (_, i) =>
        pixel(row, from + (i % (to - from)), Math.floor(i / (to - from))),
      ).filter(([red = 0]) => red < 100).length;
    // Three characters of ink above the first, one above the second.
    expect(dark(0, 40)).toBeGreaterThan(dark(56, 96));
    expect(dark(56, 96)).toBeGreaterThan(10);
  });
});
