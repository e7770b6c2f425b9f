import { describe, expect, it } from "vitest";
import { boxColor, drawBoxes } from "../../../src/report/boxes/boxes.ts";
import { blankRaster, type Color, type Raster } from "../../../src/report/raster/raster.ts";
import { drawText, textWidth } from "../../../src/report/raster/text.ts";

const GREY: Color = [128, 128, 128];
const RED: Color = [255, 0, 0];
const BLUE: Color = [0, 0, 255];

const pixel = ({ data, width }: Raster, x: number, y: number): readonly number[] => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

/** Left, top, right and bottom of what is not of the ground's color, by the pixels' outer edges. */
function extent(raster: Raster, ground: Color): readonly number[] {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let y = 0; y < raster.height; y++) {
    for (let x = 0; x < raster.width; x++) {
      if (pixel(raster, x, y).every((value, channel) => value === ground[channel])) continue;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x + 1), Math.max(bottom, y + 1)];
    }
  }
  return [left, top, right, bottom];
}

describe("drawBoxes", () => {
  it("draws lines centered on the edges, and leaves the image and the inside as they were", () => {
    const image = blankRaster(60, 50, GREY);
    const picture = drawBoxes(image, [{ box: [10, 20, 40, 30], color: RED }]);
    expect([picture.width, picture.height, picture.channels]).toEqual([60, 50, 3]);
    // A line on x = 10 covers the columns 9 and 10 to the same part.
    expect(pixel(picture, 9, 25)).toEqual(pixel(picture, 10, 25));
    expect(pixel(picture, 10, 25)[0]).toBeGreaterThan(200);
    expect(pixel(picture, 25, 20)[0]).toBeGreaterThan(200);
    expect(pixel(picture, 25, 25)).toEqual(GREY);
    expect(extent(picture, GREY)).toEqual([9, 19, 41, 31]);
    expect(image.data.every((value) => value === 128)).toBe(true);
  });

  it("enlarges grey images, with boxes in pixels of the image", () => {
    const image: Raster = { width: 3, height: 2, channels: 1, data: Uint8Array.of(10, 20, 30, 40, 50, 60) };
    const plain = drawBoxes(image, [], { enlarge: 4 });
    expect([plain.width, plain.height]).toEqual([12, 8]);
    expect([pixel(plain, 3, 3), pixel(plain, 4, 4)]).toEqual([
      [10, 10, 10],
      [50, 50, 50],
    ]);
    const large = { width: 20, height: 20, channels: 1, data: new Uint8Array(400) } as const;
    const marked = drawBoxes(large, [{ box: [5, 5, 10, 10], color: RED }], { enlarge: 4 });
    expect(extent(marked, [0, 0, 0])).toEqual([19, 19, 41, 41]);
    expect(() => drawBoxes(image, [], { enlarge: 0.5 })).toThrow(/enlarge 0.5 must be a whole number/);
  });

  it("puts labels above the box, within it at the top, and never outside of the picture", () => {
    const image = blankRaster(200, 120, GREY);
    const label = (box: readonly [number, number, number, number]) =>
      extent(drawBoxes(image, [{ box, label: "cat 0.9", color: RED }]), GREY);
    const [, above = 0] = label([50, 60, 150, 100]);
    expect(above).toBeGreaterThanOrEqual(40);
    expect(above).toBeLessThan(50);
    expect(label([50, 4, 150, 100])[1]).toBeGreaterThanOrEqual(2);
    // Near the right edge the label moves left, and of a box outside it stays.
    expect(label([190, 60, 230, 100])[0]).toBeLessThan(165);
    expect(label([300, 60, 330, 100])[2]).toBe(200);
    const light = drawBoxes(image, [{ box: [50, 60, 150, 100], label: "M", color: [255, 230, 80] }]);
    const dark = drawBoxes(image, [{ box: [50, 60, 150, 100], label: "M", color: [90, 20, 20] }]);
    const strip = (raster: Raster) => Array.from({ length: 10 }, (_, i) => pixel(raster, 51 + i, 53)[2] ?? 0);
    // Dark letters on a light ground, light letters on a dark one.
    expect(Math.min(...strip(light))).toBeLessThan(60);
    expect(Math.max(...strip(dark))).toBeGreaterThan(180);
  });

  it("breaks the lines of dashed boxes, and puts the first box on top", () => {
    const image = blankRaster(100, 100, GREY);
    const row = (dashed: boolean) => {
      const picture = drawBoxes(image, [{ box: [10, 50, 90, 80], color: RED, dashed }]);
      return Array.from({ length: 70 }, (_, i) => pixel(picture, 15 + i, 50)[0] ?? 0);
    };
    expect(Math.min(...row(false))).toBeGreaterThan(200);
    expect(Math.min(...row(true))).toBe(128);
    expect(Math.max(...row(true))).toBeGreaterThan(200);
    const both = drawBoxes(image, [
      { box: [10, 10, 90, 90], color: RED },
      { box: [10, 10, 90, 90], color: BLUE },
    ]);
    const [red = 0, , blue = 0] = pixel(both, 50, 10);
    expect(red).toBeGreaterThan(2 * blue);
  });

  it("draws nothing of boxes that are not finite, and only what is seen of huge ones", () => {
    const image = blankRaster(40, 40, GREY);
    const broken = [
      [Number.NaN, 0, 5, 5],
      [0, 0, Infinity, 5],
    ] as const;
    const none = drawBoxes(
      image,
      broken.map((box) => ({ box, label: "x" })),
    );
    expect(none.data).toEqual(image.data);
    const huge = drawBoxes(image, [{ box: [-1e12, 20, 1e12, 1e12], dashed: true, color: RED }]);
    expect(extent(huge, GREY).slice(1)).toEqual([19, 40, 21]);
  });

  it("has a color for every class", () => {
    const colors = Array.from({ length: 10 }, (_, i) => boxColor(i).join());
    expect(new Set(colors).size).toBe(10);
    expect(boxColor(13)).toEqual(boxColor(3));
  });
});

describe("drawText", () => {
  const inked = (text: string) => {
    const raster = blankRaster(160, 40, [255, 255, 255]);
    drawText(raster, text, { x: 80, y: 20, align: "middle", color: [0, 0, 0] });
    return raster;
  };

  it("writes letters of any script, each different from the others", () => {
    const seen = new Map<string, string>();
    for (const character of "AZaz09-+.,:'?/_=()&#%éßőλЖहđ") {
      const picture = Buffer.from(inked(character).data).toString("base64");
      expect(seen.get(picture), character).toBeUndefined();
      seen.set(picture, character);
    }
    expect(extent(inked(" "), [255, 255, 255])[2]).toBe(-1);
  });

  it("is as wide as it says", () => {
    const [left = 0, , right = 0] = extent(inked("HHHH"), [255, 255, 255]);
    // H has a rim of 1.6 pixels at either side.
    expect(Math.abs(right - left - (textWidth("HHHH") - 3.1))).toBeLessThanOrEqual(1.5);
    expect(textWidth("ab", 2)).toBe(2 * textWidth("ab"));
  });
});
