import { type Point, type PointSets, placePoints, within } from "./points.ts";
import { blankRaster, type Colour, drawStroke, type Raster } from "./raster.ts";
import { thin, ticks } from "./statistics.ts";
import { drawText, GLYPH_ADVANCE } from "./stroke-text.ts";

const INK: Colour = [91, 100, 114];
const GRID: Colour = [230, 232, 236];
const DATA: Colour = [139, 147, 161];
const SAMPLES: Colour = [37, 99, 235];

const INSIDE = 660;

const numberText = (value: number): string => String(Number(value.toPrecision(6)));

/** Writes a number; `align` says which part of it stands at `x`. `y` is its middle. */
function drawNumber(raster: Raster, value: number, x: number, y: number, align: "middle" | "end"): void {
  drawText(raster, numberText(value), { x, y, align, colour: INK });
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
