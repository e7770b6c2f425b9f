import type { ByteImage } from "../data/detection-set.ts";
import type { ColourMap } from "./augment-colour.ts";
import type { Placement } from "./augment-placement.ts";

/** Grey of the canvas where no image lies. */
export const PADDING = 114;

/** A square image as floats, `[3, side, side]`. */
export interface Canvas {
  readonly side: number;
  readonly data: Float32Array;
}

/** What each pixel of a stretched row is made of: `count` samples from `first` on, by weights. */
interface Taps {
  /** The first pixel that shows the image, and the one after the last. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly first: Int32Array;
  /** `count` weights for each pixel. */
  readonly weights: Float32Array;
}

/**
 * Linear interpolation, averaged over as many samples as a pixel covers where the row is made shorter: weights are a triangle
 * around the pixel's centre, of half the width of a sample or of a pixel, whichever is larger.
 * @param size samples in the row
 * @param from `to` the pixels that may be drawn
 */
function tapsOf(
  size: number,
  start: number,
  length: number,
  reversed: boolean,
  from: number,
  to: number,
): Taps {
  const begin = Math.max(from, Math.ceil(start - 0.5));
  const end = Math.max(begin, Math.min(to, Math.ceil(start + length - 0.5)));
  const step = size / length;
  const radius = Math.max(1, step);
  // As many whole numbers lie between centre − radius and centre + radius, at most.
  const count = Math.min(size, Math.ceil(2 * radius));
  const first = new Int32Array(end - begin);
  const weights = new Float32Array((end - begin) * count);
  for (let i = 0; i < end - begin; i++) {
    const along = (begin + i + 0.5 - start) * step;
    // Sample k lies at k + ½.
    const centre = (reversed ? size - along : along) - 0.5;
    const low = Math.min(size - count, Math.max(0, Math.floor(centre - radius) + 1));
    first[i] = low;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = Math.max(0, 1 - Math.abs(low + k - centre) / radius);
      weights[i * count + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < count; k++) weights[i * count + k] = (weights[i * count + k] ?? 0) / sum;
  }
  return { from: begin, to: end, count, first, weights };
}

/** Row `j` of an image stretched along columns, each channel of `columns` samples from column `left` on. */
function stretchRow(
  { width, height, data }: ByteImage,
  { count, first, weights }: Taps,
  j: number,
  left: number,
  columns: number,
  row: Float32Array,
): void {
  for (let channel = 0; channel < 3; channel++) {
    const start = channel * columns;
    for (let k = 0; k < count; k++) {
      const weight = weights[j * count + k] as number;
      const from = (channel * height + (first[j] as number) + k) * width + left;
      // The first tap overwrites what the row before has left.
      if (k === 0) for (let i = 0; i < columns; i++) row[start + i] = weight * (data[from + i] as number);
      else if (weight !== 0) {
        for (let i = 0; i < columns; i++) {
          row[start + i] = (row[start + i] as number) + weight * (data[from + i] as number);
        }
      }
    }
  }
}

const cut = (value: number): number => Math.max(0, Math.min(value, 255));

const UNCHANGED: ColourMap = { matrix: [1, 0, 0, 0, 1, 0, 0, 0, 1], shift: 0 };

/** Draws an image on a canvas where its placement says, in other colours where asked; the rest of the canvas stays. */
export function drawImage(
  canvas: Canvas,
  image: ByteImage,
  placement: Placement,
  { matrix, shift }: ColourMap = UNCHANGED,
): void {
  const { left, top, width, height, mirrored, flipped, window } = placement;
  const { side, data } = canvas;
  const across = tapsOf(image.width, left, width, mirrored, window[0], window[2]);
  const down = tapsOf(image.height, top, height, flipped, window[1], window[3]);
  const drawn = across.to - across.from;
  if (drawn <= 0 || down.to <= down.from) return;
  const { count, first, weights } = across;
  // The columns of the image that are seen.
  const ends = [first[0] ?? 0, first[drawn - 1] ?? 0];
  const low = Math.min(...ends);
  const columns = Math.max(...ends) + count - low;
  const row = new Float32Array(3 * columns);
  const plane = side * side;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0] = matrix;
  for (let y = down.from; y < down.to; y++) {
    stretchRow(image, down, y - down.from, low, columns, row);
    const start = y * side + across.from;
    for (let x = 0; x < drawn; x++) {
      const from = (first[x] as number) - low;
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let k = 0; k < count; k++) {
        const weight = weights[x * count + k] as number;
        red += weight * (row[from + k] as number);
        green += weight * (row[columns + from + k] as number);
        blue += weight * (row[2 * columns + from + k] as number);
      }
      data[start + x] = cut(a * red + b * green + c * blue + shift);
      data[start + x + plane] = cut(d * red + e * green + f * blue + shift);
      data[start + x + 2 * plane] = cut(g * red + h * green + i * blue + shift);
    }
  }
}
