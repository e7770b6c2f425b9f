import { createReadStream } from "node:fs";
import { DataError } from "../../../errors.ts";
import { fileError } from "../../files/files.node.ts";
import type { Dialect } from "./dialect.ts";

/** Uneven lines that a message shows, and that are counted. */
const UNEVEN = { shown: 3, counted: 1000 } as const;

/** Characters of a line that a message shows. */
const SHOWN = 40;

/** Characters of a line beyond which nothing more is looked for: DuckDB reads lines of no more than 2 MB. */
const LONGEST = 2_000_000;

/** Bytes that are read at a time. */
const CHUNK = 1 << 20;

interface UnevenLine {
  readonly line: number;
  readonly cells: number;
  /** The beginning of the line. */
  readonly text: string;
}

/** The lines of a text, without what ends them; none from one on of which more than `LONGEST` is held at the end of a chunk. */
async function* linesOf(path: string, encoding: string): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding);
  let held = "";
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
    held += decoder.decode(chunk, { stream: true });
    // A carriage return at the end may be half of what ends the line.
    const lines = held.split(/\r\n|\n|\r(?!$)/);
    held = lines.pop() ?? "";
    yield* lines;
    if (held.length > LONGEST) return;
  }
  yield* (held + decoder.decode()).split(/\r\n|\n|\r/);
}

/** The cells of a record, which is a line, or several where quotes go on. Quotes count where a cell begins with one. */
class Cells {
  count = 1;
  /** The last cell that is not empty; 0 where all are. */
  filled = 0;
  private state: "empty" | "plain" | "quoted" | "closed" = "empty";
  private readonly delimiter: string;

  constructor(delimiter: string) {
    this.delimiter = delimiter;
  }

  get isOpen(): boolean {
    return this.state === "quoted";
  }

  read(line: string): void {
    for (const character of line) this.take(character);
  }

  private take(character: string): void {
    if (character === '"' && this.state !== "plain") {
      // A second quote behind one that closes stands for itself.
      if (this.state === "closed") this.filled = this.count;
      this.state = this.state === "quoted" ? "closed" : "quoted";
    } else if (this.state === "quoted") {
      this.filled = this.count;
    } else if (character === this.delimiter) {
      this.count++;
      this.state = "empty";
    } else {
      this.filled = this.count;
      // Quotes may stand behind spaces.
      if (character !== " ") this.state = "plain";
    }
  }

  /** Whether there are as many cells as columns. DuckDB lets empty ones follow. */
  fit(columns: number): boolean {
    return this.count === columns || (this.count > columns && this.filled <= columns);
  }
}

/** Records with more or fewer cells than there are columns; empty lines and comments are none. */
async function findUneven(
  path: string,
  encoding: string,
  { delimiter, names, skip, isComment }: Dialect,
): Promise<readonly UnevenLine[]> {
  const found: UnevenLine[] = [];
  let line = 0;
  let cells: Cells | undefined;
  let [first, text] = [0, ""];
  for await (const own of linesOf(path, encoding)) {
    line++;
    if (line <= skip || isComment?.(own) === true) continue;
    if (cells === undefined) {
      if (own === "") continue;
      [cells, first, text] = [new Cells(delimiter), line, own];
    }
    cells.read(own);
    if (cells.isOpen) continue;
    const { count } = cells;
    if (!cells.fit(names.length)) {
      found.push({
        line: first,
        cells: count,
        text: text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text,
      });
    }
    cells = undefined;
    if (found.length === UNEVEN.counted) break;
  }
  return found;
}

/**
 * The lines of a file of text that have more or fewer cells than the table has columns, by their numbers in the file; undefined where none
 * are found. DuckDB names the first alone, and its table of rejected lines takes the square of a line's length.
 * @throws FileError where the file cannot be read
 */
export async function unevenLines(
  path: string,
  encoding: string,
  dialect: Dialect,
): Promise<DataError | undefined> {
  const lines = await findUneven(path, encoding, dialect).catch((error: unknown) => {
    throw fileError(error, "read", path);
  });
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
