import { signal } from "@preact/signals";
import type { Stroke } from "eidos/data";
import { EXTENT } from "./data.ts";
import { heldCoordinate, heldWidth, MOST_CORNERS } from "./state.ts";

// What is drawn, corner by corner.

/** The drawing that was last seen, so that one comes back to it from another distribution. */
export const lastDrawing = signal<readonly Stroke[]>([]);

/** Corners of a line are at least so far apart: a pointer gives hundreds. */
const CLOSEST = 0.12;

/** Corners of strokes together. */
export function cornersOf(strokes: readonly Stroke[]): number {
  return strokes.reduce((sum, { points }) => sum + points.length / 2, 0);
}

/** Whether another corner has room in a link. */
export function hasRoom(strokes: readonly Stroke[]): boolean {
  return cornersOf(strokes) < MOST_CORNERS;
}

const inside = (value: number): number => Math.max(-EXTENT, Math.min(EXTENT, value));

/** A stroke that begins at a point; its numbers are those that a link can hold. */
export function beginStroke(x: number, y: number, width: number): Stroke {
  return { points: [heldCoordinate(inside(x)), heldCoordinate(inside(y))], deviation: heldWidth(width) };
}

/** The stroke led on to a point; itself where that is no distance. */
export function extendStroke(stroke: Stroke, x: number, y: number): Stroke {
  const { points } = stroke;
  const [heldX, heldY] = [heldCoordinate(inside(x)), heldCoordinate(inside(y))];
  const [lastX = 0, lastY = 0] = points.slice(-2);
  if (Math.hypot(heldX - lastX, heldY - lastY) < CLOSEST) return stroke;
  return { ...stroke, points: [...points, heldX, heldY] };
}
