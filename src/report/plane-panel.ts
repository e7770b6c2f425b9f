import { ShapeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { type Frame, type Point, pointsOf, within } from "./points.ts";
import { blankRaster, type Colour, drawStroke, type Raster } from "./raster.ts";
import { thin, ticks } from "./statistics.ts";
import { drawText } from "./stroke-text.ts";
import { viridis } from "./viridis.ts";

const INK: Colour = [91, 100, 114];
const BORDER: Colour = [200, 205, 213];
const DATA: Colour = [120, 128, 142];
const SAMPLES: Colour = [37, 99, 235];

const INSIDE = 480;
const [LEFT, BOTTOM, RIM] = [46, 40, 10];
const TEXT = 1.25;
const MOST_POINTS = 4000;

/** What one panel of several shows in a frame that all of them share. */
export type PlanePanel =
  | {
      readonly kind: "density";
      /** Log-densities in nats at the centres of cells of the frame, `[rows, columns]`, the lowest row first. */
      readonly values: NdArray<"float32">;
      /** The density at the end of the colour scale, the same for all panels. */
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
 * One of several pictures of the plane beside each other, all of one size and with the same axes: a density in colours from 0
 * to `top`, or points, at most 4,000 of each set.
 * @throws ShapeError where arrays have another shape
 */
export function planePanel(panel: PlanePanel, frame: Frame): Raster {
  const raster = blankRaster(LEFT + INSIDE + RIM, RIM + INSIDE + BOTTOM, [255, 255, 255]);
  if (panel.kind === "density") fillDensity(raster, panel.values, panel.top);
  else {
    const sets = [
      { points: panel.data, colour: DATA, radius: 1.7, opacity: panel.samples === undefined ? 0.7 : 0.45 },
      { points: panel.samples, colour: SAMPLES, radius: 1.8, opacity: 0.65 },
    ];
    for (const { points, ...dot } of sets) {
      if (points !== undefined) drawPoints(raster, pointsOf(points, "points of a panel"), frame, dot);
    }
  }
  drawAxes(raster, frame);
  return raster;
}

/** A density, linear between the centres of its cells. */
function fillDensity(raster: Raster, { shape, data }: NdArray<"float32">, top: number): void {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError(`density panel: values have shape [${shape}]; it must be [rows, columns]`);
  }
  const density = Float64Array.from(data, (value) => (Number.isFinite(value) ? Math.exp(value) : 0));
  const at = (row: number, column: number): number =>
    density[Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column))] ?? 0;
  for (let y = 0; y < INSIDE; y++) {
    const v = ((INSIDE - 0.5 - y) / INSIDE) * rows - 0.5;
    const [row, dv] = [Math.floor(v), v - Math.floor(v)];
    for (let x = 0; x < INSIDE; x++) {
      const u = ((x + 0.5) / INSIDE) * columns - 0.5;
      const [column, du] = [Math.floor(u), u - Math.floor(u)];
      const low = at(row, column) * (1 - du) + at(row, column + 1) * du;
      const high = at(row + 1, column) * (1 - du) + at(row + 1, column + 1) * du;
      const colour = viridis((low * (1 - dv) + high * dv) / top);
      raster.data.set(colour, ((RIM + y) * raster.width + LEFT + x) * 3);
    }
  }
}

function toPlace(frame: Frame, [x, y]: Point): Point {
  return [
    LEFT + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * INSIDE,
    RIM + INSIDE - ((y - frame.y[0]) / (frame.y[1] - frame.y[0])) * INSIDE,
  ];
}

function drawPoints(
  raster: Raster,
  points: readonly Point[],
  frame: Frame,
  dot: { readonly colour: Colour; readonly radius: number; readonly opacity: number },
): void {
  for (const point of thin(points, MOST_POINTS)) {
    if (!within(frame, point)) continue;
    const place = toPlace(frame, point);
    drawStroke(raster, { from: place, to: place, ...dot });
  }
}

function drawAxes(raster: Raster, frame: Frame): void {
  const [right, bottom] = [LEFT + INSIDE, RIM + INSIDE];
  const line = (from: Point, to: Point) =>
    drawStroke(raster, { from, to, radius: 0.6, colour: BORDER, opacity: 1 });
  const corners: readonly Point[] = [
    [LEFT, RIM],
    [right, RIM],
    [right, bottom],
    [LEFT, bottom],
  ];
  for (const [i, corner] of corners.entries()) line(corner, corners[(i + 1) % corners.length] ?? corner);
  const text = { colour: INK, scale: TEXT } as const;
  for (const value of ticks(...frame.x, 5)) {
    const [x] = toPlace(frame, [value, 0]);
    line([x, bottom], [x, bottom + 5]);
    drawText(raster, numberText(value), { ...text, x, y: bottom + 20, align: "middle" });
  }
  for (const value of ticks(...frame.y, 5)) {
    const [, y] = toPlace(frame, [0, value]);
    line([LEFT - 5, y], [LEFT, y]);
    drawText(raster, numberText(value), { ...text, x: LEFT - 10, y, align: "end" });
  }
}

const numberText = (value: number): string => String(Number(value.toPrecision(6)));
