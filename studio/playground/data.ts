import type { PlaneName, Stroke } from "eidos/data";

/** Distributions that the playground offers; those of eidos (a test compares). */
export const PLANES = [
  "two-moons",
  "eight-gaussians",
  "checkerboard",
  "spiral",
  "rings",
  "pinwheel",
] as const satisfies readonly PlaneName[];

/** What the models learn. */
export type DataSpec =
  | { readonly kind: "plane"; readonly name: PlaneName }
  | { readonly kind: "drawing"; readonly strokes: readonly Stroke[] };

export function isPlane(name: string): name is PlaneName {
  return (PLANES as readonly string[]).includes(name);
}

/** Half the side of the square that is shown: nearly all of every distribution is in [−4, 4]². */
export const EXTENT = 4.4;

/** The same data have the same text. */
export function dataKey(data: DataSpec): string {
  return data.kind === "plane" ? data.name : JSON.stringify(data.strokes);
}
