import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { animationExtension, encodeAnimation } from "../../src/report/pictures.node.ts";
import { trajectoryRaster } from "../../src/report/plane/paths.ts";
import type { Raster } from "../../src/report/raster/raster.ts";
import { float32 } from "../../src/tensor/array.ts";

const raster = (value: number, channels: 1 | 3 = 3, width = 12): Raster => ({
  width,
  height: 7,
  channels,
  data: new Uint8Array(width * 7 * channels).fill(value),
});

describe("moving pictures", () => {
  it.each([".gif", ".webp"] as const)(
    "are written as %s with their times, and begin anew",
    async (extension) => {
      for (const channels of [1, 3] as const) {
        const frames = [0, 100, 200].map((value) => raster(value, channels));
        const bytes = await encodeAnimation(frames, { extension, delay: 80, lastDelay: 900 });
        const { pages, delay, loop, width, pageHeight } = await sharp(bytes, { animated: true }).metadata();
        expect({ pages, delay, loop, width, pageHeight }).toEqual({
          pages: 3,
          delay: [80, 80, 900],
          loop: 0,
          width: 12,
          pageHeight: 7,
        });
        for (const [page, value] of [0, 100, 200].entries()) {
          const pixels = await sharp(bytes, { page }).greyscale().raw().toBuffer();
          expect(Math.abs((pixels[5] ?? -99) - value)).toBeLessThanOrEqual(3);
        }
      }
    },
  );

  it("are refused where pictures differ or the ending is another", async () => {
    const options = { extension: ".gif", delay: 10, lastDelay: 10 } as const;
    await expect(encodeAnimation([], options)).rejects.toThrow(/no pictures/);
    await expect(encodeAnimation([raster(1), raster(1, 3, 13)], options)).rejects.toThrow(/picture 1/);
    expect(animationExtension("a/B.GIF", "option animate")).toBe(".gif");
    expect(() => animationExtension("a.mp4", "option animate")).toThrow(/a\.mp4 must end in \.gif or \.webp/);
  });
});

describe("trajectories", () => {
  it("are lines from orange to black over grey", () => {
    const states = [float32([-1, -1], [1, 2]), float32([1, -1], [1, 2]), float32([1, 1], [1, 2])];
    const picture = trajectoryRaster({ states, data: float32([0, 0.9], [1, 2]) });
    const at = (x: number, y: number): readonly number[] => {
      const scale = 560 / 2.2;
      const [left, top] = [8 + (x + 1.1) * scale, 8 + 560 - (y + 1.1) * scale].map(Math.round) as [
        number,
        number,
      ];
      return [
        ...picture.data.subarray(3 * (top * picture.width + left), 3 * (top * picture.width + left) + 3),
      ];
    };
    const [red = 0, , blue = 255] = at(-1, -1);
    expect(red).toBeGreaterThan(blue + 80);
    expect(Math.max(...at(1, 1))).toBeLessThan(90);
    // The way goes by the corner, not along the diagonal. (A pixel below or above may be the line's.)
    const bluest = Math.max(
      ...[-0.01, -0.005, 0, 0.005, 0.01].map((up) => {
        const [red = 0, , blue = 0] = at(0, -1 + up);
        return blue - red;
      }),
    );
    expect(bluest).toBeGreaterThan(40);
    expect(at(0, 0)).toEqual([255, 255, 255]);
    expect(() => trajectoryRaster({ states: states.slice(0, 1) })).toThrow(/fewer than two/);
  });
});
