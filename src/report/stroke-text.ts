import type { Point } from "./points.ts";
import { type Colour, drawStroke, type Raster } from "./raster.ts";

/** Corners of characters, x,y in a box 10 wide and 20 high, y downwards. */
const GLYPHS: Readonly<Record<string, string>> = {
  "0": "2,0 8,0 10,3 10,17 8,20 2,20 0,17 0,3 2,0",
  "1": "1,4.5 6,0 6,20",
  "2": "0,4 3,0 7.5,0 10,3.5 10,7 0,20 10,20",
  "3": "0,1.5 3,0 7.5,0 10,3 9,7.5 5,9.5 10,12.5 10,16.5 7.5,20 2.5,20 0,18",
  "4": "7.5,20 7.5,0 0,14 10,14",
  "5": "9.5,0 1,0 .5,9 6.5,8 10,11.5 10,16.5 7,20 2.5,20 0,18",
  "6": "9,1 4,1 0,8 0,17 2.5,20 7.5,20 10,16.5 10,12 7.5,9 2.5,9 0,12",
  "7": "0,0 10,0 3.5,20",
  "8": "5,9.3 1,6.5 1,2.5 3.5,0 6.5,0 9,2.5 9,6.5 5,9.3 0,13 0,17 2.5,20 7.5,20 10,17 10,13 5,9.3",
  "9": "1,19 6,19 10,12 10,3 7.5,0 2.5,0 0,3.5 0,8 2.5,11 7.5,11 10,8",
  "-": "0.5,10.5 9.5,10.5",
  "+": "0.5,10.5 9.5,10.5 5,10.5 5,6 5,15",
  e: "0,13 10,13 10,10.5 7.5,8 2.5,8 0,10.5 0,17 2.5,20 9,20",
  ".": "4,19.5 6,19.5",
  x: "1,8 9,20 5,14 9,8 1,20",
  z: "1,8 9,8 1,20 9,20",
};

const GLYPH_WIDTH = 6;

/** Pixels from one character to the next, at scale 1. */
export const GLYPH_ADVANCE = 10;

/** Where and how a text is drawn. */
export interface TextPlace {
  readonly x: number;
  /** The middle of the characters. */
  readonly y: number;
  /** Which part of the text stands at `x`. */
  readonly align: "start" | "middle" | "end";
  readonly colour: Colour;
  /** Size of the characters; 1 is 12 pixels high. */
  readonly scale?: number;
}

/** Writes numbers, and the letters e, x and z, into an RGB raster; other characters leave a gap. */
export function drawText(raster: Raster, text: string, { x, y, align, colour, scale = 1 }: TextPlace): void {
  const width = scale * (text.length * GLYPH_ADVANCE - (GLYPH_ADVANCE - GLYPH_WIDTH));
  const left = align === "middle" ? x - width / 2 : align === "end" ? x - width : x;
  for (const [position, character] of [...text].entries()) {
    const corners = (GLYPHS[character] ?? "").split(" ").map((corner) => corner.split(",").map(Number));
    const place = ([u = 0, v = 0]: readonly number[]): Point => [
      left + scale * (position * GLYPH_ADVANCE + (u / 10) * GLYPH_WIDTH),
      y + scale * (v / 10 - 1) * GLYPH_WIDTH,
    ];
    for (const [i, corner] of corners.slice(1).entries()) {
      drawStroke(raster, {
        from: place(corners[i] ?? corner),
        to: place(corner),
        radius: 0.75 * scale,
        colour,
        opacity: 1,
      });
    }
  }
}
