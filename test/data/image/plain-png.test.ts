import fc from "fast-check";
import sharp from "sharp";
import { expect, test } from "vitest";
import { decodeImage } from "../../../src/data/image/decode.node.ts";
import { decodePlainPng } from "../../../src/data/image/plain-png.node.ts";

/** A picture with edges and gradients, for which an encoder that tries them chooses various filters. */
function picture(width: number, height: number, channels: 1 | 3, seed: number): Uint8Array {
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) {
    const row = Math.floor(i / (width * channels));
    data[i] =
      row % 3 === 0
        ? (i * (seed + 7)) % 256
        : row % 3 === 1
          ? (i + seed) % 256
          : (data[i - width * channels] ?? 0) + 1;
  }
  return data;
}

const encoded = (data: Uint8Array, width: number, height: number, channels: 1 | 3, adaptive: boolean) =>
  sharp(data, { raw: { width, height, channels } })
    .toColorspace(channels === 1 ? "b-w" : "srgb")
    .png({ adaptiveFiltering: adaptive, palette: false })
    .toBuffer();

test("what libpng has written comes back byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(1 as const, 3 as const),
      fc.integer({ min: 0, max: 250 }),
      fc.boolean(),
      async (width, height, channels, seed, adaptive) => {
        const data = picture(width, height, channels, seed);
        const plain = decodePlainPng(await encoded(data, width, height, channels, adaptive));
        expect(plain).toEqual({ width, height, channels, data });
      },
    ),
    { numRuns: 40 },
  );
});

test.each([
  ["grey", 1, "grey"],
  ["grey as rgb", 1, "rgb"],
  ["rgb", 3, "rgb"],
] as const)("%s is decoded as sharp decodes it", async (_, channels, wanted) => {
  const data = picture(28, 28, channels, 5);
  const png = await encoded(data, 28, 28, channels, true);
  const format = { size: 28, channels: wanted };
  // WebP without losses holds the same pixels, and is left to sharp.
  const other = await sharp(png).webp({ lossless: true }).toBuffer();
  expect(await decodeImage(new Uint8Array(png), format)).toEqual(
    await decodeImage(new Uint8Array(other), format),
  );
});

test("files of other kinds, and damaged ones, are left to their decoder", async () => {
  const data = picture(20, 20, 3, 1);
  const raw = sharp(data, { raw: { width: 20, height: 20, channels: 3 } });
  const others = [
    await raw.clone().png({ palette: true }).toBuffer(),
    await raw.clone().png({ progressive: true }).toBuffer(),
    await raw.clone().ensureAlpha(0.5).png().toBuffer(),
    await raw.clone().toColorspace("rgb16").png().toBuffer(),
    await raw.clone().withMetadata({ orientation: 6 }).png().toBuffer(),
    await raw.clone().jpeg().toBuffer(),
  ];
  for (const file of others) expect(decodePlainPng(file)).toBeUndefined();
  const sound = await raw.clone().png().toBuffer();
  expect(decodePlainPng(sound)).toBeDefined();
  for (let at = 0; at < sound.length; at += 7) {
    expect(decodePlainPng(sound.subarray(0, at))).toBeUndefined();
    const damaged = Uint8Array.from(sound);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    expect(decodePlainPng(damaged)).toBeUndefined();
  }
});
