import type { ByteImage } from "../../data/boxes/set.ts";
import type { Random } from "../../random.ts";
import { type Box, boxAt, boxCount, intersection, type Size } from "../boxes/boxes.ts";
import { letterbox } from "../boxes/letterbox.ts";
import type { ResolvedAugmentOptions } from "./options.ts";

/**
 * Where an image lies on a canvas, and what of it is seen: stretched to `width` × `height`, its top left corner at (`left`, `top`),
 * mirrored or not, through a window of the canvas in whole pixels. Pixels and boxes are moved by the same numbers.
 */
export interface Placement {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Left for right, and top for bottom. */
  readonly mirrored: boolean;
  readonly flipped: boolean;
  readonly window: Box;
}

/** Which objects are left of those that are cut off. */
export interface VisibilityRule {
  /** Share of the box's area that must be seen. */
  readonly visible: number;
  /** Least side of what is seen, in pixels of the canvas. */
  readonly leastSide: number;
}

/** Objects on a canvas, and which of the image's they are. */
export interface PlacedBoxes {
  readonly boxes: readonly Box[];
  readonly indices: readonly number[];
}

/** A box of an image of that size as one of the canvas; it may reach beyond the window. */
export function placeBox([x1, y1, x2, y2]: Box, size: Size, placement: Placement): Box {
  const { left, top, width, height, mirrored, flipped } = placement;
  const [sx, sy] = [width / size.width, height / size.height];
  const [u1, u2] = mirrored ? [size.width - x2, size.width - x1] : [x1, x2];
  const [v1, v2] = flipped ? [size.height - y2, size.height - y1] : [y1, y2];
  return [left + sx * u1, top + sy * v1, left + sx * u2, top + sy * v2];
}

/**
 * Boxes of an image on the canvas, cut off at the window, those left out of which too little is seen.
 * @param size of the image that the boxes are of
 */
export function placeBoxes(
  boxes: ArrayLike<number>,
  size: Size,
  placement: Placement,
  { visible, leastSide }: VisibilityRule,
): PlacedBoxes {
  const { window } = placement;
  const kept: Box[] = [];
  const indices: number[] = [];
  for (let i = 0; i < boxCount(boxes); i++) {
    const whole = placeBox(boxAt(boxes, i), size, placement);
    const area = (whole[2] - whole[0]) * (whole[3] - whole[1]);
    if (!(intersection(whole, window) >= visible * area)) continue;
    const seen: Box = [
      Math.max(whole[0], window[0]),
      Math.max(whole[1], window[1]),
      Math.min(whole[2], window[2]),
      Math.min(whole[3], window[3]),
    ];
    // A box that is small as a whole stays: it is no rest of a larger one.
    const least = (side: number) => Math.min(leastSide, side);
    if (seen[2] - seen[0] < least(whole[2] - whole[0]) || seen[3] - seen[1] < least(whole[3] - whole[1]))
      continue;
    if (seen[2] <= seen[0] || seen[3] <= seen[1]) continue;
    kept.push(seen);
    indices.push(i);
  }
  return { boxes: kept, indices };
}

/** The placement of a letterbox: the whole image, in the middle of a square canvas. */
export function letterboxPlacement(image: Size, side: number): Placement {
  const { inner, left, top } = letterbox(image, { width: side, height: side });
  return { left, top, ...inner, mirrored: false, flipped: false, window: [0, 0, side, side] };
}

/**
 * A change of colors: (r, g, b) becomes the three rows of `matrix` times it, plus `shift`, cut off at 0 and 255. Brightness,
 * contrast, saturation and hue are all such maps, and so is one after the other.
 */
export interface ColorMap {
  /** Three rows of three. */
  readonly matrix: readonly number[];
  readonly shift: number;
}

export interface ColorChange {
  /** Factor of all colors; 1 changes nothing. */
  readonly brightness: number;
  /** Factor of the distance from middle grey. */
  readonly contrast: number;
  /** Factor of the distance from the grey of the same luma. */
  readonly saturation: number;
  /** Turns of the color circle. */
  readonly hue: number;
}

