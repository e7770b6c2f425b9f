import type { Color } from "./raster.ts";

/** Colors that mean the same in every picture and plot. */
export const COLORS = {
  data: "#8b93a1",
  samples: "#2563eb",
  training: "#2563eb",
  validation: "#d9480f",
  /** Where paths begin. */
  start: "#d97706",
  ink: "#1f2430",
  muted: "#5b6472",
  /** The border of a frame. */
  border: "#b9bfc9",
  /** Lines of a grid. */
  line: "#e6e8ec",
  /** Cells that hold nothing. */
  empty: "#f0f2f5",
  paper: "#ffffff",
} as const;

/** A color of the palette for rasters. */
export function rgb(name: keyof typeof COLORS): Color {
  const value = Number.parseInt(COLORS[name].slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
