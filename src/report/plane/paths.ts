import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { type Frame, type Point, pointsOf, squareFrame, within } from "../points.ts";
import { blankRaster, type Color, drawStroke, type Raster } from "../raster/raster.ts";
import { drawText } from "../raster/text.ts";
import { thin } from "../statistics.ts";

const BORDER: Color = [200, 205, 213];
const DATA: Color = [150, 157, 170];
const PATH: Color = [37, 99, 235];
const START: Color = [217, 119, 6];
const END: Color = [31, 36, 48];

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
    dot(raster, frame, point, { radius: 1.2, color: DATA, opacity: 0.4 });
  }
  for (const [i] of starts.entries()) {
    for (let k = 1; k < points.length; k++) {
      const [from, to] = [points[k - 1]?.[i], points[k]?.[i]];
      if (from === undefined || to === undefined || !within(frame, from) || !within(frame, to)) continue;
      drawStroke(raster, {
        from: place(frame, from),
        to: place(frame, to),
        radius: 0.6,
        color: PATH,
        opacity: 0.45,
      });
    }
  }
  for (const point of starts) dot(raster, frame, point, { radius: 2, color: START, opacity: 0.9 });
  for (const point of ends) dot(raster, frame, point, { radius: 2, color: END, opacity: 0.9 });
  const [low, high] = [RIM, RIM + INSIDE];
  const corners: readonly Point[] = [
    [low, low],
    [high, low],
    [high, high],
    [low, high],
  ];
  for (const [i, from] of corners.entries()) {
    const to = corners[(i + 1) % corners.length] ?? from;
    drawStroke(raster, { from, to, radius: 0.5, color: BORDER, opacity: 1 });
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
  look: { readonly radius: number; readonly color: Color; readonly opacity: number },
): void {
  if (!within(frame, point)) return;
  const at = place(frame, point);
  drawStroke(raster, { from: at, to: at, ...look });
}

const INK: Color = [31, 36, 48];
const PANEL_BORDER: Color = [214, 218, 224];
const PANEL_INSIDE = 200;
const GAP = 12;
const LABEL_HEIGHT = 26;
const COLUMNS = 4;

/** Points on their way from the base to the data. */
export interface PathState {
  /** [count, 2]. */
  readonly points: NdArray<"float32">;
  /** How many steps they have gone. */
  readonly step: number;
}

/** A color of the wheel, bright enough for white paper. */
function hue(turn: number): Color {
  const channel = (offset: number): number => {
    const position = (((turn + offset) % 1) + 1) % 1;
    const ramp = Math.min(1, Math.max(0, Math.abs(position * 6 - 3) - 1));
    return Math.round(30 + 195 * ramp);
  };
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}

/**
 * Small multiples of points on their way from the base distribution to the data, four a row, each called z and the
 * number of steps behind it, the last x. A point keeps the color of the direction in which it lay at first, so that one
 * sees how the plane is folded. Every panel has a square frame of its own around its points.
 * @throws ShapeError where a state is not `[count, 2]`, or there is none
 */
export function pathPanels(states: readonly PathState[]): Raster {
  const [first] = states;
  if (first === undefined) throw new ShapeError("path panels: there are no states");
  const start = pointsOf(first.points, "points of the path");
  const center = [0, 1].map((axis) => {
    const values = start.map((point) => point[axis as 0 | 1]).filter(Number.isFinite);
    return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  });
  const colors = start.map(([x, y]) =>
    hue(Math.atan2(y - (center[1] ?? 0), x - (center[0] ?? 0)) / (2 * Math.PI)),
  );
  const columns = Math.min(COLUMNS, states.length);
  const rows = Math.ceil(states.length / columns);
  const [tileWidth, tileHeight] = [PANEL_INSIDE + GAP, LABEL_HEIGHT + PANEL_INSIDE + GAP];
  const raster = blankRaster(columns * tileWidth + GAP, rows * tileHeight, [255, 255, 255]);
  for (const [i, { points, step }] of states.entries()) {
    const left = GAP + (i % columns) * tileWidth;
    const top = Math.floor(i / columns) * tileHeight + LABEL_HEIGHT;
    drawFrame(raster, left, top);
    drawName(raster, left, top - LABEL_HEIGHT / 2, i === states.length - 1 && i > 0 ? undefined : step);
    const placed = pointsOf(points, "points of the path");
    const frame = squareFrame(placed);
    for (const [k, point] of placed.entries()) {
      if (!within(frame, point)) continue;
      const at = [
        left + ((point[0] - frame.x[0]) / (frame.x[1] - frame.x[0])) * PANEL_INSIDE,
        top + PANEL_INSIDE - ((point[1] - frame.y[0]) / (frame.y[1] - frame.y[0])) * PANEL_INSIDE,
      ] as const;
      drawStroke(raster, { from: at, to: at, radius: 0.9, color: colors[k] ?? INK, opacity: 0.75 });
    }
  }
  return raster;
}

function drawFrame(raster: Raster, left: number, top: number): void {
  const [right, bottom] = [left + PANEL_INSIDE, top + PANEL_INSIDE];
  const line = (from: readonly [number, number], to: readonly [number, number]) =>
    drawStroke(raster, { from, to, radius: 0.4, color: PANEL_BORDER, opacity: 1 });
  line([left, top], [right, top]);
  line([right, top], [right, bottom]);
  line([right, bottom], [left, bottom]);
  line([left, bottom], [left, top]);
}

/** z with the number of steps below the line; x at the end of the path. */
function drawName(raster: Raster, x: number, y: number, step: number | undefined): void {
  const letter = { x: x + 2, y, align: "start", color: INK, scale: 1.3 } as const;
  drawText(raster, step === undefined ? "x" : "z", letter);
  if (step === undefined) return;
  drawText(raster, String(step), { x: x + 14, y: y + 6, align: "start", color: INK, scale: 0.8 });
}
