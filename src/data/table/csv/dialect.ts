import { DataError } from "../../../errors.ts";
import { missingTest } from "../columns/missing.ts";

// How a file of text is a table: what stands between cells, which lines are comments, and whether the first line is names.

/** What a person says of a file of text. */
export interface DialectOptions {
  readonly delimiter?: string | undefined;
  /** Whether the first line is names. */
  readonly header?: boolean | undefined;
  readonly missing?: readonly string[] | undefined;
  /** Whether cells are zeros and ones: a first line that counts columns is names. */
  readonly binary?: boolean | undefined;
}

export interface Dialect {
  readonly delimiter: string;
  readonly header: boolean;
  readonly names: readonly string[];
  /** Which columns have no name in the file. */
  readonly unnamed: readonly boolean[];
  /** Lines before the table. */
  readonly skip: number;
  /** Whether a line below is a comment; undefined where none was seen. */
  readonly isComment: ((line: string) => boolean) | undefined;
  readonly notes: readonly string[];
}

const DELIMITERS = ["\t", ";", "|", ","] as const;

/** Records of the beginning of a file that decide. */
const RECORDS = 200;

/** Splits at delimiters outside double quotes, and takes the quotes off. */
export function splitLine(line: string, delimiter: string): string[] {
  const cells = [""];
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i] ?? "";
    if (character === '"' && quoted && line[i + 1] === '"') {
      cells[cells.length - 1] += '"';
      i++;
    } else if (character === '"') {
      quoted = !quoted;
    } else if (character === delimiter && !quoted) {
      cells.push("");
    } else {
      cells[cells.length - 1] += character;
    }
  }
  return cells;
}

/** Lines of a table, which go on within quotes; the last is left out where it may be cut. */
function recordsOf(text: string, whole: boolean): string[] {
  const records: string[] = [];
  const pattern = /(?:[^"\r\n]+|"[^"]*(?:""[^"]*)*"|")*(\r\n|\n|\r|$)/y;
  while (pattern.lastIndex < text.length && records.length < RECORDS) {
    const found = pattern.exec(text);
    if (found === null) break;
    const isCut = !whole && pattern.lastIndex === text.length && found[1] === "";
    if (!isCut || records.length === 0)
      records.push(found[0].slice(0, found[0].length - (found[1]?.length ?? 0)));
  }
  return records;
}

const isNumber = (cell: string): boolean =>
  cell.trim() !== "" && !Number.isNaN(Number(cell.trim().replace(",", ".")));

/** What a line that is a comment begins with. */
const COMMENT = /^\s*(#|%|\/\/)/;

/** How the beginning of a file is read. @throws DataError where two columns have one name */
export function findDialect(text: string, whole: boolean, label: string, options: DialectOptions): Dialect {
  const records = recordsOf(text.replace(/^\uFEFF/, ""), whole);
  const notes: string[] = [];
  const leading = leadingComments(records);
  const body = records.slice(leading).filter((line) => line.trim() !== "");
  const delimiter = options.delimiter ?? findDelimiter(body);
  // Where the first column is named by a #, or the names stand in the last comment, they are names.
  const last = records[leading - 1]?.replace(COMMENT, "");
  const width = splitLine(body[0] ?? "", delimiter).length;
  const namedInComment =
    last !== undefined &&
    width > 1 &&
    splitLine(last, delimiter).length === width &&
    options.header !== false;
  if (leading > 0) {
    const kept = namedInComment ? ", the last of which has the names of the columns" : "";
    notes.push(
      `${leading} comment line${leading === 1 ? "" : "s"} at the head${kept} (${JSON.stringify(records[0]?.slice(0, 60))})`,
    );
  }
  const rows = body.map((line) => splitLine(line, delimiter));
  const isComment = commentTest(body.slice(1), delimiter, width);
  const [first = [""], ...rest] = rows.filter((_, i) => i === 0 || isComment?.(body[i] ?? "") !== true);
  const given = namedInComment ? splitLine(last, delimiter) : first;
  const cells = given.map((cell) => cell.trim());
  const { header, note } = namedInComment
    ? { header: true, note: undefined }
    : findHeader(cells, rest, options);
  if (note !== undefined) notes.push(note);
  const unnamed = cells.map((cell) => !header || cell === "" || /^Unnamed: \d+$/.test(cell));
  const names = cells.map((cell, index) => (header && cell !== "" ? cell : `x${index}`));
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      throw new DataError(`${label}: two columns are called "${name}"; rename one of them in the first line`);
    }
    seen.add(name.toLowerCase());
  }
  return {
    delimiter,
    header: header && !namedInComment,
    names,
    unnamed: header ? unnamed : unnamed.map(() => false),
    skip: leading,
    isComment,
    notes,
  };
}

