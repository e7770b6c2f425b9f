import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { type Frame, type PointSets, placePoints, pointsOf } from "../points.ts";
import { viridis } from "../raster/heat.ts";
import { rgb } from "../raster/palette.ts";
import { blankRaster, type Raster } from "../raster/raster.ts";
import { thin } from "../statistics.ts";
import { numbersWidth, PlaneCanvas } from "./canvas.ts";

/** Pixels of a scatter plot inside its axes. */
const SCATTER = 660;
const MOST_SCATTERED = 5000;

/**
 * A scatter plot as pixels, 660 × 660 inside its axes, drawn without any optional package: data gray, samples blue, at most
 * 5,000 of each, a grid with its numbers at the edge.
 * @throws ShapeError where the arrays are not `[count, 2]`.
 */
export function scatterRaster(sets: PointSets): Raster {
  const { data, samples, frame } = placePoints(sets);
  const [left, bottom, rim] = [22 + numbersWidth(frame, 6), 44, 16];
  const raster = blankRaster(left + SCATTER + rim, rim + SCATTER + bottom, rgb("paper"));
  const canvas = new PlaneCanvas(raster, frame, { left, top: rim, size: SCATTER });
  canvas.axes(6, "across");
  for (const point of thin(data, MOST_SCATTERED)) {
    canvas.dot(point, { radius: 1.8, color: rgb("data"), opacity: 0.45 });
  }
  for (const point of thin(samples, MOST_SCATTERED)) {
    canvas.dot(point, { radius: 2.2, color: rgb("samples"), opacity: 0.6 });
  }
  return raster;
}

/** Pixels of a panel inside its axes. */
const PANEL = 480;
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
      /** `[count, 2]`, gray, below the samples. */
      readonly data?: NdArray<"float32">;
    };

/**
 * One of several pictures of the plane beside each other, all of one size and with the same axes: a density in colors from 0
 * to `top`, or points, at most 4,000 of each set.
 * @throws ShapeError where arrays have another shape
 */
export function planePanel(panel: PlanePanel, frame: Frame): Raster {
  const raster = blankRaster(LEFT + PANEL + RIM, RIM + PANEL + BOTTOM, rgb("paper"));
  const canvas = new PlaneCanvas(raster, frame, { left: LEFT, top: RIM, size: PANEL });
  if (panel.kind === "density") fillDensity(raster, panel.values, panel.top);
  else {
    const { data, samples } = panel;
    const sets = [
      { points: data, color: rgb("data"), radius: 1.7, opacity: samples === undefined ? 0.9 : 0.55 },
      { points: samples, color: rgb("samples"), radius: 1.8, opacity: 0.65 },
    ];
    for (const { points, ...look } of sets) {
      if (points === undefined) continue;
      for (const point of thin(pointsOf(points, "points of a panel"), MOST_POINTS)) canvas.dot(point, look);
    }
  }
  canvas.border(0.6);
  canvas.axes(5, "marks", TEXT);
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
  for (let y = 0; y < PANEL; y++) {
    const v = ((PANEL - 0.5 - y) / PANEL) * rows - 0.5;
    const [row, dv] = [Math.floor(v), v - Math.floor(v)];
    for (let x = 0; x < PANEL; x++) {
      const u = ((x + 0.5) / PANEL) * columns - 0.5;
      const [column, du] = [Math.floor(u), u - Math.floor(u)];
      const low = at(row, column) * (1 - du) + at(row, column + 1) * du;
      const high = at(row + 1, column) * (1 - du) + at(row + 1, column + 1) * du;
      const color = viridis((low * (1 - dv) + high * dv) / top);
      raster.data.set(color, ((RIM + y) * raster.width + LEFT + x) * 3);
    }
  }
}
