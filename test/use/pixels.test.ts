import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { fitted } from "../../src/use/pixels.ts";

// Images are fitted to a model as eidos fits files: by sharp, which is the reference here.

/** Smooth colors with some edges: what photos are like. */
function photo(width: number, height: number): Uint8Array {
  return Uint8Array.from({ length: 4 * width * height }, (_, i) => {
    const [c, x, y] = [i % 4, Math.floor(i / 4) % width, Math.floor(i / 4 / width)];
    if (c === 3) return 255;
    const wave = 120 + 70 * Math.sin((15 * x) / width + c) * Math.cos((12 * y) / height - c);
    return Math.round(wave + (x > width / 2 && y > height / 3 ? 40 : 0));
  });
}

describe("an image that is fitted", () => {
  it.each([
    ["larger", 90, 60, 28, 3, 1],
    ["much larger and grey", 301, 411, 28, 1, 2.5],
    // Edges of what is enlarged are drawn in another way.
    ["smaller", 20, 17, 32, 3, 8],
    ["as large and grey", 28, 28, 28, 1, 1],
  ] as const)(
    "%s is what sharp makes of it, to a few levels",
    async (_what, width, height, side, channels, most) => {
      const data = photo(width, height);
      const image = sharp(data, { raw: { width, height, channels: 4 } })
        .removeAlpha()
        .resize(side, side, { fit: "cover", position: "centre" });
      const wanted = await (channels === 1 ? image.greyscale() : image).raw().toBuffer();
      const { data: own } = fitted({ width, height, data }, { width: side, height: side, channels });
      expect(own.length).toBe(wanted.length);
      const differences = Array.from(own, (value, i) => Math.abs(value - (wanted[i] ?? Number.NaN)));
      const mean = differences.reduce((sum, value) => sum + value, 0) / own.length;
      expect(mean).toBeLessThan(most);
    },
  );
});
