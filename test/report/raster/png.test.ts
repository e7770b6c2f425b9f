import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { encodePng, pngSize } from "../../../src/report/raster/raster.ts";

describe("encodePng", () => {
  it("gives files that another decoder reads back to the same pixels", async () => {
    const rasters = fc
      .record({
        width: fc.integer({ min: 1, max: 40 }),
        height: fc.integer({ min: 1, max: 40 }),
        channels: fc.constantFrom<1 | 3>(1, 3),
        seed: fc.nat(),
      })
      .map(({ seed, ...size }) => {
        const data = Uint8Array.from({ length: size.width * size.height * size.channels }, (_, i) =>
          Math.floor(128 + 127 * Math.sin(seed + i * i)),
        );
        return { ...size, data };
      });
    await fc.assert(
      fc.asyncProperty(rasters, async (raster) => {
        const bytes = await encodePng(raster, "two-moons, 40 steps → done");
        expect(pngSize(bytes)).toEqual({ width: raster.width, height: raster.height });
        const space = raster.channels === 1 ? "b-w" : "srgb";
        const { data, info } = await sharp(bytes)
          .toColorspace(space)
          .raw()
          .toBuffer({ resolveWithObject: true });
        expect(info).toMatchObject({ width: raster.width, height: raster.height, channels: raster.channels });
        expect(new Uint8Array(data)).toEqual(raster.data);
      }),
      { numRuns: 25 },
    );
  });

  it("keeps the description, with what Latin-1 lacks as a question mark", async () => {
    const bytes = await encodePng({ width: 1, height: 1, channels: 1, data: new Uint8Array(1) }, "é → 3");
    expect(Buffer.from(bytes).toString("latin1")).toContain("tEXtDescription\0é ? 3");
  });
});

describe("pngSize", () => {
  it("does not take other bytes for a PNG", () => {
    expect(pngSize(new Uint8Array(100))).toBeUndefined();
    expect(pngSize(new Uint8Array([0x89, 0x50]))).toBeUndefined();
  });
});
