import { OptionError } from "../../errors.ts";
import { float32, type NdArray } from "../../tensor/array.ts";

/** For each place of the new side: the two old places that it is between, and the weight of the second. */
function taps(from: number, to: number): readonly (readonly [low: number, high: number, weight: number])[] {
  return Array.from({ length: to }, (_, i) => {
    // Centers of pixels lie at halves.
    const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    const low = Math.floor(at);
    return [low, Math.min(from - 1, low + 1), at - low];
  });
}

/**
 * Images [n, channels, H, W] at another size, by bilinear interpolation between the centers of pixels, as PyTorch's
 * `interpolate(mode="bilinear", align_corners=False)`; smaller ones are not smoothed before.
 */
export function resizedImages(images: NdArray<"float32">, height: number, width: number): NdArray<"float32"> {
  const [count = 0, channels = 0, rows = 0, columns = 0] = images.shape;
  if (rows === height && columns === width) return images;
  const [vertical, horizontal] = [taps(rows, height), taps(columns, width)];
  const data = new Float32Array(count * channels * height * width);
  let at = 0;
  for (let plane = 0; plane < count * channels; plane++) {
    const own = images.data.subarray(plane * rows * columns, (plane + 1) * rows * columns);
    for (const [top, bottom, down] of vertical) {
      for (const [left, right, across] of horizontal) {
        const value = (row: number): number =>
          (own[row * columns + left] ?? 0) * (1 - across) + (own[row * columns + right] ?? 0) * across;
        data[at++] = value(top) * (1 - down) + value(bottom) * down;
      }
    }
  }
  return float32(data, [count, channels, height, width]);
}

/**
 * Images of one channel as three equal ones.
 * @throws OptionError where there are neither as many channels as wanted, nor one for three
 */
export function withChannels(images: NdArray<"float32">, wanted: number): NdArray<"float32"> {
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  if (channels === wanted) return images;
  if (channels !== 1) {
    throw new OptionError(
      `images of ${channels} channels, where ${wanted} are taken; choose others of as many`,
    );
  }
  const size = height * width;
  const data = new Float32Array(count * wanted * size);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < wanted; c++)
      data.set(images.data.subarray(i * size, (i + 1) * size), (i * wanted + c) * size);
  }
  return float32(data, [count, wanted, height, width]);
}
