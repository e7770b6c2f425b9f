import { OptionError } from "../../errors.ts";
import type { BoxArray } from "./boxes.ts";
import { clipBoxes, type Size, scaleBoxes, shiftBoxes } from "./boxes.ts";

/**
 * How an image is fitted into a canvas without changing its shape: resized to `inner` and placed with its top left corner
 * at (`left`, `top`), the rest of the canvas being padding.
 */
export interface Letterbox {
  /** Size of the image. */
  readonly image: Size;
  readonly canvas: Size;
  /** Size of the resized image, in whole pixels: its shape is that of the image to within half a pixel. */
  readonly inner: Size;
  readonly left: number;
  readonly top: number;
}

/**
 * The largest letterbox of an image in a canvas, centered (where padding is odd, its larger half is right or below).
 * @param enlarge whether an image smaller than the canvas is enlarged; default: true
 * @throws OptionError where a side is not a whole number of pixels of at least 1
 */
export function letterbox(image: Size, canvas: Size, enlarge = true): Letterbox {
  for (const [name, { width, height }] of [
    ["image", image],
    ["canvas", canvas],
  ] as const) {
    if (![width, height].every((side) => Number.isInteger(side) && side > 0)) {
      throw new OptionError(
        `letterbox: the ${name} has ${width} × ${height} pixels; both must be whole and positive`,
      );
    }
  }
  const fitting = Math.min(canvas.width / image.width, canvas.height / image.height);
  const scale = enlarge ? fitting : Math.min(1, fitting);
  const width = Math.max(1, Math.min(canvas.width, Math.round(image.width * scale)));
  const height = Math.max(1, Math.min(canvas.height, Math.round(image.height * scale)));
  return {
    image,
    canvas,
    inner: { width, height },
    left: Math.floor((canvas.width - width) / 2),
    top: Math.floor((canvas.height - height) / 2),
  };
}

/** Boxes of the image as boxes of the canvas. */
export function toLetterbox<T extends BoxArray>(boxes: T, { image, inner, left, top }: Letterbox): T {
  const scaled = scaleBoxes(boxes, inner.width / image.width, inner.height / image.height);
  return shiftBoxes(scaled, left, top);
}

/**
 * Boxes of the canvas as boxes of the image: the inverse of `toLetterbox`.
 * @param clip whether boxes are cut off at the borders of the image; default: true, as detections may reach into the padding
 */
export function fromLetterbox<T extends BoxArray>(
  boxes: T,
  { image, inner, left, top }: Letterbox,
  clip = true,
): T {
  const moved = shiftBoxes(boxes, -left, -top);
  const scaled = scaleBoxes(moved, image.width / inner.width, image.height / inner.height);
  return clip ? clipBoxes(scaled, image) : scaled;
}
