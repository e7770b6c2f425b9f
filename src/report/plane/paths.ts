import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { pointsOf, squareFrame } from "../points.ts";
import { rgb } from "../raster/palette.ts";
import { blankRaster, type Color, type Raster } from "../raster/raster.ts";
import { drawText } from "../raster/text.ts";
import { thin } from "../statistics.ts";
import { PlaneCanvas } from "./canvas.ts";

/** Pixels of a picture of trajectories inside its border. */
const INSIDE = 560;
const RIM = 8;
const MOST_DATA = 3000;

/** Points on their paths, and what to draw them over. */
export interface Trajectories {
  /** States one after the other, each [count, 2]. */
  readonly states: readonly NdArray<"float32">[];
  /** [count, 2]. */
  readonly data?: NdArray<"float32">;
}

/**
 * The paths of points through the plane as lines: orange where they begin, black where they end, over data in gray. Straight
 * lines are gone in one step, curved ones take many.
 * @throws ShapeError where a state is not [count, 2], or there are fewer than two
 */
export function trajectoryRaster({ states, data }: Trajectories): Raster {
  if (states.length < 2) throw new ShapeError("trajectories: there are fewer than two states");
  const points = states.map((state) => pointsOf(state, "states"));
  const [starts = [], ends = []] = [points[0], points.at(-1)];
  const background = data === undefined ? [] : pointsOf(data, "data");
  const frame = squareFrame([...background, ...starts, ...ends]);
  const raster = blankRaster(INSIDE + 2 * RIM, INSIDE + 2 * RIM, rgb("paper"));
  const canvas = new PlaneCanvas(raster, frame, { left: RIM, top: RIM, size: INSIDE });
  for (const point of thin(background, MOST_DATA)) {
    canvas.dot(point, { radius: 1.2, color: rgb("data"), opacity: 0.4 });
  }
  for (const [i] of starts.entries()) {
    for (let k = 1; k < points.length; k++) {
      const [from, to] = [points[k - 1]?.[i], points[k]?.[i]];
      if (from === undefined || to === undefined) continue;
      canvas.line(from, to, { radius: 0.6, color: rgb("samples"), opacity: 0.45 });
    }
  }
  for (const point of starts) canvas.dot(point, { radius: 2, color: rgb("start"), opacity: 0.9 });
  for (const point of ends) canvas.dot(point, { radius: 2, color: rgb("ink"), opacity: 0.9 });
  canvas.border();
  return raster;
}

/** Pixels of a small panel inside its border. */
const PANEL = 200;
const GAP = 12;
const LABEL_HEIGHT = 26;
const COLUMNS = 4;

/** Points between the base and the data. */
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
 * Small multiples of points on their path from the base distribution to the data, four a row, each called z and the
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
  const [tileWidth, tileHeight] = [PANEL + GAP, LABEL_HEIGHT + PANEL + GAP];
  const raster = blankRaster(columns * tileWidth + GAP, rows * tileHeight, rgb("paper"));
  for (const [i, { points, step }] of states.entries()) {
    const left = GAP + (i % columns) * tileWidth;
    const top = Math.floor(i / columns) * tileHeight + LABEL_HEIGHT;
    const placed = pointsOf(points, "points of the path");
    const canvas = new PlaneCanvas(raster, squareFrame(placed), { left, top, size: PANEL });
    canvas.border(0.4);
    drawName(raster, left, top - LABEL_HEIGHT / 2, i === states.length - 1 && i > 0 ? undefined : step);
    for (const [k, point] of placed.entries()) {
      canvas.dot(point, { radius: 0.9, color: colors[k] ?? rgb("ink"), opacity: 0.75 });
    }
  }
  return raster;
}

/** z with the number of steps below the line; x at the end of the path. */
function drawName(raster: Raster, x: number, y: number, step: number | undefined): void {
  const letter = { x: x + 2, y, align: "start", color: rgb("ink"), scale: 1.3 } as const;
  drawText(raster, step === undefined ? "x" : "z", letter);
  if (step === undefined) return;
  drawText(raster, String(step), { x: x + 14, y: y + 6, align: "start", color: rgb("ink"), scale: 0.8 });
}