/** Lines at the head that begin with a mark of comments; none where all of the file does. */
function leadingComments(records: readonly string[]): number {
  let count = 0;
  while (count < records.length && COMMENT.test(records[count] ?? "")) count++;
  return count === records.length ? 0 : count;
}

/** Lines amid the table that begin with # and have not its number of cells. */
function commentTest(
  body: readonly string[],
  delimiter: string,
  width: number,
): ((line: string) => boolean) | undefined {
  const isComment = (line: string): boolean =>
    /^\s*#/.test(line) && splitLine(line.replace(/\r?\n$/, ""), delimiter).length !== width;
  return width > 1 && body.some(isComment) ? isComment : undefined;
}

/** What divides the lines into equally many cells, and more than one; where nothing does, what divides the first into most. */
function findDelimiter(lines: readonly string[]): string {
  const counts = DELIMITERS.map((delimiter) => lines.map((line) => splitLine(line, delimiter).length));
  const consistent = DELIMITERS.filter((_, i) => {
    const [first = 1, ...rest] = counts[i] ?? [];
    return first > 1 && rest.every((count) => count === first);
  });
  const comma = consistent.includes(",");
  const other = consistent.find((delimiter) => delimiter !== ",");
  if (other !== undefined && comma) {
    // Commas within cells that stand between other marks are decimal commas.
    const cells = lines.slice(1).flatMap((line) => splitLine(line, other));
    return cells.every((cell) => !cell.includes(",") || isNumber(cell)) ? other : ",";
  }
  if (other !== undefined) return other;
  if (comma) return ",";
  const firsts = counts.map(([first = 0]) => first);
  const most = Math.max(...firsts);
  return most === 1 ? "," : (DELIMITERS[firsts.lastIndexOf(most)] ?? ",");
}

/** True where numbers count columns or years: each is one more than that before it. */
function areCounting(cells: readonly string[]): boolean {
  const numbers = cells.filter(isNumber).map(Number);
  return (
    numbers.length > 1 &&
    numbers.every((value, i) => Number.isInteger(value) && value === (numbers[0] ?? 0) + i)
  );
}

/**
 * True where a first line above zeros and ones is names. Names differ, zeros and ones do not; numbers are names only
 * where they count columns, 0, 1, 2, … or 1, 2, 3, …, as tools write it above columns without names.
 */
function namesBits(cells: readonly string[]): boolean {
  const bits = cells.filter((cell) => /^([01]|true|false)$/i.test(cell));
  if (new Set(bits).size < bits.length) return false;
  const counts = [0, 1].some((first) => cells.every((cell, i) => cell === String(first + i)));
  const others = cells.filter((cell) => !/^([01]|true|false|null|nan|)$/i.test(cell));
  return others.some((cell) => counts || Number.isNaN(Number(cell)));
}

/** Whether the first line is names, by how it differs from the columns below. */
function findHeader(
  cells: readonly string[],
  rows: readonly (readonly string[])[],
  { header, binary, missing }: DialectOptions,
): { readonly header: boolean; readonly note: string | undefined } {
  if (header !== undefined) return { header, note: undefined };
  if (binary) return { header: namesBits(cells), note: undefined };
  const isMissing = missingTest(missing);
  const shown = JSON.stringify(cells.slice(0, 6).join(",").slice(0, 60));
  const asData = {
    header: false,
    note: `the first line, ${shown}, looks like data and is read as a row; the columns are called x0, x1, …; --header if it is names`,
  };
  const texts = cells.flatMap((cell, i) => (isMissing(cell) || isNumber(cell) ? [] : [{ cell, i }]));
  const isBlank = cells.some((cell) => cell === "");
  if (texts.length === 0) {
    // A table written with its index has an empty name before those that count columns.
    return isBlank && areCounting(cells) && cells[0] === ""
      ? { header: true, note: undefined }
      : { header: false, note: undefined };
  }
  const widest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const columns = cells
    .slice(0, widest)
    .map((_, i) => rows.map((row) => (row[i] ?? "").trim()).filter((cell) => !isMissing(cell)));
  const below = (i: number): readonly string[] => columns[i] ?? [];
  const numbers = cells.flatMap((cell, i) => (isNumber(cell) ? [i] : []));
  const overNumbers = texts.filter(({ i }) => below(i).length > 0 && below(i).every(isNumber));
  const isNumbered =
    numbers.length > 0 && !areCounting(cells) && numbers.every((i) => below(i).every(isNumber));
  if (overNumbers.length > 0) {
    // A number among names is odd, but texts above numbers are names.
    return overNumbers.length >= numbers.length || !isNumbered ? { header: true, note: undefined } : asData;
  }
  const again = texts.filter(({ cell, i }) => below(i).includes(cell));
  if (isNumbered && rows.length > 0) return asData;
  const isData = rows.length > 0 && again.length === texts.length && (texts.length > 1 || numbers.length > 0);
  return isData ? asData : { header: true, note: undefined };
}
