import { eastAsianWidth } from "get-east-asian-width";
import { printable, printableJson, printableLines } from "../printable.ts";

/** Columns of a terminal that lists fit. */
export const WIDTH = 100;

// All that a command prints goes through the functions of this file, which write out control characters of what stands in files.

/** 75 → 1:15, 3700 → 1:01:40. */
export function showDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** A number with about four significant digits. */
export function showNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(3);
  return Number(value.toPrecision(5)).toString();
}

/** A text in lines of so many columns at most, broken at spaces; a longer word has a line of its own. */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && columnsOf(last) + 1 + columnsOf(word) <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Columns of a terminal that a text takes: two for each wide letter and emoji, none for marks on others. */
export function columnsOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  for (const { segment } of graphemes.segment(text)) {
    // A letter with its marks takes the columns of the letter, an emoji of several parts those of one.
    const codePoint = segment.codePointAt(0) ?? 0;
    if (/^[\p{M}\p{Default_Ignorable_Code_Point}]+$/u.test(segment)) continue;
    const isEmoji = /\p{Emoji_Presentation}|\ufe0f/u.test(segment);
    columns += isEmoji ? 2 : eastAsianWidth(codePoint);
  }
  return columns;
}

/** A text with spaces behind it, or in front, up to so many columns. */
export function padded(text: string, columns: number, side: "start" | "end" = "end"): string {
  const space = " ".repeat(Math.max(0, columns - columnsOf(text)));
  return side === "end" ? `${text}${space}` : `${space}${text}`;
}

/** Lines with columns padded to equal width; numbers to the right. Line breaks in a cell are written out. */
export function showTable(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = [
    header.map(printable),
    ...rows.map((row) => row.map((cell) => (typeof cell === "number" ? showNumber(cell) : printable(cell)))),
  ];
  const widths = header.map((_, i) =>
    cells.reduce((most, row) => Math.max(most, columnsOf(row[i] ?? "")), 0),
  );
  return cells
    .map((row) =>
      row
        .map((cell, i) => padded(cell, widths[i] ?? 0, typeof rows[0]?.[i] === "number" ? "start" : "end"))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Prints a value as JSON to standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

/** Prints a value as JSON on one line, among others of a log. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value))}\n`);
}

/** Prints lines to standard output. Names in them that may hold line breaks are made `printable` by the caller, or printed by `printLine`. */
export function print(lines: string): void {
  process.stdout.write(`${printableLines(lines)}\n`);
}

/** Prints a text to standard output as one line, whatever is in it. */
export function printLine(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

/** Prints a text to standard error as one line, whatever is in it. */
export function printNote(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}

/** 1536 → 1.5 kB. */
export function showBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${Number((bytes / 1024 ** power).toPrecision(3))} ${units[power]}`;
}
