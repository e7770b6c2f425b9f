import { sqlTrimmed } from "./missing.ts";
/** How the numbers of a column are written; undefined where they are as in programs: `-1234.5e6`. */
export interface NumberFormat {
  readonly decimal: "." | ",";
  /** What groups the digits before the decimal mark by threes: a comma, a point, an apostrophe, or white space. */
  readonly thousands?: "," | "." | "'" | " " | undefined;
}

const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** Marks between thousands as expressions write them; thin and unbreakable spaces are spaces. */
const GROUPS = { ",": ",", ".": "[.]", "'": "['’]", " ": "[ \u00a0\u2009\u202f]" } as const;

/** The expression that the numbers of a format match, in JavaScript's and DuckDB's language alike. */
export function numberPattern({ decimal, thousands }: NumberFormat): string {
  const mark = decimal === "," ? "," : "[.]";
  const whole = thousands === undefined ? "[0-9]+" : `(?:[0-9]+|[0-9]{1,3}(?:${GROUPS[thousands]}[0-9]{3})+)`;
  return `[+-]?(?:${whole}(?:${mark}[0-9]*)?|${mark}[0-9]+)(?:[eE][+-]?[0-9]+)?`;
}

const patterns = new Map<string, RegExp>();

/** The number that a text writes, finite or not; undefined where it writes none. NaN is none. */
export function numberIn(text: string, format?: NumberFormat): number | undefined {
  const trimmed = text.trim();
  if (format !== undefined) {
    const source = numberPattern(format);
    const pattern = patterns.get(source) ?? new RegExp(`^${source}$`);
    patterns.set(source, pattern);
    return pattern.test(trimmed) ? Number(plainNumber(trimmed, format)) : undefined;
  }
  if (PLAIN.test(trimmed)) return Number(trimmed);
  if (/^[+-]?inf(inity)?$/i.test(trimmed)) return trimmed.startsWith("-") ? -Infinity : Infinity;
  return undefined;
}

/** A number of a format as programs write it. */
export function plainNumber(text: string, { decimal, thousands }: NumberFormat): string {
  const whole = thousands === undefined ? text : text.replaceAll(new RegExp(GROUPS[thousands], "g"), "");
  return decimal === "," ? whole.replace(",", ".") : whole;
}

/** The expression in SQL that makes a plain number of a text in a format, or NULL. @param text an expression of a text */
export function sqlPlainNumber(text: string, format: NumberFormat): string {
  const { decimal, thousands } = format;
  const quoted = (pattern: string) => `'${pattern.replaceAll("'", "''")}'`;
  const trimmed = sqlTrimmed(text);
  const whole =
    thousands === undefined ? trimmed : `regexp_replace(${trimmed}, ${quoted(GROUPS[thousands])}, '', 'g')`;
  const plain = decimal === "," ? `replace(${whole}, ',', '.')` : whole;
  return `case when regexp_full_match(${trimmed}, ${quoted(numberPattern(format))}) then ${plain} end`;
}

/** How often the cells of a column are written in ways that a decimal comma or thousands explain. */
export interface NumberCounts {
  /** Cells that are no gaps. */
  readonly cells: number;
  /** Plain numbers without a point: `1234`. */
  readonly whole: number;
  /** `1,5` and `1,2345`: a comma that cannot group thousands. */
  readonly decimalComma: number;
  /** `1,234`, which may be either. */
  readonly eitherComma: number;
  /** `1,234,567` and `1,234.5`: commas that group thousands. */
  readonly thousandsComma: number;
  /** `1.234.567` and `1.234,5`: points that group thousands. */
  readonly thousandsPoint: number;
  /** `1 234` and `1 234,5`. */
  readonly spaced: number;
  readonly spacedComma: number;
  /** `1'234` and `1'234.5`. */
  readonly apostrophes: number;
  /** `1.5`: a point that cannot group thousands. */
  readonly decimalPoint: number;
  /** `1.234`. */
  readonly eitherPoint: number;
}

const SIGN = "[+-]?";
const EXPONENT = "([eE][+-]?[0-9]+)?";
const SPACE = GROUPS[" "];

/** Expressions of SQL that count what `NumberCounts` holds, `cells` apart. */
export const COUNTED: Readonly<Record<Exclude<keyof NumberCounts, "cells">, string>> = {
  whole: `${SIGN}[0-9]+${EXPONENT}`,
  decimalComma: `${SIGN}([0-9]*,[0-9]{1,2}|[0-9]*,[0-9]{4,}|([0-9]{4,}|0[0-9]*|),[0-9]{3}|[0-9]+,)${EXPONENT}`,
  eitherComma: `${SIGN}[1-9][0-9]{0,2},[0-9]{3}`,
  thousandsComma: `${SIGN}[0-9]{1,3}((,[0-9]{3}){2,}|(,[0-9]{3})+[.][0-9]*)`,
  thousandsPoint: `${SIGN}[0-9]{1,3}(([.][0-9]{3}){2,}|([.][0-9]{3})+,[0-9]*)`,
  spaced: `${SIGN}[0-9]{1,3}(${SPACE}[0-9]{3})+([.][0-9]*)?`,
  spacedComma: `${SIGN}[0-9]{1,3}(${SPACE}[0-9]{3})+,[0-9]*`,
  apostrophes: `${SIGN}[0-9]{1,3}(['’][0-9]{3})+([.][0-9]*)?`,
  decimalPoint: `${SIGN}([0-9]*[.][0-9]{1,2}|[0-9]*[.][0-9]{4,}|([0-9]{4,}|0[0-9]*|)[.][0-9]{3}|[0-9]+[.])${EXPONENT}`,
  eitherPoint: `${SIGN}[1-9][0-9]{0,2}[.][0-9]{3}`,
};