/** Luma of ITU-R BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const;

const MIDDLE = 127.5;

/**
 * The map that changes hue and saturation with luma held, then brightness, then contrast. Hues turn in the plane of I and Q, the
 * color part of the YIQ space, whose axes are given by the standard's rounded numbers.
 */
export function colorMap({ brightness, contrast, saturation, hue }: ColorChange): ColorMap {
  const [cos, sin] = [Math.cos(2 * Math.PI * hue), Math.sin(2 * Math.PI * hue)];
  const i = [0.5959, -0.2746, -0.3213] as const;
  const q = [0.2115, -0.5227, 0.3112] as const;
  // What a unit of I and of Q adds to red, green and blue: the inverse of the rows above.
  const fromI = [0.956, -0.272, -1.106] as const;
  const fromQ = [0.619, -0.647, 1.703] as const;
  const matrix = [0, 1, 2].flatMap((row) =>
    [0, 1, 2].map((column) => {
      const own = row === column ? 1 : 0;
      const luma = LUMA[column] ?? 0;
      const [ic, qc] = [i[column] ?? 0, q[column] ?? 0];
      // Written as a change, so that no turn leaves colors exactly as they are in spite of rounded numbers.
      const turned =
        (fromI[row] ?? 0) * ((cos - 1) * ic - sin * qc) + (fromQ[row] ?? 0) * (sin * ic + (cos - 1) * qc);
      return contrast * brightness * (luma + saturation * (own - luma + turned));
    }),
  );
  return { matrix, shift: (1 - contrast) * MIDDLE };
}

/** A change by chance, as large as the options allow; undefined where they allow none. */
export function drawColorMap(
  random: Random,
  { brightness, contrast, saturation, hue }: ResolvedAugmentOptions,
): ColorMap | undefined {
  const change = (most: number) => most * (2 * random.uniform() - 1);
  const drawn = {
    brightness: 1 + change(brightness),
    contrast: 1 + change(contrast),
    saturation: 1 + change(saturation),
    hue: change(hue),
  };
  return brightness + contrast + saturation + hue === 0 ? undefined : colorMap(drawn);
}

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
 * around the pixel's center, of half the width of a sample or of a pixel, whichever is larger.
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
  // As many whole numbers lie between center − radius and center + radius, at most.
  const count = Math.min(size, Math.ceil(2 * radius));
  const first = new Int32Array(end - begin);
  const weights = new Float32Array((end - begin) * count);
  for (let i = 0; i < end - begin; i++) {
    const along = (begin + i + 0.5 - start) * step;
    // Sample k lies at k + ½.
    const center = (reversed ? size - along : along) - 0.5;
    const low = Math.min(size - count, Math.max(0, Math.floor(center - radius) + 1));
    first[i] = low;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = Math.max(0, 1 - Math.abs(low + k - center) / radius);
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

const UNCHANGED: ColorMap = { matrix: [1, 0, 0, 0, 1, 0, 0, 0, 1], shift: 0 };

/** How much of an image is seen over what is on a canvas already: the product of a share along x and one along y, at centers of pixels. */
export interface Blend {
  x(at: number): number;
  y(at: number): number;
}

/** Lays a value over one of a canvas. */
function lay(data: Float32Array, at: number, value: number, share: number): void {
  data[at] = share === 1 ? cut(value) : share * cut(value) + (1 - share) * (data[at] as number);
}

/**
 * Draws an image on a canvas where its placement puts it, in other colors where asked; the rest of the canvas stays.
 * @param blend default: all of it is seen
 */
export function drawImage(
  canvas: Canvas,
  image: ByteImage,
  placement: Placement,
  { matrix, shift }: ColorMap = UNCHANGED,
  blend?: Blend,
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
  const shares = Float64Array.from({ length: drawn }, (_, x) => blend?.x(across.from + x + 0.5) ?? 1);
  for (let y = down.from; y < down.to; y++) {
    const shareOfRow = blend?.y(y + 0.5) ?? 1;
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
      const share = shareOfRow * (shares[x] as number);
      lay(data, start + x, a * red + b * green + c * blue + shift, share);
      lay(data, start + x + plane, d * red + e * green + f * blue + shift, share);
      lay(data, start + x + 2 * plane, g * red + h * green + i * blue + shift, share);
    }
  }
}
