import { readFile } from "node:fs/promises";
import { DataError } from "../../errors.ts";
import { fileError } from "../files/files.node.ts";
import { type ColumnDeclaration, parseSchema } from "./columns/declare.ts";

/** A schema as options hold it: the path of a file, or what stands in it. */
type GivenSchema = string | { readonly eidos: "table schema"; readonly columns: readonly unknown[] };

/** What stands in a schema file, unchecked. @throws DataError where it is no JSON; FileError */
export async function schemaOf(given: GivenSchema): Promise<unknown> {
  if (typeof given !== "string") return given;
  const text = await readFile(given, "utf8").catch((error: unknown) => {
    throw fileError(error, "read the schema", given);
  });
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new DataError(`${given}: no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What a schema declares. @throws DataError naming every column at fault; FileError */
export async function readSchema(given: GivenSchema): Promise<readonly ColumnDeclaration[]> {
  return parseSchema(await schemaOf(given), typeof given === "string" ? given : "schema");
}
