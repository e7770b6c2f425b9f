// Texts of files and of other people as they are shown: names of classes and columns, paths, what a file is said to hold. Characters that
// a terminal would obey, or that would change what stands beside them, are written out.

/**
 * Controls (C0, DEL, C1), line and paragraph separators, marks and overrides of the direction of writing, a byte order mark,
 * and halves of surrogate pairs.
 */
const HIDDEN = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const SHORT: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** A character as JSON escapes it. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * A text of which every character can be seen, on one line: those that a terminal would obey are written as JSON escapes them, `\u001b`,
 * `\n`. What has none of them comes back as it is.
 */
export function printable(text: string): string {
  return text.replace(HIDDEN, (character) => SHORT.get(character) ?? escaped(character));
}

/** As `printable`, for a text of several lines: its line breaks stay. */
export function printableLines(text: string): string {
  return text.replace(HIDDEN, (character) =>
    character === "\n" ? character : (SHORT.get(character) ?? escaped(character)),
  );
}

/** JSON in which every character can be seen; it stands for the same value. */
export function printableJson(json: string): string {
  // Outside of texts there are spaces and line breaks alone.
  return json.replace(HIDDEN, (character) => (character === "\n" ? character : escaped(character)));
}

/** Characters of a name out of a file that messages have. */
const LONGEST_NAME = 200;

/** A name as messages have it: that of a file may be of any length. */
export function shortened(text: string): string {
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}…` : text;
}

/** The first of some names, with `, …` where there are more: a list in a message that may be of any length. */
export function firstNames(names: readonly string[], most: number): string {
  return `${names.slice(0, most).join(", ")}${names.length > most ? ", …" : ""}`;
}