/** What is known of a file beside its cells. */
interface FormatHints {
  readonly delimiter: string;
  readonly decimal?: "." | "," | undefined;
  readonly thousands?: NumberFormat["thousands"];
}

/** Share of a column's cells that must be numbers for their writing to be looked at. */
const MOSTLY = 0.5;

/**
 * How the numbers of each column are written, by its cells; where they may be read in two ways, by those of other columns, and by
 * the delimiter: a decimal comma is usual between semicolons.
 * @returns a format for columns that are not written plainly, and lines for a person on what was decided
 */
export function numberFormats(
  columns: ReadonlyMap<string, NumberCounts>,
  { delimiter, decimal, thousands }: FormatHints,
): { readonly formats: ReadonlyMap<string, NumberFormat>; readonly notes: readonly string[] } {
  const numeric = [...columns].filter(([, counts]) => {
    const { cells, ...written } = counts;
    return cells > 0 && Object.values(written).reduce((sum, count) => sum + count, 0) >= MOSTLY * cells;
  });
  const has = (...of: (keyof NumberCounts)[]) =>
    numeric.some(([, counts]) => of.some((key) => counts[key] > 0));
  const commas = has("decimalComma", "thousandsPoint", "spacedComma");
  const points = has("decimalPoint", "thousandsComma");
  const formats = new Map<string, NumberFormat>();
  const guessed: string[] = [];
  for (const [name, counts] of numeric) {
    const ownComma = counts.decimalComma + counts.thousandsPoint + counts.spacedComma > 0;
    const ownPoint = counts.decimalPoint + counts.thousandsComma > 0;
    const isEither = !ownComma && !ownPoint && counts.eitherComma + counts.eitherPoint > 0;
    // What the rest of the file does; otherwise a decimal comma is usual between semicolons.
    const usual = commas === points ? undefined : commas ? "," : ".";
    const guess = usual ?? (counts.eitherComma > 0 && delimiter === ";" ? "," : ".");
    const mark = decimal ?? (ownComma !== ownPoint ? (ownComma ? "," : ".") : guess);
    if (isEither && decimal === undefined && (counts.eitherComma > 0 || mark === ",")) guessed.push(name);
    const grouping = thousands ?? groupingOf(counts, mark);
    const holdsComma =
      counts.decimalComma + counts.eitherComma + counts.thousandsPoint + counts.spacedComma > 0;
    if ((mark === "," && holdsComma) || grouping !== undefined) {
      formats.set(name, { decimal: mark, ...(grouping !== undefined && { thousands: grouping }) });
    }
  }
  return { formats, notes: notesOf(formats, guessed) };
}

function groupingOf(counts: NumberCounts, decimal: "." | ","): NumberFormat["thousands"] {
  if (counts.spaced + counts.spacedComma > 0) return " ";
  if (counts.apostrophes > 0) return "'";
  if (decimal === ",") return counts.thousandsPoint + counts.eitherPoint > 0 ? "." : undefined;
  return counts.thousandsComma + counts.eitherComma > 0 ? "," : undefined;
}

function notesOf(formats: ReadonlyMap<string, NumberFormat>, guessed: readonly string[]): string[] {
  const named = (names: readonly string[]) =>
    `${names.length === 1 ? "" : `${names.length} columns: `}${names
      .slice(0, 5)
      .map((name) => `"${name}"`)
      .join(", ")}${names.length > 5 ? ", …" : ""}`;
  const commas = [...formats].filter(([, { decimal }]) => decimal === ",").map(([name]) => name);
  const grouped = [...formats].filter(([, { thousands }]) => thousands !== undefined).map(([name]) => name);
  return [
    ...(commas.length > 0 ? [`numbers with a decimal comma in ${named(commas)}`] : []),
    ...(grouped.length > 0 ? [`numbers with marks between thousands in ${named(grouped)}`] : []),
    ...(guessed.length > 0
      ? [
          `whether 1,234 is 1234 or 1.234 is a guess in ${named(guessed)}: ${formats.get(guessed[0] ?? "")?.decimal === "," ? "a decimal comma" : "thousands"}; --decimal and --thousands settle it`,
        ]
      : []),
  ];
}
