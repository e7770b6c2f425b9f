import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { blankRaster, type Color, type Raster } from "./raster.ts";

/** Viridis (Smith and van der Walt, CC0) at equal distances. */
export const VIRIDIS: readonly Color[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** The color of a share of the scale; shares below 0 and above 1 have those of its ends. */
export function viridis(share: number): Color {
  const position = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const low = VIRIDIS[Math.floor(position)] ?? [0, 0, 0];
  const high = VIRIDIS[Math.ceil(position)] ?? low;
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(low[channel] + (high[channel] - low[channel]) * (position % 1));
  return [mix(0), mix(1), mix(2)];
}

/** How much of the image shows through where it is hot; where it is cold only the image does. */
const THROUGH = 0.35;

/**
 * An image with a heat map laid over it, as an RGB picture: gray where it is cold, in the colors of viridis where it is hot.
 * Between the centers of cells heat is interpolated.
 * @param heat 0 … 1, [rows, columns], over the whole image; beyond 0 … 1 it counts as the nearer end
 * @throws ShapeError where heat is not [rows, columns]
 */
export function heatOverlay(image: Raster, heat: NdArray<"float32">): Raster {
  const [rows = 0, columns = 0] = heat.shape;
  if (heat.shape.length !== 2 || rows * columns === 0) {
    throw new ShapeError(`heat overlay: heat has shape [${heat.shape}]; it must be [rows, columns]`);
  }
  const picture = blankRaster(image.width, image.height, [0, 0, 0]);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const at = y * image.width + x;
      const hot = Math.min(
        1,
        Math.max(
          0,
          interpolated(heat.data, rows, columns, {
            row: ((y + 0.5) / image.height) * rows - 0.5,
            column: ((x + 0.5) / image.width) * columns - 0.5,
          }),
        ),
      );
      const gray = grayOf(image, at);
      const cover = (1 - THROUGH) * Math.sqrt(hot);
      for (const [channel, color] of viridis(hot).entries()) {
        picture.data[3 * at + channel] = Math.round(gray + (color - gray) * cover);
      }
    }
  }
  return picture;
}

function grayOf({ channels, data }: Raster, at: number): number {
  if (channels === 1) return data[at] ?? 0;
  const [red = 0, green = 0, blue = 0] = data.subarray(3 * at, 3 * at + 3);
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** The value between the centers of four cells; beyond the outermost ones that of the nearest. */
function interpolated(
  values: Float32Array,
  rows: number,
  columns: number,
  { row, column }: { readonly row: number; readonly column: number },
): number {
  const [y, x] = [Math.min(rows - 1, Math.max(0, row)), Math.min(columns - 1, Math.max(0, column))];
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [bottom, right] = [Math.min(rows - 1, top + 1), Math.min(columns - 1, left + 1)];
  const at = (r: number, c: number) => values[r * columns + c] ?? 0;
  const upper = at(top, left) + (at(top, right) - at(top, left)) * (x - left);
  const lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * (x - left);
  return upper + (lower - upper) * (y - top);
}
