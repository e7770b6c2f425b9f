import type { Point } from "../points.ts";
import { type Color, drawStroke, type Raster } from "./raster.ts";

/**
 * Corners of characters, x,y in a box 10 wide and 20 high, y downwards; a semicolon lifts the pen. Tails go down to 26.
 */
export const GLYPHS: Readonly<Record<string, string>> = {
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
  A: "0,20 5,0 10,20;2,13 8,13",
  B: "0,9.5 7,9.5 9,7 9,2 7,0 0,0 0,20 8,20 10,17 10,12 7,9.5",
  C: "10,4 7.5,0 2.5,0 0,4 0,16 2.5,20 7.5,20 10,16",
  D: "0,0 6,0 10,4 10,16 6,20 0,20 0,0",
  E: "10,0 0,0 0,20 10,20;0,9.5 8,9.5",
  F: "10,0 0,0 0,20;0,9.5 8,9.5",
  G: "10,4 7.5,0 2.5,0 0,4 0,16 2.5,20 7.5,20 10,16 10,11 6,11",
  H: "0,0 0,20;10,0 10,20;0,9.5 10,9.5",
  I: "2,0 8,0;5,0 5,20;2,20 8,20",
  J: "9,0 9,16 7,20 3,20 0,16",
  K: "0,0 0,20;10,0 0,12;3.5,8.5 10,20",
  L: "0,0 0,20 10,20",
  M: "0,20 0,0 5,10 10,0 10,20",
  N: "0,20 0,0 10,20 10,0",
  O: "2.5,0 7.5,0 10,4 10,16 7.5,20 2.5,20 0,16 0,4 2.5,0",
  P: "0,20 0,0 7.5,0 10,3 10,8 7.5,11 0,11",
  Q: "2.5,0 7.5,0 10,4 10,16 7.5,20 2.5,20 0,16 0,4 2.5,0;6,15 10.5,21.5",
  R: "0,20 0,0 7.5,0 10,3 10,8 7.5,11 0,11;5,11 10,20",
  S: "10,3 7.5,0 2.5,0 0,3 0,7 2.5,9.5 7.5,10.5 10,13 10,17 7.5,20 2.5,20 0,17",
  T: "0,0 10,0;5,0 5,20",
  U: "0,0 0,16 2.5,20 7.5,20 10,16 10,0",
  V: "0,0 5,20 10,0",
  W: "0,0 2,20 5,9 8,20 10,0",
  X: "0,0 10,20;10,0 0,20",
  Y: "0,0 5,10 10,0;5,10 5,20",
  Z: "0,0 10,0 0,20 10,20",
  a: "1,9.5 3,8 7,8 9,10 9,20;9,13 3,13 .5,15 .5,18 3,20 6,20 9,17.5",
  b: "0,0 0,20;0,11 3,8 7,8 10,11 10,17 7,20 3,20 0,17",
  c: "9.5,10 7,8 3,8 0,11 0,17 3,20 7,20 9.5,18",
  d: "10,0 10,20;10,11 7,8 3,8 0,11 0,17 3,20 7,20 10,17",
  e: "0,13 10,13 10,10.5 7.5,8 2.5,8 0,10.5 0,17 2.5,20 9,20",
  f: "9,.5 6.5,0 4.5,1.5 4,4 4,20;.5,8 8.5,8",
  g: "10,8 10,23 7,26 3,26 .5,24.5;10,11 7,8 3,8 0,11 0,17 3,20 7,20 10,17",
  h: "0,0 0,20;0,11 3,8 7,8 9.5,11 9.5,20",
  i: "2.5,8 5,8 5,20;5,2.5 5,3",
  j: "3.5,8 6,8 6,23 4,26 1,26;6,2.5 6,3",
  k: "0,0 0,20;8.5,8 0,15;3.5,12.5 9,20",
  l: "2.5,0 5,0 5,18 7,20 8.5,20",
  m: "0,8 0,20;0,10 2,8 4,8 5,10 5,20;5,10 7,8 9,8 10,10 10,20",
  n: "0,8 0,20;0,11 3,8 7,8 9.5,11 9.5,20",
  o: "3,8 7,8 10,11 10,17 7,20 3,20 0,17 0,11 3,8",
  p: "0,8 0,26;0,11 3,8 7,8 10,11 10,17 7,20 3,20 0,17",
  q: "10,8 10,26;10,11 7,8 3,8 0,11 0,17 3,20 7,20 10,17",
  r: "1,8 1,20;1,12 4,8.5 7,8 9,9",
  s: "9.5,10 7.5,8 2.5,8 .5,10 1,13 8.5,15 9.5,17.5 7.5,20 2.5,20 .5,18",
  t: "4,2 4,17 6,20 9,19.5;.5,8 8.5,8",
  u: ".5,8 .5,17 3,20 7,20 10,17;10,8 10,20",
  v: "0,8 5,20 10,8",
  w: "0,8 2.5,20 5,11 7.5,20 10,8",
  x: "1,8 9,20 5,14 9,8 1,20",
  y: "0,8 5,19;10,8 5,19 2.5,26",
  z: "1,8 9,8 1,20 9,20",
  "-": "0.5,10.5 9.5,10.5",
  "+": "0.5,10.5 9.5,10.5 5,10.5 5,6 5,15",
  ".": "4,19.5 6,19.5",
  ",": "5.5,18.5 4,23",
  ":": "5,9.5 5,10;5,19 5,19.5",
  "'": "5,0 5,5",
  "?": "0,4 2.5,0 7.5,0 10,3.5 9,8 5,11 5,14;5,19 5,19.5",
  "/": "10,0 0,20",
  _: "0,22 10,22",
  "=": ".5,8 9.5,8;.5,13 9.5,13",
  "(": "7.5,-1 4.5,4 4.5,16 7.5,21",
  ")": "2.5,-1 5.5,4 5.5,16 2.5,21",
  "&": "10,20 1.5,5.5 1.5,2.5 3.5,0 5.5,0 7,2 6.5,5 1,11 0,14 0,17 2.5,20 5.5,20 9.5,13",
  "#": "4,0 2,20;8,0 6,20;1,7 10,7;0,13.5 9,13.5",
  "%": "10,0 0,20;.5,1 3.5,1 3.5,6 .5,6 .5,1;6.5,14 9.5,14 9.5,19 6.5,19 6.5,14",
};

