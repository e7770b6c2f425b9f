import { createRequire } from "node:module";
import type { Font, Glyph, GlyphRun } from "fontkit";
import { printable } from "../../printable.ts";
import { type FontFolder, fontPackages, installedFonts } from "./fonts.ts";
import { type MissingCharacters, noteMissing } from "./missing.ts";

// A line of text as outlines of letters: characters find their fonts, runs of one font and direction are shaped by it (ligatures, joined
// letters, marks), and runs of writing from right to left stand in their visual order (Unicode Standard Annex 9).

/** A piece of an outline; y points upwards. */
export type OutlineCommand =
  | { readonly kind: "move" | "line"; readonly x: number; readonly y: number }
  | { readonly kind: "quadratic"; readonly points: readonly [number, number, number, number] }
  | { readonly kind: "cubic"; readonly points: readonly [number, number, number, number, number, number] }
  | { readonly kind: "close" };

/** A shaped line of text, in units of the font size. */
export interface ShapedText {
  /** From the start of the first letter to the end of the last. */
  readonly width: number;
  /** Outlines from the start of the line; y = 0 is the base line, y points upwards. */
  readonly commands: readonly OutlineCommand[];
  /** Characters of which the code points stand there. */
  readonly missing: readonly MissingCharacters[];
}

/** Characters of a line that are drawn: names come from strangers' files. */
const LONGEST = 1000;

/** Shaped lines that are kept, since labels come again in every picture. */
const KEPT = 500;

/** Height of capital letters in units of the font size. */
export const CAPITALS = 0.714;

interface Run {
  readonly text: string;
  readonly font: Font;
  /** An odd one is written from right to left. */
  readonly level: number;
}

interface Bidi {
  getEmbeddingLevels(text: string): { readonly levels: Uint8Array };
  getMirroredCharacter(character: string): string | null;
}

const require = createRequire(import.meta.url);
let bidi: Bidi | undefined;

/** Letters that are written from right to left, and signs that set a direction. */
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\u200f\u202b\u202e\u2067\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

const IGNORABLE = /^[\p{Default_Ignorable_Code_Point}]$/u;
const MARK = /^\p{M}$/u;

/** The level of each UTF-16 unit of a text; all are 0 where nothing is written from right to left. */
function levelsOf(text: string): Uint8Array {
  if (!RIGHT_TO_LEFT.test(text)) return new Uint8Array(text.length);
  bidi ??= (require("bidi-js") as () => Bidi)();
  return bidi.getEmbeddingLevels(text).levels;
}

/** Characters with the font and level of each; those without a font are replaced by their code points. */
function runsOf(
  text: string,
  fonts: FontFolder,
  bold: boolean,
): { readonly runs: readonly Run[]; readonly missing: readonly MissingCharacters[] } {
  const missing: MissingCharacters[] = [];
  const runs: { text: string; font: Font; level: number }[] = [];
  const levels = levelsOf(text);
  let at = 0;
  // The end of the last character without a font.
  let lacking = -1;
  for (const character of text) {
    const level = levels[at] ?? 0;
    at += character.length;
    const last = runs.at(-1);
    const add = (piece: string, font: Font): void => {
      if (last !== undefined && last.font === font && last.level === level) last.text += piece;
      else runs.push({ text: piece, font, level });
    };
    const mirrored = level % 2 === 1 ? (bidi?.getMirroredCharacter(character) ?? character) : character;
    const codePoint = character.codePointAt(0) ?? 0;
    const joins = IGNORABLE.test(character) || MARK.test(character) || character === " ";
    // A mark or a joiner belongs to the letter before it.
    if (joins && last?.font.hasGlyphForCodePoint(codePoint) === true) {
      add(mirrored, last.font);
      continue;
    }
    const font = fonts.find(character, bold);
    // What is but a form of other letters, as the 1 of z₁, is written with those.
    const plain = font === undefined ? character.normalize("NFKC") : character;
    const other = plain === character ? undefined : fonts.find(plain, bold);
    if (font !== undefined) add(mirrored, font);
    else if (
      other !== undefined &&
      [...plain].every((one) => other.hasGlyphForCodePoint(one.codePointAt(0) ?? 0))
    ) {
      add(plain, other);
    } else if (!IGNORABLE.test(character)) {
      const shown = `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}`;
      missing.push({ example: character, codePoint: shown, package: fontPackages(character)[0] ?? "" });
      const base = fonts.find("U", bold);
      // A code point is read from left to right, whatever stands around it.
      if (base !== undefined) {
        const apart = lacking === at - character.length ? `\u2009${shown}` : shown;
        runs.push({ text: apart, font: base, level: level + (level % 2) });
      }
      lacking = at;
    }
  }
  return { runs: inVisualOrder(runs), missing };
}

