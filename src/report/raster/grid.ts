import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { rgb } from "./palette.ts";
import { blankRaster, type Raster } from "./raster.ts";
import { drawText } from "./text.ts";

export interface GridOptions {
  /** Images a row; as square as can be where it is not given. */
  readonly columns?: number;
  /** Pixels between images and around them. */
  readonly padding?: number;
  /** How many pixels wide and high each pixel is drawn; small images are enlarged where it is not given. */
  readonly scale?: number;
  /** Gray value of the padding and of empty cells, 0 … 255. */
  readonly background?: number;
}

/** Where everything stands in a grid, in pixels of the raster. */
export interface GridGeometry {
  readonly columns: number;
  readonly rows: number;
  readonly scale: number;
  readonly padding: number;
  readonly width: number;
  readonly height: number;
  /** The top left pixel of an image. */
  place(index: number): { readonly x: number; readonly y: number };
}

/** The longer side of an image is drawn with at least this many pixels, so that small digits can be seen. */
const READABLE = 56;
const LARGEST_SCALE = 8;

/**
 * Lays out `count` images of `height` × `width` pixels, row by row.
 * @throws ShapeError where there is nothing to lay out or an option is not a whole number in range.
 */
export function gridGeometry(
  count: number,
  height: number,
  width: number,
  options: GridOptions = {},
): GridGeometry {
  const padding = options.padding ?? 2;
  const scale =
    options.scale ?? Math.min(LARGEST_SCALE, Math.max(1, Math.ceil(READABLE / Math.max(height, width))));
  const [tileWidth, tileHeight] = [width * scale + padding, height * scale + padding];
  const square = Math.ceil(Math.sqrt((count * tileHeight) / tileWidth));
  const widest = Math.min(count, Math.max(1, square));
  // As many rows as the square needs; then no more columns than those rows need.
  const columns = options.columns ?? Math.ceil(count / Math.ceil(count / widest));
  for (const [name, value, least] of [
    ["number of images", count, 1],
    ["height", height, 1],
    ["width", width, 1],
    ["columns", columns, 1],
    ["scale", scale, 1],
    ["padding", padding, 0],
  ] as const) {
    if (!Number.isInteger(value) || value < least) {
      throw new ShapeError(
        `image grid: the ${name} is ${value}; it must be a whole number of at least ${least}`,
      );
    }
  }
  const rows = Math.ceil(count / columns);
  return {
    columns,
    rows,
    scale,
    padding,
    width: columns * tileWidth + padding,
    height: rows * tileHeight + padding,
    place: (index) => ({
      x: padding + (index % columns) * tileWidth,
      y: padding + Math.floor(index / columns) * tileHeight,
    }),
  };
}

/**
 * Arranges images into one picture. Values are rounded, and clamped to 0 … 255; NaN is drawn black.
 * @param images `[count, channels, height, width]`, bytes as floats; 1 channel gives a gray raster, 3 an RGB one.
 * @throws ShapeError where `images` has another shape.
 */
export function imageGrid(images: NdArray<"float32">, options: GridOptions = {}): Raster {
  const [count, channels, height, width] = images.shape;
  if (
    images.shape.length !== 4 ||
    count === undefined ||
    (channels !== 1 && channels !== 3) ||
    height === undefined ||
    width === undefined
  ) {
    throw new ShapeError(
      `image grid: images have shape [${images.shape}]; it must be [count, 1 or 3, height, width]`,
    );
  }
  const grid = gridGeometry(count, height, width, options);
  const data = new Uint8ClampedArray(grid.width * grid.height * channels).fill(options.background ?? 255);
  for (let index = 0; index < count; index++) {
    const { x: left, y: top } = grid.place(index);
    for (let channel = 0; channel < channels; channel++) {
      const plane = (index * channels + channel) * height * width;
      for (let y = 0; y < height * grid.scale; y++) {
        const row = plane + Math.floor(y / grid.scale) * width;
        for (let x = 0; x < width * grid.scale; x++) {
          const value = images.data[row + Math.floor(x / grid.scale)] ?? 0;
          data[((top + y) * grid.width + left + x) * channels + channel] = value;
        }
      }
    }
  }
  return { width: grid.width, height: grid.height, channels, data: new Uint8Array(data.buffer) };
}

const LABEL_HEIGHT = 30;
const GAP = 16;

/** Copies a gray or RGB raster into an RGB one, its top left corner at x, y. It must lie within. */
export function paste(target: Raster, source: Raster, x: number, y: number): void {
  for (let row = 0; row < source.height; row++) {
    for (let column = 0; column < source.width; column++) {
      for (let channel = 0; channel < 3; channel++) {
        const from = (row * source.width + column) * source.channels + (source.channels === 3 ? channel : 0);
        target.data[((y + row) * target.width + x + column) * 3 + channel] = source.data[from] ?? 0;
      }
    }
  }
}

/** Pictures side by side, each with a number above it. */
export function labeledRow(pictures: readonly { readonly label: number; readonly raster: Raster }[]): Raster {
  const width = pictures.reduce((sum, { raster }) => sum + raster.width + GAP, -GAP);
  const height = LABEL_HEIGHT + Math.max(...pictures.map(({ raster }) => raster.height));
  const row = blankRaster(width, height, rgb("paper"));
  let left = 0;
  for (const { label, raster } of pictures) {
    drawText(row, String(label), {
      x: left + raster.width / 2,
      y: LABEL_HEIGHT / 2,
      align: "middle",
      color: rgb("ink"),
      scale: 1.2,
    });
    paste(row, raster, left, LABEL_HEIGHT);
    left += raster.width + GAP;
  }
  return row;
}

/** A picture below a line of text. */
export function titled(picture: Raster, title: string): Raster {
  const raster = blankRaster(picture.width, picture.height + LABEL_HEIGHT, rgb("paper"));
  drawText(raster, title, { x: 8, y: LABEL_HEIGHT / 2, align: "start", color: rgb("ink") });
  paste(raster, picture, 0, LABEL_HEIGHT);
  return raster;
}
