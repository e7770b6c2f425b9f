import type { Raster } from "./raster.ts";

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