/** Rule L2: from the highest level to the lowest odd one, sequences at that level or above are turned around. */
function inVisualOrder(runs: readonly Run[]): readonly Run[] {
  const ordered = [...runs];
  const most = Math.max(0, ...runs.map(({ level }) => level));
  for (let level = most; level > 0; level--) {
    for (let start = 0; start < ordered.length; start++) {
      if ((ordered[start]?.level ?? 0) < level) continue;
      let end = start;
      while (end < ordered.length && (ordered[end]?.level ?? 0) >= level) end++;
      ordered.splice(start, end - start, ...ordered.slice(start, end).reverse());
      start = end;
    }
  }
  return ordered;
}

/** The outline of a glyph, moved and in units of the font size. */
function* outlineOf(glyph: Glyph, left: number, base: number, unit: number): Generator<OutlineCommand> {
  const x = (value: number): number => (left + value) * unit;
  const y = (value: number): number => (base + value) * unit;
  for (const { command, args } of glyph.path.commands) {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
    switch (command) {
      case "moveTo":
        yield { kind: "move", x: x(a), y: y(b) };
        break;
      case "lineTo":
        yield { kind: "line", x: x(a), y: y(b) };
        break;
      case "quadraticCurveTo":
        yield { kind: "quadratic", points: [x(a), y(b), x(c), y(d)] };
        break;
      case "bezierCurveTo":
        yield { kind: "cubic", points: [x(a), y(b), x(c), y(d), x(e), y(f)] };
        break;
      default:
        yield { kind: "close" };
    }
  }
}

const kept = new WeakMap<FontFolder, Map<string, ShapedText>>();

/**
 * A line of text as outlines. Control characters are written out, accents are joined with their letters; a character that no installed
 * font has is its code point (U+4E2D), which is told once where the line is drawn.
 * @param note false where the line is only measured
 */
export function shapeText(
  text: string,
  { bold = false, fonts = installedFonts, note = true } = {},
): ShapedText {
  const lines = kept.get(fonts) ?? new Map<string, ShapedText>();
  kept.set(fonts, lines);
  const key = `${bold ? "b" : "n"}${text}`;
  const shaped = lines.get(key) ?? shape(text, fonts, bold);
  if (lines.size >= KEPT) lines.clear();
  lines.set(key, shaped);
  if (note) shaped.missing.forEach(noteMissing);
  return shaped;
}

function shape(text: string, fonts: FontFolder, bold: boolean): ShapedText {
  const letters = [...printable(text.normalize("NFC"))];
  const shown = letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : letters.join("");
  const commands: OutlineCommand[] = [];
  let width = 0;
  const { runs, missing } = runsOf(shown, fonts, bold);
  for (const { text: piece, font, level } of runs) {
    const unit = 1 / font.unitsPerEm;
    const run: GlyphRun = font.layout(
      piece,
      undefined,
      undefined,
      undefined,
      level % 2 === 1 ? "rtl" : "ltr",
    );
    let left = width / unit;
    for (const [i, glyph] of run.glyphs.entries()) {
      const place = run.positions[i];
      if (place === undefined) continue;
      commands.push(...outlineOf(glyph, left + place.xOffset, place.yOffset, unit));
      left += place.xAdvance;
    }
    width = left * unit;
  }
  return { width, commands, missing };
}
