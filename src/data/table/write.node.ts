import { rm } from "node:fs/promises";
import { extname } from "node:path";
import { EidosError, FileError, OptionError } from "../../errors.ts";
import { fileError, replaceFile, writeFileAtomic } from "../files/files.node.ts";
import type { Cell } from "../sources/columns.ts";
import { quoteFile, quoteName, quoteText, withDuckDb } from "./duckdb.node.ts";

/** Rows of cells; null is a missing one. */
type CellRows = Iterable<readonly (Cell | null)[]> | AsyncIterable<readonly (Cell | null)[]>;

/** A cell as RFC 4180 writes it; text is always quoted in `quoteAll`, so that an empty text is not a missing value. */
function csvCell(cell: Cell | null, quoteAll: boolean): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  return quoteAll || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

async function* csvLines(names: readonly string[], rows: CellRows, quoteAll = false): AsyncGenerator<string> {
  yield `${names.map((name) => csvCell(name, quoteAll)).join(",")}\n`;
  let lines: string[] = [];
  for await (const row of rows) {
    lines.push(`${row.map((cell) => csvCell(cell, quoteAll)).join(",")}\n`);
    if (lines.length === 1024) {
      yield lines.join("");
      lines = [];
    }
  }
  if (lines.length > 0) yield lines.join("");
}

/**
 * Writes a table as `.csv` or `.parquet`, by the path's extension, in one step (see `replaceFile`) and in constant
 * memory. In Parquet, a column is text or double by its first row, unless its type is given.
 * @param types of columns in Parquet as SQL has them; of CSV files they are of no matter
 * @throws OptionError for another extension, FileError where the file cannot be written, MissingPackageError where
 * Parquet is asked for and DuckDB is not installed.
 */
export async function writeTable(
  path: string,
  names: readonly string[],
  rows: CellRows,
  types?: readonly string[],
): Promise<void> {
  const extension = extname(path).toLowerCase();
  if (extension === ".csv") return writeFileAtomic(path, csvLines(names, rows));
  if (extension !== ".parquet") {
    throw new OptionError(
      `${path}: a table is written as .csv or .parquet; give the file one of these names`,
    );
  }
  let first: readonly (Cell | null)[] = [];
  const watched = async function* () {
    for await (const row of rows) {
      if (first.length === 0) first = row;
      yield row;
    }
  };
  await replaceFile(path, async (temporary) => {
    const text = `${temporary}.csv`;
    try {
      await writeFileAtomic(text, csvLines(names, watched(), true));
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
