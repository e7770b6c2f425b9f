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
