import type { Point } from "./points.ts";
import { type Colour, drawStroke, type Raster } from "./raster.ts";
import { GLYPHS, UNKNOWN } from "./stroke-glyphs.ts";

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

/** Pixels from the first character's left edge to the last one's right edge. */
export function strokeTextWidth(text: string, scale = 1): number {
  return scale * ([...text].length * GLYPH_ADVANCE - (GLYPH_ADVANCE - GLYPH_WIDTH));
}

/** Lines of a character; of a letter with an accent those of the letter, of an unknown character those of a box. */
function strokesOf(character: string): readonly (readonly Point[])[] {
  if (character.trim() === "") return [];
  const plain = character.normalize("NFD").replace(/\p{M}/gu, "");
  const glyph = GLYPHS[character] ?? GLYPHS[plain] ?? UNKNOWN;
  return glyph.split(";").map((line) =>
    line.split(" ").map((corner): Point => {
      const [u = 0, v = 0] = corner.split(",").map(Number);
      return [u, v];
    }),
  );
}

/** Writes Latin letters, digits and common signs into an RGB raster. */
export function drawText(raster: Raster, text: string, { x, y, align, colour, scale = 1 }: TextPlace): void {
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
          colour,
          opacity: 1,
        });
      }
    }
  }
}
