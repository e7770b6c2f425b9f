import type { OutlineCommand } from "../text/shape.ts";
import { blend, type Color, type Raster } from "./raster.ts";

/** Pieces of a curve, at the sizes of letters. */
const PIECES = 8;

/** Where an outline stands: its origin in pixels, and pixels per unit. Its y points upwards, that of the raster downwards. */
export interface OutlinePlace {
  readonly x: number;
  readonly y: number;
  readonly size: number;
}

type Edge = readonly [x1: number, y1: number, x2: number, y2: number];

/** The straight edges of outlines in pixels; every contour is closed. */
function edgesOf(commands: readonly OutlineCommand[], { x, y, size }: OutlinePlace): readonly Edge[] {
  const edges: Edge[] = [];
  let [startX, startY, atX, atY] = [0, 0, 0, 0];
  const to = (nextX: number, nextY: number): void => {
    edges.push([atX, atY, nextX, nextY]);
    [atX, atY] = [nextX, nextY];
  };
  const px = (value: number): number => x + value * size;
  const py = (value: number): number => y - value * size;
  for (const command of commands) {
    switch (command.kind) {
      case "move":
        to(startX, startY);
        [startX, startY] = [px(command.x), py(command.y)];
        [atX, atY] = [startX, startY];
        break;
      case "line":
        to(px(command.x), py(command.y));
        break;
      case "quadratic": {
        const [fromX, fromY] = [atX, atY];
        const [cx, cy, ex, ey] = command.points;
        for (let i = 1; i <= PIECES; i++) {
          const t = i / PIECES;
          const [p, q, r] = [(1 - t) ** 2, 2 * t * (1 - t), t * t];
          to(p * fromX + q * px(cx) + r * px(ex), p * fromY + q * py(cy) + r * py(ey));
        }
        break;
      }
      case "cubic": {
        const [fromX, fromY] = [atX, atY];
        const [ax, ay, bx, by, ex, ey] = command.points;
        for (let i = 1; i <= PIECES; i++) {
          const t = i / PIECES;
          const [p, q, r, s] = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3];
          to(
            p * fromX + q * px(ax) + r * px(bx) + s * px(ex),
            p * fromY + q * py(ay) + r * py(by) + s * py(ey),
          );
        }
        break;
      }
      case "close":
        to(startX, startY);
        break;
    }
  }
  to(startX, startY);
  return edges;
}

/**
 * Fills outlines in an RGB raster, in place; what lies outside is cut off. A pixel is covered by the exact area of the polygon within it
 * (its winding taken as 0 or 1), so that edges are smooth. Pixel centers lie at whole numbers.
 */
export function fillOutline(
  raster: Raster,
  commands: readonly OutlineCommand[],
  place: OutlinePlace,
  color: Color,
): void {
  // Corners of pixels lie at whole numbers here.
  const edges = edgesOf(commands, { ...place, x: place.x + 0.5, y: place.y + 0.5 });
  const drawn = edges.filter(([, y1, , y2]) => y1 !== y2);
  if (drawn.length === 0) return;
  const reach = (pick: (edge: Edge) => number, most: (...values: number[]) => number): number =>
    drawn.reduce((at, edge) => most(at, pick(edge)), pick(drawn[0] as Edge));
  const top = Math.max(0, Math.floor(reach(([, a, , b]) => Math.min(a, b), Math.min)));
  const bottom = Math.min(raster.height, Math.ceil(reach(([, a, , b]) => Math.max(a, b), Math.max)));
  const left = Math.max(0, Math.floor(reach(([a, , b]) => Math.min(a, b), Math.min)));
  const right = Math.min(raster.width, Math.ceil(reach(([a, , b]) => Math.max(a, b), Math.max)));
  if (top >= bottom || left >= right) return;
  const [width, height] = [right - left, bottom - top];
  // The signed area to the right of an edge, as changes from pixel to pixel of a row.
  const changes = new Float32Array((width + 2) * height);
  for (const [x1, y1, x2, y2] of drawn) {
    addEdge(changes, { width, height }, [x1 - left, y1 - top, x2 - left, y2 - top]);
  }
  for (let row = 0; row < height; row++) {
    let sum = 0;
    for (let column = 0; column < width; column++) {
      sum += changes[row * (width + 2) + column] ?? 0;
      const alpha = Math.min(1, Math.abs(sum));
      if (alpha > 1 / 512) blend(raster.data, ((top + row) * raster.width + left + column) * 3, color, alpha);
    }
  }
}

/** Adds what an edge changes of the covered areas, row by row. What lies left of the first pixel counts as there. */
function addEdge(
  changes: Float32Array,
  { width, height }: { readonly width: number; readonly height: number },
  [x1, y1, x2, y2]: Edge,
): void {
  const sign = y1 < y2 ? 1 : -1;
  const [topX, topY, endX, endY] = sign === 1 ? [x1, y1, x2, y2] : [x2, y2, x1, y1];
  const slope = (endX - topX) / (endY - topY);
  for (let row = Math.max(0, Math.floor(topY)); row < Math.min(height, Math.ceil(endY)); row++) {
    const [from, to] = [Math.max(row, topY), Math.min(row + 1, endY)];
    if (from >= to) continue;
    const [a, b] = [topX + slope * (from - topY), topX + slope * (to - topY)];
    addPiece(changes, row * (width + 2), width, Math.min(a, b), Math.max(a, b), sign * (to - from));
  }
}

/** Adds a piece of an edge within a row, from x `low` to `high`, of signed height `rise`. */
function addPiece(
  changes: Float32Array,
  row: number,
  width: number,
  low: number,
  high: number,
  rise: number,
): void {
  const add = (column: number, value: number): void => {
    const at = row + Math.min(column, width + 1);
    changes[at] = (changes[at] ?? 0) + value;
  };
  const inside = (x: number): number => Math.min(width, Math.max(0, x));
  const [from, to] = [inside(low), inside(high)];
  const [first, last] = [Math.floor(from), Math.max(Math.floor(from), Math.ceil(to) - 1)];
  if (high - low < 1e-9) {
    // Upright: the area of its pixel to the right of it.
    const covered = first + 1 - from;
    add(first, rise * covered);
    add(first + 1, rise * (1 - covered));
    return;
  }
  let before = 0;
  for (let column = first; column <= last + 1; column++) {
    // The mean over the piece of how much of the row up to the right side of this column lies right of it.
    const covered = meanCovered(column + 1, low, high);
    add(column, rise * (covered - before));
    before = covered;
  }
}

/** For x even between low and high: the mean of the part of the unit pixel that ends at `end` which lies right of x, 0 … 1. */
function meanCovered(end: number, low: number, high: number): number {
  const integral = (x: number): number => {
    // ∫ clamp(end − u, 0, 1) du up to x.
    if (x <= end - 1) return x - (end - 1);
    if (x >= end) return 0.5;
    return 0.5 - (end - x) ** 2 / 2;
  };
  return (integral(high) - integral(low)) / (high - low);
}
