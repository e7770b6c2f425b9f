import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Font } from "fontkit";

// Fonts are packages of Fontsource: files of parts of Unicode, with a list of what is in each. Those of Latin, Greek, Cyrillic, Vietnamese
// and Devanagari letters, and signs of mathematics, come with eidos; the others are installed by those who have such names.

/** The fonts that come with eidos: letters, and signs such as ≥ and √, which its own plots have. */
const LETTERS = "@fontsource/noto-sans";
const MATHEMATICS = "@fontsource/noto-sans-math";

/** Scripts by their names in Unicode, and the packages of their letters; the first that is installed and has a letter draws it. */
const SCRIPTS: readonly (readonly [script: string, packages: readonly string[]])[] = [
  ["Han", ["sans-sc", "sans-jp", "sans-tc", "sans-kr", "sans-hk"]],
  ["Hiragana", ["sans-jp", "sans-sc", "sans-tc"]],
  ["Katakana", ["sans-jp", "sans-sc", "sans-tc"]],
  ["Hangul", ["sans-kr"]],
  ["Bopomofo", ["sans-tc", "sans-sc"]],
  ["Arabic", ["sans-arabic", "naskh-arabic", "kufi-arabic"]],
  ["Hebrew", ["sans-hebrew"]],
  ["Thai", ["sans-thai"]],
  ["Lao", ["sans-lao"]],
  ["Khmer", ["sans-khmer"]],
  ["Myanmar", ["sans-myanmar"]],
  ["Bengali", ["sans-bengali"]],
  ["Gujarati", ["sans-gujarati"]],
  ["Gurmukhi", ["sans-gurmukhi"]],
  ["Kannada", ["sans-kannada"]],
  ["Malayalam", ["sans-malayalam"]],
  ["Oriya", ["sans-oriya"]],
  ["Sinhala", ["sans-sinhala"]],
  ["Tamil", ["sans-tamil"]],
  ["Telugu", ["sans-telugu"]],
  ["Georgian", ["sans-georgian"]],
  ["Armenian", ["sans-armenian"]],
  ["Ethiopic", ["sans-ethiopic"]],
  ["Tibetan", ["serif-tibetan"]],
  ["Mongolian", ["sans-mongolian"]],
];

/** Packages for signs of no script. */
const SIGNS = ["emoji", "sans-symbols", "sans-symbols-2", "sans-sc", "sans-jp"] as const;

const scripts = SCRIPTS.map(
  ([script, packages]) => [new RegExp(`^\\p{Script=${script}}$`, "u"), packages] as const,
);

const require = createRequire(import.meta.url);

/** A part of a package: the code points of one of its files. */
interface Part {
  readonly path: string;
  readonly ranges: readonly (readonly [first: number, last: number])[];
  font?: Font;
}

/** U+0100-02BA,U+02BD as pairs of first and last. */
function rangesOf(text: string): readonly (readonly [number, number])[] {
  return text.split(",").map((range) => {
    const [first = 0, last = first] = range
      .replace(/^U\+/i, "")
      .split("-")
      .map((digits) => Number.parseInt(digits, 16));
    return [first, last];
  });
}

/** The files of the packages of one place, by package and weight; a package that is not installed has none. */
export class FontFolder {
  private readonly resolve: (path: string) => string;
  private readonly packages = new Map<string, readonly Part[]>();

  /** @param resolve the path of a file of a package; throws where there is none */
  constructor(resolve: (path: string) => string) {
    this.resolve = resolve;
  }

  /**
   * The font that draws a character, or undefined where no installed one has it.
   * @param bold whether the letters are heavier, where the package has such ones
   */
  find(character: string, bold: boolean): Font | undefined {
    const own = scriptPackages(character);
    // The signs of mathematics include Arabic letters, which would stand apart: they are no font of a script.
    const names = own === undefined ? [MATHEMATICS, ...SIGNS.map(packageName)] : own.map(packageName);
    for (const name of [LETTERS, ...names]) {
      const font = this.fontOf(name, character.codePointAt(0) ?? 0, bold);
      if (font !== undefined) return font;
    }
    return undefined;
  }

  private fontOf(name: string, codePoint: number, bold: boolean): Font | undefined {
    for (const part of this.partsOf(name, bold)) {
      if (!part.ranges.some(([first, last]) => first <= codePoint && codePoint <= last)) continue;
      const { create } = require("fontkit") as typeof import("fontkit");
      part.font ??= create(readFileSync(part.path)) as Font;
      if (part.font.hasGlyphForCodePoint(codePoint)) return part.font;
    }
    return undefined;
  }

  private partsOf(name: string, bold: boolean): readonly Part[] {
    const weight = bold ? 600 : 400;
    const key = `${name}/${weight}`;
    const known = this.packages.get(key);
    if (known !== undefined) return known;
    const parts = this.read(name, weight) ?? (bold ? this.partsOf(name, false) : []);
    this.packages.set(key, parts);
    return parts;
  }

  /** The parts of a package in a weight; undefined where it is not installed, or not in that weight. */
  private read(name: string, weight: number): readonly Part[] | undefined {
    let list: string;
    try {
      list = this.resolve(`${name}/unicode.json`);
    } catch {
      return undefined;
    }
    const ranges = JSON.parse(readFileSync(list, "utf8")) as Readonly<Record<string, string>>;
    const stem = name.slice(name.indexOf("/") + 1);
    const parts: Part[] = [];
    for (const [part, text] of Object.entries(ranges)) {
      const file = `${name}/files/${stem}-${part.replaceAll(/[[\]]/g, "")}-${weight}-normal.woff`;
      try {
        parts.push({ path: this.resolve(file), ranges: rangesOf(text) });
      } catch {
        // A weight that the package does not have.
      }
    }
    const [only, second] = parts;
    if (only === undefined) return undefined;
    // The list of a package of one file names less than is in it: the file itself is asked.
    return second === undefined ? [{ ...only, ranges: [[0, 0x10ffff]] }] : parts;
  }
}

/** The packages that have the letters of a character's script, the one to install first. */
export function fontPackages(character: string): readonly string[] {
  return (scriptPackages(character) ?? SIGNS).map(packageName);
}

const packageName = (name: string): string => `@fontsource/noto-${name}`;

/** The packages of a script; undefined where the character is of none. */
function scriptPackages(character: string): readonly string[] | undefined {
  return scripts.find(([pattern]) => pattern.test(character))?.[1];
}

/** The fonts that are installed with eidos and beside it. */
export const installedFonts = new FontFolder((path) => require.resolve(path));
