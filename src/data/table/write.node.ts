import { rm } from "node:fs/promises";
import { extname } from "node:path";
import { DataError, EidosError, FileError, OptionError } from "../../errors.ts";
import { CsvLines, type CsvWriting, csvText } from "../files/csv.ts";
import { fileError, replaceFile, writeFileAtomic } from "../files/files.node.ts";
import type { Cell } from "../sources/columns.ts";
import { quoteFile, quoteName, quoteText, withDuckDb } from "./database.node.ts";

/** Rows of cells; null is a missing one. */
type CellRows = Iterable<readonly (Cell | null)[]> | AsyncIterable<readonly (Cell | null)[]>;

/** Half of a surrogate pair, which no UTF-8 file can hold. */
const HALF = /\p{Surrogate}/u;

/** @throws DataError where a text cannot be written as UTF-8 and read again */
function checkText(path: string, text: string, place: () => string): void {
  if (!HALF.test(text)) return;
  throw new DataError(
    `${path}: ${place()}, ${shown(text)}, holds half of a character, which no file can; correct it in the data`,
  );
}

/** A text as messages quote it. */
function shown(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 80 ? `${quoted.slice(0, 80)}…` : quoted;
}

/** The rows, whose texts are checked as they come. */
async function* checked(
  path: string,
  names: readonly string[],
  rows: CellRows,
): AsyncGenerator<readonly (Cell | null)[]> {
  for (const [i, name] of names.entries()) {
    checkText(path, name, () => `the name of column ${i + 1}`);
    if (name.includes("\0") || name.startsWith("\ufeff")) {
      throw new DataError(
        `${path}: the name of column ${i + 1}, ${shown(name)}, holds a NUL character or begins with a byte order mark, with which no table can be read; rename it`,
      );
    }
  }
  let position = 0;
  for await (const row of rows) {
    position++;
    for (const [i, cell] of row.entries()) {
      if (typeof cell === "string")
        checkText(path, cell, () => `row ${position}, column ${shown(names[i] ?? "")}`);
    }
    yield row;
  }
}

/** Lines joined into pieces that are worth writing. */
async function* pieces(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let held: string[] = [];
  for await (const line of lines) {
    held.push(line);
    if (held.length === 1024) {
      yield held.join("");
      held = [];
    }
  }
  if (held.length > 0) yield held.join("");
}

/** A table as a CSV file has it. */
async function* csvLines(
  lines: CsvLines,
  rows: AsyncIterable<readonly (Cell | null)[]>,
): AsyncGenerator<string> {
  yield `${lines.head()}\n`;
  for await (const row of rows) yield `${lines.row(row)}\n`;
}

/** A table for DuckDB: every text is quoted, so that an empty one is not a missing value. */
async function* quotedLines(
  names: readonly string[],
  rows: AsyncIterable<readonly (Cell | null)[]>,
): AsyncGenerator<string> {
  const quoted = (cell: Cell | null) =>
    cell === null ? "" : typeof cell === "number" ? String(cell) : csvText(cell, true);
  yield `${names.map(quoted).join()}\n`;
  for await (const row of rows) yield `${row.map(quoted).join()}\n`;
}

/**
 * Writes a table as `.csv` or `.parquet`, by the path's extension, in one step (see `replaceFile`) and in constant
 * memory. In Parquet, a column is text or double by its first row, unless its type is given. In CSV, texts that a spreadsheet would
 * take for formulas, names of columns among them, are marked by an apostrophe in front unless `csvSafe` is false.
 * @param types of columns in Parquet as SQL has them; of CSV files they are of no matter
 * @throws OptionError for another extension; DataError where the format cannot hold a text, naming row and column; FileError where the
 * file cannot be written; MissingPackageError where Parquet is asked for and DuckDB is not installed.
 */
export async function writeTable(
  path: string,
  names: readonly string[],
  rows: CellRows,
  types?: readonly string[],
  writing: CsvWriting = {},
): Promise<void> {
  const extension = extname(path).toLowerCase();
  if (extension === ".csv") {
    const lines = new CsvLines(names, writing);
    await writeFileAtomic(path, pieces(csvLines(lines, checked(path, names, rows))));
    if (lines.marked !== undefined) writing.onMarked?.(lines.marked);
    return;
  }
  if (extension !== ".parquet") {
    throw new OptionError(
      `${path}: a table is written as .csv or .parquet; give the file one of these names`,
    );
  }
  let first: readonly (Cell | null)[] = [];
  const watched = async function* () {
    for await (const row of checked(path, names, rows)) {
      if (first.length === 0) first = row;
      yield row;
    }
  };
  await replaceFile(path, async (temporary) => {
    const text = `${temporary}.csv`;
    try {
      await writeFileAtomic(text, pieces(quotedLines(names, watched())));
      const columns = names.map(
        (name, i) =>
          `${quoteText(name)}: ${quoteText(types?.[i] ?? (typeof first[i] === "string" ? "VARCHAR" : "DOUBLE"))}`,
      );
      const read = `read_csv(${quoteFile(text)}, auto_detect = false, header = true, columns = {${columns.join(", ")}}, quote = '"', escape = '"', allow_quoted_nulls = false)`;
      await withDuckDb((connection) =>
        connection.run(
          `copy (select ${names.map(quoteName).join(", ")} from ${read}) to ${quoteText(temporary)} (format parquet)`,
        ),
      );
    } catch (error) {
      // The table is written through a CSV file beside it, which errors do not mention.
      if (error instanceof FileError && error.cause !== undefined)
        throw fileError(error.cause, "write", path);
      if (error instanceof EidosError || !(error instanceof Error) || "code" in error) throw error;
      throw new FileError(`cannot write ${path}: ${error.message.split("\n")[0]}`, { cause: error });
    } finally {
      await rm(text, { force: true });
    }
  });
}
