import { ShapeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { pointsOf, squareFrame, within } from "./points.ts";
import { blankRaster, type Colour, drawStroke, type Raster } from "./raster.ts";
import { drawText } from "./stroke-text.ts";

const INK: Colour = [31, 36, 48];
const BORDER: Colour = [214, 218, 224];
const INSIDE = 200;
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

/** A colour of the wheel, bright enough for white paper. */
function hue(turn: number): Colour {
  const channel = (offset: number): number => {
    const position = (((turn + offset) % 1) + 1) % 1;
    const ramp = Math.min(1, Math.max(0, Math.abs(position * 6 - 3) - 1));
    return Math.round(30 + 195 * ramp);
  };
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}

/**
 * Small multiples of points on their way from the base distribution to the data, four a row, each called z and the
 * number of steps behind it, the last x. A point keeps the colour of the direction in which it lay at first, so that one
 * sees how the plane is folded. Every panel has a square frame of its own around its points.
 * @throws ShapeError where a state is not `[count, 2]`, or there is none
 */
export function pathPanels(states: readonly PathState[]): Raster {
  const [first] = states;
  if (first === undefined) throw new ShapeError("path panels: there are no states");
  const start = pointsOf(first.points, "points of the path");
  const centre = [0, 1].map((axis) => {
    const values = start.map((point) => point[axis as 0 | 1]).filter(Number.isFinite);
    return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  });
  const colours = start.map(([x, y]) =>
    hue(Math.atan2(y - (centre[1] ?? 0), x - (centre[0] ?? 0)) / (2 * Math.PI)),
  );
  const columns = Math.min(COLUMNS, states.length);
  const rows = Math.ceil(states.length / columns);
  const [tileWidth, tileHeight] = [INSIDE + GAP, LABEL_HEIGHT + INSIDE + GAP];
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
        left + ((point[0] - frame.x[0]) / (frame.x[1] - frame.x[0])) * INSIDE,
        top + INSIDE - ((point[1] - frame.y[0]) / (frame.y[1] - frame.y[0])) * INSIDE,
      ] as const;
      drawStroke(raster, { from: at, to: at, radius: 0.9, colour: colours[k] ?? INK, opacity: 0.75 });
    }
  }
  return raster;
}

function drawFrame(raster: Raster, left: number, top: number): void {
  const [right, bottom] = [left + INSIDE, top + INSIDE];
  const line = (from: readonly [number, number], to: readonly [number, number]) =>
    drawStroke(raster, { from, to, radius: 0.4, colour: BORDER, opacity: 1 });
  line([left, top], [right, top]);
  line([right, top], [right, bottom]);
  line([right, bottom], [left, bottom]);
  line([left, bottom], [left, top]);
}

/** z with the number of steps below the line; x at the end of the path. */
function drawName(raster: Raster, x: number, y: number, step: number | undefined): void {
  const letter = { x: x + 2, y, align: "start", colour: INK, scale: 1.3 } as const;
  drawText(raster, step === undefined ? "x" : "z", letter);
  if (step === undefined) return;
  drawText(raster, String(step), { x: x + 14, y: y + 6, align: "start", colour: INK, scale: 0.8 });
}
