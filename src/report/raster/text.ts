import { CAPITALS, shapeText } from "../text/shape.ts";
import { fillOutline } from "./fill.ts";
import type { Color, Raster } from "./raster.ts";

/** Pixels of the font size at scale 1; capital letters are 11.4 pixels high. */
const FONT_SIZE = 16;

/** Where and how a text is drawn. */
export interface TextPlace {
  readonly x: number;
  /** The middle of the capital letters. */
  readonly y: number;
  /** Which part of the text stands at `x`. */
  readonly align: "start" | "middle" | "end";
  readonly color: Color;
  /** Size of the characters; 1 is a font of 16 pixels. */
  readonly scale?: number;
}

/** Pixels from the start of the first letter to the end of the last. */
export function textWidth(text: string, scale = 1): number {
  return scale * FONT_SIZE * shapeText(text).width;
}

/** Writes a line of text in any script into an RGB raster. What lies outside is cut off. */
export function drawText(raster: Raster, text: string, { x, y, align, color, scale = 1 }: TextPlace): void {
  const { width, commands } = shapeText(text);
  const size = scale * FONT_SIZE;
  const left = align === "middle" ? x - (width * size) / 2 : align === "end" ? x - width * size : x;
  // Letters on whole rows of pixels are sharper.
  const base = Math.round(y + (CAPITALS * size) / 2) - 0.5;
  fillOutline(raster, commands, { x: left, y: base, size }, color);
}
