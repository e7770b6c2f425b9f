import { blankRaster, type Colour, type Raster } from "./raster.ts";
import { drawText } from "./stroke-text.ts";

const INK: Colour = [31, 36, 48];
const LABEL_HEIGHT = 30;
const GAP = 16;

/** Copies a grey or RGB raster into an RGB one, its top left corner at x, y. It must lie within. */
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
export function labelledRow(
  pictures: readonly { readonly label: number; readonly raster: Raster }[],
): Raster {
  const width = pictures.reduce((sum, { raster }) => sum + raster.width + GAP, -GAP);
  const height = LABEL_HEIGHT + Math.max(...pictures.map(({ raster }) => raster.height));
  const row = blankRaster(width, height, [255, 255, 255]);
  let left = 0;
  for (const { label, raster } of pictures) {
    drawText(row, String(label), {
      x: left + raster.width / 2,
      y: LABEL_HEIGHT / 2,
      align: "middle",
      colour: INK,
      scale: 1.2,
    });
    paste(row, raster, left, LABEL_HEIGHT);
    left += raster.width + GAP;
  }
  return row;
}
