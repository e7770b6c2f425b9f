import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import type { Annotations, ByteImage, DetectionSet } from "../../../src/data/boxes/set.ts";
import { ImageCache, lazySplit } from "../../../src/data/boxes/set.ts";
import type { SplitName } from "../../../src/data/sources/data-set.ts";

type Color = readonly [red: number, green: number, blue: number];

/** A part of an image that is painted in one color: whole pixels. */
export interface Patch {
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
  readonly color: Color;
}

export async function writeText(root: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

/** An image of one color with patches on it. */
export function painted(
  width: number,
  height: number,
  ground: Color,
  patches: readonly Patch[] = [],
): ByteImage {
  const data = new Uint8Array(3 * width * height);
  const paint = ([x1, y1, x2, y2]: Patch["box"], color: Color) => {
    for (const [channel, value] of color.entries()) {
      for (let y = y1; y < y2; y++)
        data.fill(value, (channel * height + y) * width + x1, (channel * height + y) * width + x2);
    }
  };
  paint([0, 0, width, height], ground);
  for (const { box, color } of patches) paint(box, color);
  return { width, height, data };
}

/** Writes an image as the extension of its path says, with an EXIF orientation where one is given. */
export async function writeImage(
  root: string,
  path: string,
  image: ByteImage,
  orientation?: number,
): Promise<void> {
  const { width, height, data } = image;
  const pixels = new Uint8Array(data.length);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++)
      pixels[3 * i + channel] = data[channel * width * height + i] ?? 0;
  }
  await mkdir(dirname(join(root, path)), { recursive: true });
  let picture = sharp(pixels, { raw: { width, height, channels: 3 } }).jpeg({
    quality: 100,
    chromaSubsampling: "4:4:4",
  });
  if (path.endsWith(".png")) picture = picture.png();
  if (orientation !== undefined) picture = picture.withMetadata({ orientation });
  await picture.toFile(join(root, path));
}

/** The smallest box around the pixels near a color, and how many there are; undefined where there are none. */
export function extent(
  { width, height, data }: ByteImage,
  color: Color,
  tolerance = 60,
): { readonly box: readonly [number, number, number, number]; readonly pixels: number } | undefined {
  let [x1, y1, x2, y2, pixels] = [width, height, 0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const near = color.every(
        (value, channel) => Math.abs((data[(channel * height + y) * width + x] ?? 0) - value) <= tolerance,
      );
      if (!near) continue;
      pixels++;
      [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x + 1), Math.max(y2, y + 1)];
    }
  }
  return pixels === 0 ? undefined : { box: [x1, y1, x2, y2], pixels };
}

/** Objects as arrays. */
export function annotationsOf(
  file: string,
  size: { readonly width: number; readonly height: number },
  objects: readonly {
    readonly box: readonly number[];
    readonly label: number;
    readonly difficult?: boolean;
    readonly crowd?: boolean;
  }[],
): Annotations {
  return {
    file,
    ...size,
    boxes: Float32Array.from(objects.flatMap(({ box }) => [...box])),
    labels: Int32Array.from(objects, ({ label }) => label),
    difficult: Uint8Array.from(objects, ({ difficult }) => Number(difficult === true)),
    crowd: Uint8Array.from(objects, ({ crowd }) => Number(crowd === true)),
    areas: Float32Array.from(objects, ({ box: [x1 = 0, y1 = 0, x2 = 0, y2 = 0] }) => (x2 - x1) * (y2 - y1)),
  };
}

/** A detection set in memory. */
export function setInMemory(
  classes: readonly string[],
  parts: Readonly<Record<SplitName, readonly (Annotations & { readonly image: ByteImage })[]>>,
): DetectionSet {
  const cache = new ImageCache(1e8);
  const split = (name: SplitName) => {
    const part = parts[name];
    const at = (index: number) => part[index] ?? fail(index);
    return lazySplit(
      name,
      part.length,
      (index) => {
        const { image: _, ...annotations } = at(index);
        return annotations;
      },
      async (index) => at(index).image,
      cache,
    );
  };
  return {
    name: "memory",
    classes,
    splits: { train: split("train"), validation: split("validation"), test: split("test") },
    faults: [],
    fingerprint: "",
    describe: () => [],
  };
}

function fail(index: number): never {
  throw new RangeError(`no image ${index}`);
}

/** A box of some extent within an image, with edges in fractions of pixels. */
export function boxWithin({ width, height }: { readonly width: number; readonly height: number }) {
  const edges = (most: number) =>
    fc
      .tuple(fc.integer({ min: 0, max: 8 * most - 8 }), fc.integer({ min: 8, max: 8 * most }))
      .map(([from, length]) => [from / 8, Math.min(most, (from + length) / 8)] as const);
  return fc.tuple(edges(width), edges(height)).map(([[x1, x2], [y1, y2]]) => [x1, y1, x2, y2] as const);
}
