import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { type Frame, type Point, type PointSets, placePoints, pointsOf, within } from "../points.ts";
import { viridis } from "../raster/heat.ts";
import { blankRaster, type Color, drawStroke, type Raster } from "../raster/raster.ts";
import { drawText, GLYPH_ADVANCE } from "../raster/text.ts";
import { thin, ticks } from "../statistics.ts";

const INK: Color = [91, 100, 114];
const GRID: Color = [230, 232, 236];
const DATA: Color = [139, 147, 161];
const SAMPLES: Color = [37, 99, 235];

const INSIDE = 660;

const numberText = (value: number): string => String(Number(value.toPrecision(6)));

/** Writes a number; `align` says which part of it stands at `x`. `y` is its middle. */
function drawNumber(raster: Raster, value: number, x: number, y: number, align: "middle" | "end"): void {
  drawText(raster, numberText(value), { x, y, align, color: INK });
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
    drawStroke(raster, { from, to, radius: 0.5, color: GRID, opacity: 1 });
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
  const dots = (points: readonly Point[], radius: number, color: Color, opacity: number) => {
    for (const point of points) {
      if (!within(frame, point)) continue;
      const center = [toX(point[0]), toY(point[1])] as const;
      drawStroke(raster, { from: center, to: center, radius, color, opacity });
    }
  };
  dots(thin(data, 5000), 1.8, DATA, 0.45);
  dots(thin(samples, 5000), 2.2, SAMPLES, 0.6);
  return raster;
}

const PANEL_INK: Color = [91, 100, 114];
const BORDER: Color = [200, 205, 213];
const PANEL_DATA: Color = [120, 128, 142];
const PANEL_SAMPLES: Color = [37, 99, 235];

const PANEL_INSIDE = 480;
const [LEFT, BOTTOM, RIM] = [46, 40, 10];
const TEXT = 1.25;
const MOST_POINTS = 4000;

/** What one panel of several shows in a frame that all of them share. */
export type PlanePanel =
  | {
      readonly kind: "density";
      /** Log-densities in nats at the centers of cells of the frame, `[rows, columns]`, the lowest row first. */
      readonly values: NdArray<"float32">;
      /** The density at the end of the color scale, the same for all panels. */
      readonly top: number;
    }
  | {
      readonly kind: "points";
      /** `[count, 2]`, blue. */
      readonly samples?: NdArray<"float32">;
      /** `[count, 2]`, grey, below the samples. */
      readonly data?: NdArray<"float32">;
    };

/**
 * One of several pictures of the plane beside each other, all of one size and with the same axes: a density in colors from 0
 * to `top`, or points, at most 4,000 of each set.
 * @throws ShapeError where arrays have another shape
 */
export function planePanel(panel: PlanePanel, frame: Frame): Raster {
  const raster = blankRaster(LEFT + PANEL_INSIDE + RIM, RIM + PANEL_INSIDE + BOTTOM, [255, 255, 255]);
  if (panel.kind === "density") fillDensity(raster, panel.values, panel.top);
  else {
    const sets = [
      {
        points: panel.data,
        color: PANEL_DATA,
        radius: 1.7,
        opacity: panel.samples === undefined ? 0.7 : 0.45,
      },
      { points: panel.samples, color: PANEL_SAMPLES, radius: 1.8, opacity: 0.65 },
    ];
    for (const { points, ...dot } of sets) {
      if (points !== undefined) drawPoints(raster, pointsOf(points, "points of a panel"), frame, dot);
    }
  }
  drawAxes(raster, frame);
  return raster;
}

/** A density, linear between the centers of its cells. */
function fillDensity(raster: Raster, { shape, data }: NdArray<"float32">, top: number): void {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError(`density panel: values have shape [${shape}]; it must be [rows, columns]`);
  }
  const density = Float64Array.from(data, (value) => (Number.isFinite(value) ? Math.exp(value) : 0));
  const at = (row: number, column: number): number =>
    density[Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column))] ?? 0;
  for (let y = 0; y < PANEL_INSIDE; y++) {
    const v = ((PANEL_INSIDE - 0.5 - y) / PANEL_INSIDE) * rows - 0.5;
    const [row, dv] = [Math.floor(v), v - Math.floor(v)];
    for (let x = 0; x < PANEL_INSIDE; x++) {
      const u = ((x + 0.5) / PANEL_INSIDE) * columns - 0.5;
      const [column, du] = [Math.floor(u), u - Math.floor(u)];
      const low = at(row, column) * (1 - du) + at(row, column + 1) * du;
      const high = at(row + 1, column) * (1 - du) + at(row + 1, column + 1) * du;
      const color = viridis((low * (1 - dv) + high * dv) / top);
      raster.data.set(color, ((RIM + y) * raster.width + LEFT + x) * 3);
    }
  }
}

function toPlace(frame: Frame, [x, y]: Point): Point {
  return [
    LEFT + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * PANEL_INSIDE,
    RIM + PANEL_INSIDE - ((y - frame.y[0]) / (frame.y[1] - frame.y[0])) * PANEL_INSIDE,
  ];
}

function drawPoints(
  raster: Raster,
  points: readonly Point[],
  frame: Frame,
  dot: { readonly color: Color; readonly radius: number; readonly opacity: number },
): void {
  for (const point of thin(points, MOST_POINTS)) {
    if (!within(frame, point)) continue;
    const place = toPlace(frame, point);
    drawStroke(raster, { from: place, to: place, ...dot });
  }
}

function drawAxes(raster: Raster, frame: Frame): void {
  const [right, bottom] = [LEFT + PANEL_INSIDE, RIM + PANEL_INSIDE];
  const line = (from: Point, to: Point) =>
    drawStroke(raster, { from, to, radius: 0.6, color: BORDER, opacity: 1 });
  const corners: readonly Point[] = [
    [LEFT, RIM],
    [right, RIM],
    [right, bottom],
    [LEFT, bottom],
  ];
  for (const [i, corner] of corners.entries()) line(corner, corners[(i + 1) % corners.length] ?? corner);
  const text = { color: PANEL_INK, scale: TEXT } as const;
  for (const value of ticks(...frame.x, 5)) {
    const [x] = toPlace(frame, [value, 0]);
    line([x, bottom], [x, bottom + 5]);
    drawText(raster, panelNumberText(value), { ...text, x, y: bottom + 20, align: "middle" });
  }
  for (const value of ticks(...frame.y, 5)) {
    const [, y] = toPlace(frame, [0, value]);
    line([LEFT - 5, y], [LEFT, y]);
    drawText(raster, panelNumberText(value), { ...text, x: LEFT - 10, y, align: "end" });
  }
}

const panelNumberText = (value: number): string => String(Number(value.toPrecision(6)));
