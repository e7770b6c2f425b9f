import { createReadStream } from "node:fs";
import { DataError } from "../../errors.ts";
import { fileError } from "../files/files.node.ts";

/** Arrays and objects within each other, more than any table has. DuckDB's reader ends the process at some tens of thousands. */
const DEEPEST = 1000;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...'"\\[]{}'].map((c) =>
  c.charCodeAt(0),
);

/**
 * Looks through a JSON file, or one of JSON lines, for values that are nested too deeply to be read safely.
 * @throws DataError where they are, FileError where the file cannot be read
 */
export async function refuseDeepJson(path: string): Promise<void> {
  let depth = 0;
  let quoted = false;
  let escaped = false;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
      for (const byte of chunk) {
        if (escaped) escaped = false;
        else if (quoted && byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) quoted = !quoted;
        else if (!quoted && (byte === OPEN_LIST || byte === OPEN_OBJECT)) depth++;
        else if (!quoted && (byte === CLOSE_LIST || byte === CLOSE_OBJECT)) depth--;
        if (depth > DEEPEST) {
          throw new DataError(
            `${path}: arrays or objects are nested more than ${DEEPEST} deep; give a table of plain cells`,
          );
        }
      }
    }
  } catch (error) {
    throw error instanceof DataError ? error : fileError(error, "read", path);
  }
}
