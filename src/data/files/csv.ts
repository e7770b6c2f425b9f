// Cells of CSV files. A spreadsheet takes a text that begins with one of a few characters for a formula, and computes it: names of a
// stranger's classes or columns could then call out. Such texts are marked by an apostrophe in front, as spreadsheets have it themselves.

/** How a formula begins. */
const FORMULA = /^[=+\-@\t\r\n]/;

/** Numbers as tables have them: no spreadsheet computes anything of them. */
const NUMBER = /^[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)$/i;

/**
 * True for a text that a spreadsheet takes for a formula, it begins with = + - @, a tab or a line break and is no number; and for one
 * that has apostrophes before that, so that it can be told from one that was marked.
 */
export function isFormula(text: string): boolean {
  const plain = text.replace(/^'+/, "");
  return FORMULA.test(plain) && !NUMBER.test(plain.trim());
}

/** A text with an apostrophe in front where a spreadsheet takes it for a formula. `unmarkFormula` gives it back. */
export function markFormula(text: string): string {
  return isFormula(text) ? `'${text}` : text;
}

/** True for a text that `unmarkFormula` changes. */
export function isMarked(text: string): boolean {
  return text.startsWith("'") && isFormula(text);
}

/** A text as it was before `markFormula`. */
export function unmarkFormula(text: string): string {
  return isMarked(text) ? text.slice(1) : text;
}

/** A text as RFC 4180 writes it. @param always whether it is quoted where it need not be */
export function csvText(text: string, always = false): string {
  return always || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What of a table was marked, to be mentioned once. */
export interface MarkedCells {
  /** How many texts, names of columns among them. */
  readonly count: number;
  /** The first of them, as it was. */
  readonly example: string;
  /** The column that it is in, or names. */
  readonly column: string;
}

/** How texts that spreadsheets take for formulas are written. */
export interface CsvWriting {
  /** Whether they are marked by an apostrophe in front; default: true. Numbers never are. */
  readonly csvSafe?: boolean | undefined;
  /** Called once the table is written, where any were marked. */
  readonly onMarked?: ((marked: MarkedCells) => void) | undefined;
}

/** Makes lines of a CSV file, and counts what it marks. */
export class CsvLines {
  private readonly names: readonly string[];
  private readonly safe: boolean;
  private count = 0;
  private first: Omit<MarkedCells, "count"> | undefined;

  constructor(names: readonly string[], { csvSafe = true }: CsvWriting = {}) {
    this.names = names;
    this.safe = csvSafe;
  }

  /** The names of the columns. */
  head(): string {
    return this.names.map((name) => this.text(name, name)).join();
  }

  /** A row of cells, without its line break; null is a missing one. */
  row(cells: readonly (string | number | null)[]): string {
    return cells
      .map((cell, i) => {
        if (cell === null) return "";
        return typeof cell === "number" ? String(cell) : this.text(cell, this.names[i] ?? "");
      })
      .join();
  }

  /** What was marked so far; undefined where nothing was. */
  get marked(): MarkedCells | undefined {
    return this.first && { count: this.count, ...this.first };
  }

  private text(text: string, column: string): string {
    if (!this.safe || !isFormula(text)) return csvText(text);
    this.count++;
    this.first ??= { example: text, column };
    return csvText(markFormula(text));
  }
}