/** What stands for a character that is not among them. */
export const UNKNOWN = "1,4 9,4 9,20 1,20 1,4";

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
  readonly color: Color;
  /** Size of the characters; 1 is 12 pixels high. */
  readonly scale?: number;
}

/** Pixels from the first character's left edge to the last one's right edge. */
export function strokeTextWidth(text: string, scale = 1): number {
  return scale * ([...text].length * GLYPH_ADVANCE - (GLYPH_ADVANCE - GLYPH_WIDTH));
}

/** Lines of a character; of a letter with an accent those of the letter, of an unknown character those of a box. */
function strokesOf(character: string): readonly (readonly Point[])[] {
  if (character.trim() === "") return [];
  // A minus sign is drawn as a hyphen.
  const plain = character.replace("−", "-").normalize("NFD").replace(/\p{M}/gu, "");
  const glyph = GLYPHS[character] ?? GLYPHS[plain] ?? UNKNOWN;
  return glyph.split(";").map((line) =>
    line.split(" ").map((corner): Point => {
      const [u = 0, v = 0] = corner.split(",").map(Number);
      return [u, v];
    }),
  );
}

/** Writes Latin letters, digits and common signs into an RGB raster. */
export function drawText(raster: Raster, text: string, { x, y, align, color, scale = 1 }: TextPlace): void {
  const width = strokeTextWidth(text, scale);
  const left = align === "middle" ? x - width / 2 : align === "end" ? x - width : x;
  for (const [position, character] of [...text].entries()) {
    const place = ([u, v]: Point): Point => [
      left + scale * (position * GLYPH_ADVANCE + (u / 10) * GLYPH_WIDTH),
      y + scale * (v / 10 - 1) * GLYPH_WIDTH,
    ];
    for (const line of strokesOf(character)) {
      for (const [i, corner] of line.slice(1).entries()) {
        drawStroke(raster, {
          from: place(line[i] ?? corner),
          to: place(corner),
          radius: 0.75 * scale,
          color,
          opacity: 1,
        });
      }
    }
  }
}
