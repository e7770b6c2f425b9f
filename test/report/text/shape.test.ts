import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { FontFolder, fontPackages, installedFonts } from "../../../src/report/text/fonts.ts";
import { onMissingCharacters } from "../../../src/report/text/missing.ts";
import { outlineTexts } from "../../../src/report/text/outline-svg.ts";
import { type ShapedText, shapeText } from "../../../src/report/text/shape.ts";

const require = createRequire(import.meta.url);
const fixtures = fileURLToPath(new URL("../../fixtures/fonts/", import.meta.url));

/** The font of eidos, and small parts of those that are installed beside it. */
const fonts = new FontFolder((path) =>
  /^@fontsource\/noto-sans(-math)?\//.test(path)
    ? require.resolve(path)
    : require.resolve(`${fixtures}${path}`),
);

const lines: string[] = [];
beforeAll(() => onMissingCharacters((line) => lines.push(line)));

/** The least and the greatest x of the outlines. */
function extent({ commands }: ShapedText): readonly [number, number] {
  const xs = commands.flatMap((command) => {
    if (command.kind === "close") return [];
    return "points" in command ? command.points.filter((_, i) => i % 2 === 0) : [command.x];
  });
  return [Math.min(...xs), Math.max(...xs)];
}

/** The outlines of a text, moved to begin at 0 and rounded: equal for equal letters. */
function letters(text: string): string {
  const shaped = shapeText(text, { fonts });
  return JSON.stringify(shaped.commands, (_, value) =>
    typeof value === "number" ? Math.round((value - 0) * 1000) / 1000 : value,
  );
}

describe("a line of text", () => {
  it("has the signs of its own plots, and writes small figures as plain ones", () => {
    const before = lines.length;
    expect(letters("≥ ≤ √ ∞ ∫ ↑ ↓ → ½ × − · …")).not.toContain("null");
    expect(letters("z₁")).toBe(letters("z1"));
    expect(lines).toHaveLength(before);
  });

  it("has letters of the scripts that come with eidos", () => {
    for (const text of ["Größe", "κατηγορία", "категория", "đường", "हिन्दी"]) {
      const shaped = shapeText(text);
      expect(shaped.width, text).toBeGreaterThan(1);
      expect(extent(shaped)[1], text).toBeLessThan(shaped.width + 0.2);
    }
    expect(lines).toEqual([]);
  });

  it("is as wide as its letters, by the font's own advances", () => {
    // Noto Sans: H is 741 of 1000 units wide, a space 260.
    expect(shapeText("HH H").width).toBeCloseTo(3 * 0.741 + 0.26, 6);
    expect(shapeText("HH", { bold: true }).width).toBeGreaterThan(shapeText("HH").width);
    expect(shapeText("").width).toBe(0);
  });

  it("joins accents with their letters, and writes out control characters", () => {
    expect(letters("e\u0301")).toBe(letters("é"));
    expect(letters("a\u0007b")).toBe(letters("a\\u0007b"));
    expect(shapeText("x".repeat(5000)).width).toBe(shapeText(`${"x".repeat(999)}…`).width);
  });

  it("has letters of packages that are installed beside it", () => {
    expect(shapeText("中文猫", { fonts }).width).toBe(3);
    expect(shapeText("中 cat", { fonts }).width).toBeCloseTo(1 + shapeText(" cat").width, 2);
    expect(lines).toEqual([]);
  });

  it("joins Arabic letters and writes from right to left, numbers among them from left to right", () => {
    // Joined letters are narrower than the same letters apart.
    const apart = [..."سيارة"].reduce((sum, letter) => sum + shapeText(letter, { fonts }).width, 0);
    expect(shapeText("سيارة", { fonts }).width).toBeLessThan(0.95 * apart);
    // In a line that begins in Hebrew, "12" stands at the left of it and keeps its order.
    const mixed = shapeText("של 12", { fonts });
    const number = shapeText("12");
    expect(JSON.stringify(mixed.commands.slice(0, number.commands.length))).toBe(
      JSON.stringify(number.commands),
    );
    // ש is the first letter and stands at the right end.
    const [, right] = extent(shapeText("ש", { fonts }));
    const single = shapeText("ש", { fonts }).width;
    const [, end] = extent(shapeText("של", { fonts }));
    expect(end).toBeCloseTo(shapeText("של", { fonts }).width - single + right, 6);
  });

  it("shows the code point of a character that no font has, and says so once for a package", () => {
    const before = lines.length;
    expect(letters("\u0e01")).toBe(letters("U+0E01"));
    expect(letters("\u0e02")).toBe(letters("U+0E02"));
    expect(lines.slice(before)).toEqual([
      "pictures show code points in place of letters that no installed font has (\u0e01 as U+0E01); npm install @fontsource/noto-sans-thai brings them",
    ]);
    expect(fontPackages("あ")[0]).toBe("@fontsource/noto-sans-jp");
    expect(installedFonts.find("\u0e01", false)).toBeUndefined();
  });
});

describe("texts of an SVG document", () => {
  it("become paths where they stood", () => {
    const svg = outlineTexts(
      '<svg><text text-anchor="end" transform="translate(3,4)" font-size="10px" fill="#123456">H &amp; H</text></svg>',
    );
    expect(svg).toMatch(/^<svg><path transform="translate\(3,4\)" fill="#123456" d="M[^"]+Z"\/><\/svg>$/);
    const xs = [...svg.matchAll(/[ML](-?[\d.]+) /g)].map(([, x]) => Number(x));
    expect(Math.max(...xs)).toBeLessThanOrEqual(0);
    expect(Math.min(...xs)).toBeCloseTo(-10 * shapeText("H & H").width + 0.98, 1);
  });

  it("are taken one by one where some have no letters", () => {
    const texts =
      '<g><text x="1" y="2"/></g><g><text font-size="10px">H</text></g><text><tspan x="3"/></text>';
    const svg = outlineTexts(`<svg>${texts}</svg>`);
    expect(svg).not.toContain("<t");
    expect(svg).toMatch(/^<svg><g><path d=""\/><\/g><g><path d="M[^"]+"\/><\/g><path d=""\/><\/svg>$/);
  });

  it("keep their lines", () => {
    const svg = outlineTexts('<text font-size="10px"><tspan>H</tspan><tspan x="0" dy="12">H</tspan></text>');
    const ys = [...svg.matchAll(/[ML]-?[\d.]+ (-?[\d.]+)/g)].map(([, y]) => Number(y));
    expect(Math.min(...ys)).toBeCloseTo(-7.14, 2);
    expect(Math.max(...ys)).toBeCloseTo(12, 2);
  });
});
