import type { Size } from "./box-formats.ts";
import { type Box, boxAt, boxCount, intersection } from "./boxes.ts";
import { letterbox } from "./letterbox.ts";

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
