import { DataError } from "../errors.ts";
import type { PixelImage } from "./types.ts";

// Pixels as graphs take them: bytes, RGB or grey, transparency laid on white, the central part at the size that a model works at. The same in
// Node and in pages, so that the same pixels give the same numbers.

/** Bytes [height, width, channels]. */
export interface ByteImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** @throws DataError where there are no pixels, or not as many as the sides promise */
export function checkPixels({ width, height, data }: PixelImage): void {
  const isSide = (side: number): boolean => Number.isInteger(side) && side > 0;
  if (isSide(width) && isSide(height) && data.length === 4 * width * height) return;
  throw new DataError(
    `an image of ${width} × ${height} pixels holds ${data.length} numbers, where red, green, blue and alpha of each pixel are expected`,
  );
}

/** Red, green and blue, laid on white. */
export function rgbOf({ width, height, data }: PixelImage): ByteImage {
  const bytes = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < bytes.length; from += 4, to += 3) {
    const [red = 0, green = 0, blue = 0, alpha = 255] = [
      data[from],
      data[from + 1],
      data[from + 2],
      data[from + 3],
    ];
    const white = 255 - alpha;
    bytes[to] = white === 0 ? red : Math.round((red * alpha) / 255 + white);
    bytes[to + 1] = white === 0 ? green : Math.round((green * alpha) / 255 + white);
    bytes[to + 2] = white === 0 ? blue : Math.round((blue * alpha) / 255 + white);
  }
  return { width, height, channels: 3, data: bytes };
}

/** A filter: weights by the distance of a place, within a radius. */
interface Filter {
  readonly radius: number;
  weight(distance: number): number;
}

/** Lanczos's filter of three lobes: makes smaller. */
const LANCZOS: Filter = {
  radius: 3,
  weight(x) {
    if (x === 0) return 1;
    const angle = Math.PI * x;
    return (3 * Math.sin(angle) * Math.sin(angle / 3)) / angle ** 2;
  },
};

/** The cubic of Catmull and Rom: makes larger. */
const CUBIC: Filter = {
  radius: 2,
  weight(x) {
    const d = Math.abs(x);
    return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : ((-0.5 * d + 2.5) * d - 4) * d + 2;
  },
};

/** A side that is resized, and the part of it that is wanted. */
interface Side {
  readonly from: number;
  readonly to: number;
  readonly first: number;
  readonly count: number;
}

/** For each wanted place of the new side: the first old place that it is made of, and weights that sum to 1. */
function taps({
  from,
  to,
  first,
  count,
}: Side): readonly { readonly start: number; readonly weights: Float64Array }[] {
  const { radius, weight } = to < from ? LANCZOS : CUBIC;
  const scale = Math.max(1, from / to);
  return Array.from({ length: count }, (_, i) => {
    const center = ((first + i + 0.5) * from) / to - 0.5;
    const start = Math.ceil(center - radius * scale);
    const end = Math.floor(center + radius * scale);
    // What lies beyond the edge is as its last place.
    const inside = (at: number): number => Math.min(from - 1, Math.max(0, at));
    const weights = new Float64Array(inside(end) - inside(start) + 1);
    let sum = 0;
    for (let at = start; at <= end; at++) {
      const own = weight((at - center) / scale);
      weights[inside(at) - inside(start)] = (weights[inside(at) - inside(start)] ?? 0) + own;
      sum += own;
    }
    return { start: inside(start), weights: weights.map((own) => own / sum) };
  });
}

/** A part of an image at another size, rows and columns one after the other. */
function resized({ width, height, channels, data }: ByteImage, across: Side, down: Side): ByteImage {
  const columns = taps(across);
  const row = columns.length * channels;
  const narrow = new Float32Array(height * row);
  for (let y = 0; y < height; y++) {
    for (const [x, { start, weights }] of columns.entries()) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += (weights[k] ?? 0) * (data[(y * width + start + k) * channels + c] ?? 0);
        }
        narrow[y * row + x * channels + c] = sum;
      }
    }
  }
  const bytes = new Uint8ClampedArray(down.count * row);
  for (const [y, { start, weights }] of taps(down).entries()) {
    for (let i = 0; i < row; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++)
        sum += (weights[k] ?? 0) * (narrow[(start + k) * row + i] ?? 0);
      bytes[y * row + i] = sum;
    }
  }
  return { width: columns.length, height: down.count, channels, data: new Uint8Array(bytes.buffer) };
}

/** Light of each byte of sRGB (IEC 61966-2-1). */
const LIGHT = Float64Array.from({ length: 256 }, (_, byte) => {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
});

/** Shares of red, green and blue in what is seen as bright. */
const LUMINANCE = [0.2126, 0.7152, 0.0722] as const;

/** Grey of the same luminance. */
function greyOf({ width, height, data }: ByteImage): ByteImage {
  const bytes = new Uint8Array(width * height);
  for (let pixel = 0; pixel < bytes.length; pixel++) {
    const light = LUMINANCE.reduce(
      (sum, share, c) => sum + share * (LIGHT[data[3 * pixel + c] ?? 0] ?? 0),
      0,
    );
    bytes[pixel] = Math.round(
      255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055),
    );
  }
  return { width, height, channels: 1, data: bytes };
}

/** An image as a model of one size takes it: resized until it covers that size, its center cut out, grey where there is one channel. */
export function fitted(
  image: PixelImage,
  to: { readonly width: number; readonly height: number; readonly channels: number },
): ByteImage {
  const scale = Math.max(to.width / image.width, to.height / image.height);
  const side = (from: number, wanted: number): Side => {
    const covering = Math.max(wanted, Math.round(from * scale));
    return { from, to: covering, first: Math.ceil((covering - wanted) / 2), count: wanted };
  };
  const whole = rgbOf(image);
  const isSame = image.width === to.width && image.height === to.height;
  const square = isSame ? whole : resized(whole, side(image.width, to.width), side(image.height, to.height));
  return to.channels === 1 ? greyOf(square) : square;
}

/** Images of samples as a canvas takes them: `new ImageData(image.data, image.width)`. @param samples [n, channels, height, width] */
export function pixelsOf(
  { shape, data }: { readonly shape: readonly number[]; readonly data: Uint8Array },
  index = 0,
): PixelImage & { readonly data: Uint8ClampedArray<ArrayBuffer> } {
  const [count = 0, channels = 1, height = 1, width = 1] = shape;
  if (!(Number.isInteger(index) && index >= 0 && index < count)) {
    throw new DataError(`there is no image ${index} among ${count}`);
  }
  const size = width * height;
  const own = data.subarray(index * channels * size, (index + 1) * channels * size);
  const pixels = new Uint8ClampedArray(4 * size);
  for (let pixel = 0; pixel < size; pixel++) {
    for (let c = 0; c < 3; c++) pixels[4 * pixel + c] = own[Math.min(c, channels - 1) * size + pixel] ?? 0;
    pixels[4 * pixel + 3] = 255;
  }
  return { width, height, data: pixels };
}
