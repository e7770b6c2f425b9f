import type { ByteImage } from "../data/boxes/set.ts";
import type { Raster } from "./raster.ts";

/** An image whose channels stand one after the other, `[3, height, width]`, as a raster. */
export function rasterOfBytes({ width, height, data }: ByteImage): Raster {
  const count = width * height;
  const pixels = new Uint8Array(3 * count);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < count; i++) pixels[3 * i + channel] = data[channel * count + i] ?? 0;
  }
  return { width, height, channels: 3, data: pixels };
}
