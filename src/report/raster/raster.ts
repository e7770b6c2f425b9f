import type { ByteImage } from "../../data/boxes/set.ts";

/** Pixels in rows from the top left, `channels` bytes each: 1 is gray, 3 is RGB. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Red, green and blue, 0 … 255. */
export type Color = readonly [red: number, green: number, blue: number];

/** An RGB raster of one color. */
export function blankRaster(width: number, height: number, [red, green, blue]: Color): Raster {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i += 3) {
    data[i] = red;
    data[i + 1] = green;
    data[i + 2] = blue;
  }
  return { width, height, channels: 3, data };
}

/** A stroke with round ends; a dot where both ends are the same point. Pixel centers lie at whole numbers. */
export interface Stroke {
  readonly from: readonly [x: number, y: number];
  readonly to: readonly [x: number, y: number];
  /** Half the width in pixels. */
  readonly radius: number;
  readonly color: Color;
  /** 0 is invisible, 1 covers what is below. */
  readonly opacity: number;
}

/**
 * Draws an anti-aliased stroke into an RGB raster, in place; what lies outside is cut off. A pixel is covered by
 * `radius + ½ − distance` of its area, clamped to 0 … 1: exact for straight edges along an axis.
 */
export function drawStroke(raster: Raster, { from, to, radius, color, opacity }: Stroke): void {
  const [x1, y1] = from;
  const [dx, dy] = [to[0] - x1, to[1] - y1];
  const lengthSquared = dx * dx + dy * dy;
  const reach = radius + 0.5;
  const left = Math.max(0, Math.ceil(Math.min(x1, to[0]) - reach));
  const right = Math.min(raster.width - 1, Math.floor(Math.max(x1, to[0]) + reach));
  const top = Math.max(0, Math.ceil(Math.min(y1, to[1]) - reach));
  const bottom = Math.min(raster.height - 1, Math.floor(Math.max(y1, to[1]) + reach));
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = lengthSquared === 0 ? 0 : ((x - x1) * dx + (y - y1) * dy) / lengthSquared;
      const nearest = Math.min(1, Math.max(0, along));
      const distance = Math.hypot(x - x1 - nearest * dx, y - y1 - nearest * dy);
      const alpha = opacity * Math.min(1, Math.max(0, reach - distance));
      if (alpha > 0) blend(raster.data, (y * raster.width + x) * 3, color, alpha);
    }
  }
}

/** Lays a color over a pixel of an RGB raster. */
export function blend(data: Uint8Array, offset: number, color: Color, alpha: number): void {
  for (const [channel, value] of color.entries()) {
    const below = data[offset + channel] ?? 0;
    data[offset + channel] = Math.round(below + (value - below) * alpha);
  }
}

/** An image whose channels stand one after the other, `[3, height, width]`, as a raster. */
export function rasterOfBytes({ width, height, data }: ByteImage): Raster {
  const count = width * height;
  const pixels = new Uint8Array(3 * count);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < count; i++) pixels[3 * i + channel] = data[channel * count + i] ?? 0;
  }
  return { width, height, channels: 3, data: pixels };
}

/** Bytes in base64, in Node and in a browser. */
export function base64(bytes: Uint8Array): string {
  let binary = "";
  // In pieces: the arguments of one call are limited.
  for (let start = 0; start < bytes.length; start += 8192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(binary);
}

/**
 * A raster as the bytes of a PNG file, 8 bits a channel, in Node and in a browser. Pixels survive exactly.
 * @param description What the picture shows; kept in the file (text chunk `Description`, characters outside Latin-1
 * as `?`).
 */
export async function encodePng(raster: Raster, description?: string): Promise<Uint8Array> {
  const { encode } = await import("fast-png");
  const { width, height, channels, data } = raster;
  const text =
    description === undefined
      ? {}
      : { text: { Description: description.replace(/[^\n\x20-\x7e\xa0-\xff]/gu, "?") } };
  return encode({ width, height, channels, data, ...text });
}

/** Width and height in pixels from the header of a PNG file; undefined where the bytes are not one. */
export function pngSize(bytes: Uint8Array): { readonly width: number; readonly height: number } | undefined {
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  if (bytes.length < 24 || signature.some((byte, i) => bytes[i] !== byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}
