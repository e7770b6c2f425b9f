import type { Box } from "../../detection/boxes/boxes.ts";
import { OptionError } from "../../errors.ts";
import { blankRaster, type Color, drawStroke, type Raster } from "../raster/raster.ts";
import { drawText, textWidth } from "../raster/text.ts";

/** A box to be drawn. */
export interface MarkedBox {
  /** In pixels of the image. */
  readonly box: Box;
  /** Stands above the box, or within where there is no room. */
  readonly label?: string;
  /** Default: `boxColor(0)`. */
  readonly color?: Color;
  /** Whether the lines are broken, as those of truth beside predictions; default: false. */
  readonly dashed?: boolean;
  /** Points of the object in pixels of the image, as landmarks of a face: drawn as dots. Default: none. */
  readonly points?: readonly (readonly [number, number])[];
}

export interface BoxPictureOptions {
  /** How many pixels of the picture a pixel of the image becomes, along each axis; a whole number; default: 1. */
  readonly enlarge?: number;
}

/** Colors that are distinct on photographs, also by most who are color-blind. */
const PALETTE: readonly Color[] = [
  [230, 57, 70],
  [29, 120, 236],
  [255, 183, 3],
  [6, 167, 125],
  [181, 84, 214],
  [251, 133, 0],
  [0, 180, 216],
  [196, 214, 0],
  [255, 112, 166],
  [134, 96, 62],
];

const INK: Color = [16, 20, 30];
const WHITE: Color = [255, 255, 255];
const DASH = 5;

/** The color of a class by its number; after ten they come again. */
export function boxColor(index: number): Color {
  return PALETTE[index % PALETTE.length] ?? INK;
}

/**
 * An RGB picture of an image with boxes on it: lines on their edges, dots on their points and labels on a ground of their color. Of
 * boxes that overlap the first lies on top. What lies outside is cut off, and a box or a point that is not finite is left out.
 * @throws OptionError where `enlarge` is not a whole number of at least 1
 */
export function drawBoxes(
  image: Raster,
  boxes: readonly MarkedBox[],
  { enlarge = 1 }: BoxPictureOptions = {},
): Raster {
  if (!Number.isInteger(enlarge) || enlarge < 1) {
    throw new OptionError(`drawBoxes: enlarge ${enlarge} must be a whole number of at least 1`);
  }
  const picture = enlarged(image, enlarge);
  // Lines and letters that are read at the size at which the whole picture is looked at.
  const size = Math.min(1.5, Math.max(0.75, Math.max(picture.width, picture.height) / 700));
  for (const { box, label, color = boxColor(0), dashed = false, points = [] } of boxes.toReversed()) {
    if (!box.every(Number.isFinite)) continue;
    // Pixel centers lie at whole numbers in rasters, and at halves in images.
    const [left, top, right, bottom] = box.map((edge) => edge * enlarge - 0.5);
    const edges = { left: left ?? 0, top: top ?? 0, right: right ?? 0, bottom: bottom ?? 0 };
    drawFrame(picture, edges, size, color, dashed);
    for (const point of points) drawDot(picture, point, box, enlarge, color);
    if (label !== undefined && label !== "") drawLabel(picture, edges, label, size, color);
  }
  return picture;
}

interface Edges {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** A point of a box: as small as five of them in a small box want it, with a white rim that is seen on any ground. */
function drawDot(
  picture: Raster,
  [x, y]: readonly [number, number],
  [left, , right]: Box,
  enlarge: number,
  color: Color,
): void {
  if (!Number.isFinite(x) || !Number.isFinite(y)) return;
  const radius = Math.min(4, Math.max(1, ((right - left) * enlarge) / 40));
  const at = [x * enlarge - 0.5, y * enlarge - 0.5] as const;
  drawStroke(picture, { from: at, to: at, radius: radius + 0.75, color: WHITE, opacity: 1 });
  drawStroke(picture, { from: at, to: at, radius, color, opacity: 1 });
}

function drawFrame(picture: Raster, edges: Edges, size: number, color: Color, dashed: boolean): void {
  // Far outside nothing is seen, and a dash after the other would take for ever.
  const [x1, x2] = [Math.max(edges.left, -9), Math.min(edges.right, picture.width + 9)];
  const [y1, y2] = [Math.max(edges.top, -9), Math.min(edges.bottom, picture.height + 9)];
  const corners = [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
  ] as const;
  for (const [i, from] of corners.entries()) {
    const to = corners[(i + 1) % 4] ?? from;
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const step = dashed ? 2 * DASH * size : Math.max(length, 1);
    for (let at = 0; at <= length; at += step) {
      const along = (distance: number) => {
        const share = length === 0 ? 0 : Math.min(distance, length) / length;
        return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share] as const;
      };
      const end = at + (dashed ? DASH * size : length);
      drawStroke(picture, { from: along(at), to: along(end), radius: size, color, opacity: 1 });
    }
  }
}

function drawLabel(picture: Raster, { left, top }: Edges, label: string, size: number, color: Color): void {
  const [width, height] = [Math.ceil(textWidth(label, size)) + 8 * size, 20 * size];
  const x = Math.round(Math.max(0, Math.min(left - size, picture.width - width)));
  const above = top - height;
  const y = Math.round(above >= 0 ? above : Math.max(0, Math.min(top, picture.height - height)));
  for (let row = y; row < Math.min(y + height, picture.height); row++) {
    for (let column = x; column < Math.min(x + width, picture.width); column++) {
      picture.data.set(color, (row * picture.width + column) * 3);
    }
  }
  const [red, green, blue] = color;
  const light = 0.299 * red + 0.587 * green + 0.114 * blue > 140;
  // Letters reach from 6 above their middle to 10 below, with their tails.
  drawText(picture, label, {
    x: x + 4 * size,
    y: y + 9 * size,
    align: "start",
    color: light ? INK : WHITE,
    scale: size,
  });
}

/** A copy in RGB in which each pixel is a square of as many. */
function enlarged(image: Raster, factor: number): Raster {
  const picture = blankRaster(image.width * factor, image.height * factor, [0, 0, 0]);
  for (let y = 0; y < picture.height; y++) {
    const row = Math.floor(y / factor) * image.width;
    for (let x = 0; x < picture.width; x++) {
      const from = (row + Math.floor(x / factor)) * image.channels;
      for (let channel = 0; channel < 3; channel++) {
        const value = image.data[from + (image.channels === 3 ? channel : 0)] ?? 0;
        picture.data[(y * picture.width + x) * 3 + channel] = value;
      }
    }
  }
  return picture;
}
