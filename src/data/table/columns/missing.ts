/**
 * Cells that are gaps in every table and for every command, white space around them apart: nothing, and what R, pandas, SQL, spreadsheets and
 * the UCI repository write. Case counts: `Na` may be sodium.
 */
export const MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "NaN", "nan", "?"] as const;

/** A test for gaps. @param added texts that are gaps as well, in this data */
export function missingTest(added: readonly string[] = []): (text: string | null | undefined) => boolean {
  const all = new Set<string>([...MISSING, ...added.map((text) => text.trim())]);
  return (text) => text === null || text === undefined || all.has(text.trim());
}

/** The white space that JavaScript's `trim` takes off. */
const WHITE =
  "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff";

/** A text without white space around it, as `trim` of JavaScript has it: the one of SQL takes spaces alone. */
export const sqlTrimmed = (text: string): string => `trim(${text}, '${WHITE}')`;
