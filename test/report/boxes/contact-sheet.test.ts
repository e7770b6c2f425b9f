import { describe, expect, it } from "vitest";
import { boxColor } from "../../../src/report/boxes/boxes.ts";
import { contactSheet } from "../../../src/report/boxes/contact-sheet.ts";
import { blankRaster, type Raster, rasterOfBytes } from "../../../src/report/raster/raster.ts";

const pixel = ({ data, width }: Raster, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

/** Where a color occurs: the smallest box around it, by the pixels' outer edges. */
function extent(sheet: Raster, color: readonly number[]): readonly number[] {
  let [x1, y1, x2, y2] = [sheet.width, sheet.height, 0, 0];
  for (let y = 0; y < sheet.height; y++) {
    for (let x = 0; x < sheet.width; x++) {
      if (pixel(sheet, x, y).join() !== color.join()) continue;
      [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x + 1), Math.max(y2, y + 1)];
    }
  }
  return [x1, y1, x2, y2];
}

const picture = (shade: number, width = 100, height = 60) => ({
  image: blankRaster(width, height, [shade, shade, shade]),
  caption: `a file of the name ${shade}.png`,
  boxes: [20, 10, 60, 40],
  labels: [1],
});

describe("contactSheet", () => {
  it("stands images in rows, as high as the highest of each, without touching", () => {
    const sheet = contactSheet([picture(10), picture(20, 80, 90), picture(30)], ["a", "b"], 2);
    const first = extent(sheet, [10, 10, 10]);
    const second = extent(sheet, [20, 20, 20]);
    const third = extent(sheet, [30, 30, 30]);
    const size = ([x1 = 0, y1 = 0, x2 = 0, y2 = 0]: readonly number[]) => [x2 - x1, y2 - y1];
    expect([first, second, third].map(size)).toEqual([
      [100, 60],
      [80, 90],
      [100, 60],
    ]);
    expect(first[1]).toBe(second[1]);
    expect(second[0]).toBeGreaterThan(first[2] ?? 0);
    expect(third[0]).toBe(first[0]);
    expect(third[1]).toBeGreaterThan((second[1] ?? 0) + 90);
  });

  it("draws boxes in the colors of the legend, enlarged with the image", () => {
    const plain = contactSheet([picture(10)], ["a", "b"]);
    const enlarged = contactSheet([{ ...picture(10), enlarge: 3 }], ["a", "b"]);
    for (const [sheet, scale] of [
      [plain, 1],
      [enlarged, 3],
    ] as const) {
      const [left = 0, top = 0] = extent(sheet, [10, 10, 10]);
      // A thin line on the edge of two pixels covers both in part: the color is that of class 1, on grey.
      const [red = 0, green = 0, blue = 0] = pixel(sheet, left + 20 * scale, top + 25 * scale);
      expect(blue).toBeGreaterThan(150);
      expect(Math.abs((green - red) / (blue - red) - (120 - 29) / (236 - 29))).toBeLessThan(0.1);
      expect(pixel(sheet, left + 40 * scale, top + 25 * scale)).toEqual([10, 10, 10]);
      // The legend's patch of the first class, which no box has.
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = extent(sheet, [...boxColor(0)]);
      expect([x2 - x1, y2 - y1]).toEqual([16, 16]);
      expect(y2).toBeLessThan(top);
    }
  });

  it("has a patch of the color of each class in the legend, whatever the widths of names before it", () => {
    const names = ["found", "other class", "ill", "nothing there", "missed", "m", "w w"];
    const sheet = contactSheet([{ ...picture(10, 700), boxes: [], labels: [] }], names);
    for (const label of names.keys()) {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = extent(sheet, [...boxColor(label)]);
      expect([x2 - x1, y2 - y1], names[label]).toEqual([16, 16]);
    }
  });

  it("cuts captions and names off where there is no room, and wraps the legend", () => {
    const names = Array.from({ length: 30 }, (_, i) => `class number ${i}`);
    const narrow = contactSheet([picture(10, 120)], names);
    expect(narrow.width).toBe(120 + 24);
    expect(narrow.height).toBeGreaterThan(20 * 30);
    expect(contactSheet([], []).width).toBeGreaterThan(0);
  });
});

it("channels one after the other become pixels", () => {
  const raster = rasterOfBytes({ width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  expect([...raster.data]).toEqual([1, 3, 5, 2, 4, 6]);
});
