import type { DataError } from "../../../errors.ts";
import { quoteFile, quoteText } from "../database.node.ts";
import type { ReadingOptions } from "../reading.ts";
import type { TableSourceColumn } from "../rows.node.ts";
import { findDialect } from "./dialect.ts";
import { copyAsUtf8, findEncoding, firstText, namedEncoding } from "./encoding.node.ts";
import { unevenLines } from "./uneven.node.ts";

/** A file of text as DuckDB reads it. */
interface CsvSource {
  /** What follows `from` in a query; every column is text. */
  readonly from: string;
  readonly columns: readonly TableSourceColumn[];
  readonly delimiter: string;
  /** The files that are read. */
  readonly paths: readonly string[];
  /** Lines for a person on what was found, guessed or left out. */
  readonly notes: readonly string[];
  /** What is wrong with lines of more or fewer cells than there are columns; undefined where there are none. */
  uneven(): Promise<DataError | undefined>;
  /** Removes what was made for reading it. */
  remove(): Promise<void>;
}

/**
 * Finds out how to read a file of text. DuckDB's own guessing of dialects may leave out lines that do not fit, so everything is given. A file that is
 * not in UTF-8, or has comments amid its lines, is read from a copy.
 * @param binary whether the cells are zeros and ones
 * @throws DataError, FileError
 */
export async function openCsv(path: string, reading: ReadingOptions, binary: boolean): Promise<CsvSource> {
  const named = reading.encoding === undefined ? undefined : namedEncoding(reading.encoding);
  const { encoding, isGuess } =
    named === undefined ? await findEncoding(path) : { encoding: named, isGuess: false };
  const { text, whole } = await firstText(path, encoding);
  const dialect = findDialect(text, whole, path, { ...reading, binary });
  const { delimiter, header, names, unnamed, skip, isComment } = dialect;
  const notes: string[] = [];
  if (encoding !== "utf-8" && named === undefined) {
    notes.push(
      `read as ${encoding}${isGuess ? ", the likeliest encoding of its bytes; --encoding names another" : ""}`,
    );
  }
  notes.push(...dialect.notes);
  const isCopied = encoding !== "utf-8" || isComment !== undefined;
  const copy = isCopied ? await copyAsUtf8(path, encoding, isComment, skip) : undefined;
  if (copy !== undefined && copy.leftOut > 0) {
    notes.push(
      `${copy.leftOut} comment line${copy.leftOut === 1 ? "" : "s"} amid the table left out (${JSON.stringify(copy.example?.slice(0, 60))})`,
    );
  }
  const file = copy?.path ?? path;
  const columns = names.map((name) => `${quoteText(name)}: 'VARCHAR'`).join(", ");
  return {
    from:
      `read_csv(${quoteFile(file)}, auto_detect = false, hive_partitioning = false, header = ${header}, skip = ${skip}, delim = ${quoteText(delimiter)}, ` +
      `quote = '"', escape = '"', nullstr = '', columns = {${columns}})`,
    columns: names.map((name, i) => ({
      name,
      type: "VARCHAR",
      ...(unnamed[i] === true && { unnamed: true }),
    })),
    delimiter,
    paths: [file],
    notes,
    uneven: () => unevenLines(path, encoding, dialect),
    remove: async () => copy?.remove(),
  };
}
