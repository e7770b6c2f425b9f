import { boxAt } from "../../detection/boxes/boxes.ts";
import { printable } from "../../printable.ts";
import { paste } from "../raster/grid.ts";
import { blankRaster, type Color, type Raster } from "../raster/raster.ts";
import { drawText, textWidth } from "../raster/text.ts";
import { boxColor, drawBoxes } from "./boxes.ts";

/** An image of a sheet, with its boxes in its own pixels. */
export interface SheetPicture {
  readonly image: Raster;
  /** Stands below the image. */
  readonly caption: string;
  /** Four numbers a box. */
  readonly boxes: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  /** Points of each box in pixels of the image, as landmarks of a face; default: none. */
  readonly points?: readonly (readonly (readonly [number, number])[])[];
  /** What stands at each box; default: nothing. */
  readonly texts?: readonly string[];
  /** 1 where a box is drawn with broken lines, as of what need not be found. */
  readonly dashed?: ArrayLike<number>;
  /** How many pixels of the sheet a pixel becomes, along each axis; default: 1. */
  readonly enlarge?: number;
}

const INK: Color = [31, 36, 48];
const GAP = 12;
const CAPTION = 22;
const LEGEND = 30;
/** Classes named in the legend; the others have the same colors again. */
const NAMED = 20;

/** A text cut off at the end where it would be wider; its control characters are written out. */
function fitted(text: string, width: number, scale: number): string {
  const shown = printable(text);
  if (textWidth(shown, scale) <= width) return shown;
  const letters = [...shown];
  let [least, most] = [1, letters.length - 1];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (textWidth(`${letters.slice(0, middle).join("")}…`, scale) <= width) least = middle;
    else most = middle - 1;
  }
  return `${letters.slice(0, least).join("")}…`;
}

/** The names of classes on grounds of their colors, in as many lines as they need. */
function drawLegend(sheet: Raster, names: readonly string[], top: number, draw: boolean): number {
  let [x, y] = [GAP, top];
  const more = names.length - NAMED;
  const shown = more > 0 ? [...names.slice(0, NAMED), `and ${more} more classes`] : names;
  for (const [label, name] of shown.entries()) {
    const text = fitted(name, 260, 1);
    // Whole pixels: those of a swatch are set one by one.
    const width = Math.ceil(textWidth(text)) + 34;
    if (x + width > sheet.width - GAP && x > GAP) [x, y] = [GAP, y + LEGEND];
    if (draw && label < NAMED) {
      for (let row = 0; row < 16; row++) {
        for (let column = 0; column < 16; column++) {
          sheet.data.set(boxColor(label), ((y + 6 + row) * sheet.width + x + column) * 3);
        }
      }
    }
    if (draw) drawText(sheet, text, { x: x + 22, y: y + 12, align: "start", color: INK });
    x += width;
  }
  return names.length === 0 ? top : y + LEGEND;
}

/**
 * Images with their boxes in a grid, a caption below each, and the colors of the classes above. A column is as wide as the
 * widest image, a row as high as its highest one.
 * @param names of the classes
 * @param columns images a row; default: as square as can be
 */
export function contactSheet(
  pictures: readonly SheetPicture[],
  names: readonly string[],
  columns = Math.ceil(Math.sqrt(pictures.length)),
): Raster {
  const wide = Math.max(1, columns);
  const drawn = pictures.map(({ image, boxes, labels, points, texts, dashed, enlarge = 1 }) => {
    const marked = Array.from(labels, (label, k) => ({
      box: boxAt(boxes, k),
      color: boxColor(label),
      label: texts?.[k] ?? "",
      dashed: dashed?.[k] === 1,
      points: points?.[k] ?? [],
    }));
    return drawBoxes(image, marked, { enlarge });
  });
  const tile = Math.max(1, ...drawn.map(({ width }) => width));
  const rows = Array.from({ length: Math.ceil(drawn.length / wide) }, (_, row) => row * wide);
  const heights = rows.map((first) =>
    Math.max(...drawn.slice(first, first + wide).map(({ height }) => height)),
  );
  const width = wide * (tile + GAP) + GAP;
  const legend = drawLegend(blankRaster(width, 1, INK), names, GAP / 2, false);
  const height = legend + heights.reduce((sum, each) => sum + each + CAPTION, 0) + GAP;
  const sheet = blankRaster(width, height, [255, 255, 255]);
  drawLegend(sheet, names, GAP / 2, true);
  let top = legend;
  for (const [i, first] of rows.entries()) {
    for (const [column, picture] of drawn.slice(first, first + wide).entries()) {
      const left = GAP + column * (tile + GAP);
      paste(sheet, picture, left, top);
      const text = fitted(pictures[first + column]?.caption ?? "", tile, 0.9);
      const y = top + picture.height + 11;
      drawText(sheet, text, { x: left, y, align: "start", color: INK, scale: 0.9 });
    }
    top += (heights[i] ?? 0) + CAPTION;
  }
  return sheet;
}
