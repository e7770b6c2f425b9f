import { ShapeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { type Frame, type Point, pointsOf, squareFrame, within } from "./points.ts";
import { blankRaster, type Colour, drawStroke, type Raster } from "./raster.ts";
import { thin } from "./statistics.ts";

const BORDER: Colour = [200, 205, 213];
const DATA: Colour = [150, 157, 170];
const PATH: Colour = [37, 99, 235];
const START: Colour = [217, 119, 6];
const END: Colour = [31, 36, 48];

const INSIDE = 560;
const RIM = 8;
const MOST_DATA = 3000;

/** Points on their way, and what to draw them over. */
export interface Trajectories {
  /** States one after the other, each [count, 2]. */
  readonly states: readonly NdArray<"float32">[];
  /** [count, 2]. */
  readonly data?: NdArray<"float32">;
}

/**
 * The ways of points through the plane as lines: orange where they begin, black where they end, over data in grey. Straight
 * lines are gone in one step, curved ones take many.
 * @throws ShapeError where a state is not [count, 2], or there are fewer than two
 */
export function trajectoryRaster({ states, data }: Trajectories): Raster {
  if (states.length < 2) throw new ShapeError("trajectories: there are fewer than two states");
  const points = states.map((state) => pointsOf(state, "states"));
  const [starts = [], ends = []] = [points[0], points.at(-1)];
  const background = data === undefined ? [] : pointsOf(data, "data");
  const frame = squareFrame([...background, ...starts, ...ends]);
  const raster = blankRaster(INSIDE + 2 * RIM, INSIDE + 2 * RIM, [255, 255, 255]);
  for (const point of thin(background, MOST_DATA)) {
    dot(raster, frame, point, { radius: 1.2, colour: DATA, opacity: 0.4 });
  }
  for (const [i] of starts.entries()) {
    for (let k = 1; k < points.length; k++) {
      const [from, to] = [points[k - 1]?.[i], points[k]?.[i]];
      if (from === undefined || to === undefined || !within(frame, from) || !within(frame, to)) continue;
      drawStroke(raster, {
        from: place(frame, from),
        to: place(frame, to),
        radius: 0.6,
        colour: PATH,
        opacity: 0.45,
      });
    }
  }
  for (const point of starts) dot(raster, frame, point, { radius: 2, colour: START, opacity: 0.9 });
  for (const point of ends) dot(raster, frame, point, { radius: 2, colour: END, opacity: 0.9 });
  const [low, high] = [RIM, RIM + INSIDE];
  const corners: readonly Point[] = [
    [low, low],
    [high, low],
    [high, high],
    [low, high],
  ];
  for (const [i, from] of corners.entries()) {
    const to = corners[(i + 1) % corners.length] ?? from;
    drawStroke(raster, { from, to, radius: 0.5, colour: BORDER, opacity: 1 });
  }
  return raster;
}

function place(frame: Frame, [x, y]: Point): Point {
  return [
    RIM + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * INSIDE,
    RIM + INSIDE - ((y - frame.y[0]) / (frame.y[1] - frame.y[0])) * INSIDE,
  ];
}

function dot(
  raster: Raster,
  frame: Frame,
  point: Point,
  look: { readonly radius: number; readonly colour: Colour; readonly opacity: number },
): void {
  if (!within(frame, point)) return;
  const at = place(frame, point);
  drawStroke(raster, { from: at, to: at, ...look });
}
