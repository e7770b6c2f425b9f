import { type Point, type PointSets, placePoints, within } from "./points.ts";
import { blankRaster, type Colour, drawStroke, type Raster } from "./raster.ts";
import { thin, ticks } from "./statistics.ts";

const INK: Colour = [91, 100, 114];
const GRID: Colour = [230, 232, 236];
const DATA: Colour = [139, 147, 161];
const SAMPLES: Colour = [37, 99, 235];

/** Corners of the characters of numbers, x,y in a box 10 wide and 20 high, y downwards. */
const GLYPHS: Readonly<Record<string, string>> = {
  "0": "2,0 8,0 10,3 10,17 8,20 2,20 0,17 0,3 2,0",
  "1": "1,4.5 6,0 6,20",
  "2": "0,4 3,0 7.5,0 10,3.5 10,7 0,20 10,20",
  "3": "0,1.5 3,0 7.5,0 10,3 9,7.5 5,9.5 10,12.5 10,16.5 7.5,20 2.5,20 0,18",
  "4": "7.5,20 7.5,0 0,14 10,14",
  "5": "9.5,0 1,0 .5,9 6.5,8 10,11.5 10,16.5 7,20 2.5,20 0,18",
  "6": "9,1 4,1 0,8 0,17 2.5,20 7.5,20 10,16.5 10,12 7.5,9 2.5,9 0,12",
  "7": "0,0 10,0 3.5,20",
  "8": "5,9.3 1,6.5 1,2.5 3.5,0 6.5,0 9,2.5 9,6.5 5,9.3 0,13 0,17 2.5,20 7.5,20 10,17 10,13 5,9.3",
  "9": "1,19 6,19 10,12 10,3 7.5,0 2.5,0 0,3.5 0,8 2.5,11 7.5,11 10,8",
  "-": "0.5,10.5 9.5,10.5",
  "+": "0.5,10.5 9.5,10.5 5,10.5 5,6 5,15",
  e: "0,13 10,13 10,10.5 7.5,8 2.5,8 0,10.5 0,17 2.5,20 9,20",
  ".": "4,19.5 6,19.5",
};
const INSIDE = 660;
const GLYPH_WIDTH = 6;
const GLYPH_ADVANCE = 10;

const numberText = (value: number): string => String(Number(value.toPrecision(6)));

/** Writes a number; `align` says which part of it stands at `x`. `y` is its middle. */
function drawNumber(raster: Raster, value: number, x: number, y: number, align: "middle" | "end"): void {
  const text = numberText(value);
  const width = text.length * GLYPH_ADVANCE - (GLYPH_ADVANCE - GLYPH_WIDTH);
  const left = align === "middle" ? x - width / 2 : x - width;
  for (const [position, character] of [...text].entries()) {
    const corners = (GLYPHS[character] ?? "").split(" ").map((corner) => corner.split(",").map(Number));
    const place = ([u = 0, v = 0]: readonly number[]): Point => [
      left + position * GLYPH_ADVANCE + (u / 10) * GLYPH_WIDTH,
      y + (v / 10 - 1) * GLYPH_WIDTH,
    ];
    for (const [i, corner] of corners.slice(1).entries()) {
      drawStroke(raster, {
        from: place(corners[i] ?? corner),
        to: place(corner),
        radius: 0.75,
        colour: INK,
        opacity: 1,
      });
    }
  }
}

/**
 * The same scatter plot as pixels, 660 × 660 inside its axes, drawn without any optional package: data grey, samples blue, a grid with
 * its numbers at the edge.
 * @throws ShapeError where the arrays are not `[count, 2]`.
 */
export function scatterRaster(sets: PointSets): Raster {
  const { data, samples, frame } = placePoints(sets);
  const [xTicks, yTicks] = [ticks(...frame.x, 6), ticks(...frame.y, 6)];
  const left = 22 + GLYPH_ADVANCE * Math.max(4, ...yTicks.map((value) => numberText(value).length));
  const [bottom, rim] = [44, 16];
  const [width, height] = [left + INSIDE + rim, rim + INSIDE + bottom];
  const raster = blankRaster(width, height, [255, 255, 255]);
  const plot = { left, right: width - rim, top: rim, bottom: height - bottom };
  const toX = (x: number) =>
    plot.left + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * (plot.right - plot.left);
  const toY = (y: number) =>
    plot.bottom - ((y - frame.y[0]) / (frame.y[1] - frame.y[0])) * (plot.bottom - plot.top);
  const line = (from: Point, to: Point) =>
    drawStroke(raster, { from, to, radius: 0.5, colour: GRID, opacity: 1 });
  for (const value of xTicks) {
    const x = Math.round(toX(value));
    line([x, plot.top], [x, plot.bottom]);
    drawNumber(raster, value, x, plot.bottom + 20, "middle");
  }
  for (const value of yTicks) {
    const y = Math.round(toY(value));
    line([plot.left, y], [plot.right, y]);
    drawNumber(raster, value, plot.left - 10, y, "end");
  }
  const dots = (points: readonly Point[], radius: number, colour: Colour, opacity: number) => {
    for (const point of points) {
      if (!within(frame, point)) continue;
      const centre = [toX(point[0]), toY(point[1])] as const;
      drawStroke(raster, { from: centre, to: centre, radius, colour, opacity });
    }
  };
  dots(thin(data, 5000), 1.8, DATA, 0.45);
  dots(thin(samples, 5000), 2.2, SAMPLES, 0.6);
  return raster;
}
