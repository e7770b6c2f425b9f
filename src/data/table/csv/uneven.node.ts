import { createReadStream } from "node:fs";
import { DataError } from "../../../errors.ts";
import type { Dialect } from "./dialect.ts";

/** Uneven lines that a message shows, and that are counted. */
const UNEVEN = { shown: 3, counted: 1000 } as const;

/** Characters of a line that a message shows. */
const SHOWN = 40;

/** Characters of a line beyond which nothing more is looked for: DuckDB reads no longer ones. */
const LONGEST = 2_000_000;

interface UnevenLine {
  readonly line: number;
  readonly cells: number;
  /** The beginning of the line. */
  readonly text: string;
}

/** The lines of a text, without what ends them. */
async function* linesOf(path: string, encoding: string): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding);
  let held = "";
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    held += decoder.decode(chunk, { stream: true });
    // A carriage return at the end may be half of what ends the line.
    const lines = held.split(/\r\n|\n|\r(?!$)/);
    held = lines.pop() ?? "";
    yield* lines;
    if (held.length > LONGEST) return;
  }
  yield* (held + decoder.decode()).split(/\r\n|\n|\r/);
}

/** Counts the cells of every record: a line, or several where quotes go on. Empty lines are none. */
async function findUneven(
  path: string,
  encoding: string,
  { delimiter, names, skip, isComment }: Dialect,
): Promise<readonly UnevenLine[]> {
  const found: UnevenLine[] = [];
  let [line, first, cells, quoted, text] = [0, 0, 1, false, ""];
  for await (const own of linesOf(path, encoding)) {
    line++;
    if (line <= skip || isComment?.(own) === true) continue;
    if (!quoted) {
      if (own === "") continue;
      [first, cells, text] = [line, 1, own];
    }
    for (const character of own) {
      if (character === '"') quoted = !quoted;
      else if (character === delimiter && !quoted) cells++;
    }
    if (quoted || cells === names.length) continue;
    found.push({ line: first, cells, text: text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text });
    if (found.length === UNEVEN.counted) break;
  }
  return found;
}

/**
 * The lines of a file of text that have more or fewer cells than the table has columns, by their numbers in the file; undefined where there
 * are none. DuckDB names the first alone, and its table of rejected lines takes the square of a line's length.
 */
export async function unevenLines(
  path: string,
  encoding: string,
  dialect: Dialect,
): Promise<DataError | undefined> {
  const lines = await findUneven(path, encoding, dialect);
  if (lines.length === 0) return undefined;
  const shown = lines
    .slice(0, UNEVEN.shown)
    .map(
      ({ line, cells, text }) =>
        `line ${line} has ${cells} cell${cells === 1 ? "" : "s"} (${JSON.stringify(text)})`,
    );
  const rest = lines.length - shown.length;
  const more = rest > 0 ? `, and ${lines.length < UNEVEN.counted ? "" : "at least "}${rest} more` : "";
  return new DataError(
    `${path}: ${shown.join(", ")}${more}, where the table has ${dialect.names.length} columns. Correct or remove ${lines.length === 1 ? "it" : "them"}, put cells that hold a delimiter in double quotes, or name what stands between cells (--delimiter)`,
  );
}
