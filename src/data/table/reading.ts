/** How files of text are read as tables; what is not said is found in each file. */
export interface ReadingOptions {
  /** Encoding of the text: utf-8, utf-16le, gb18030, windows-1252, … */
  readonly encoding?: string | undefined;
  /** What stands between cells. */
  readonly delimiter?: string | undefined;
  /** The decimal mark. */
  readonly decimal?: "." | "," | undefined;
  /** The mark between thousands. */
  readonly thousands?: "," | "." | "'" | " " | undefined;
  /** Whether the first line is names. */
  readonly header?: boolean | undefined;
  /** Texts that are gaps, beside those that always are. */
  readonly missing?: readonly string[] | undefined;
}

/** What of some options says how files are read. */
export function readingOf(options: ReadingOptions): ReadingOptions {
  const { encoding, delimiter, decimal, thousands, header, missing } = options;
  return { encoding, delimiter: delimiter === "tab" ? "\t" : delimiter, decimal, thousands, header, missing };
}
