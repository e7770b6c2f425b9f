import { join } from "node:path";
import { DataError } from "../errors.ts";
import { type DetectionFiles, readHead, readText } from "./detection-files.node.ts";
import { reasonOf } from "./detection-image.node.ts";

/** A file that holds JSON, and what it holds. */
export interface JsonFile {
  /** Path below the root of the data set. */
  readonly file: string;
  readonly value: unknown;
}

/** Reads a file of JSON. @throws DataError where it is none */
export async function readJson(root: string, file: string): Promise<JsonFile> {
  const text = await readText(join(root, file), file);
  try {
    return { file, value: JSON.parse(text) };
  } catch (error) {
    throw new DataError(`${file}: not valid JSON (${reasonOf(error)})`, { cause: error });
  }
}

/** A larger file is read only where its beginning is that of annotations, in bytes. */
const SMALL = 16e6;

async function mayBeAnnotations(path: string): Promise<boolean> {
  const { text, size } = await readHead(path);
  return (
    size < SMALL ||
    /^\s*(\{\s*"(info|licenses|images|annotations|categories|type)"|\[\s*\{\s*"(image|annotations)")/.test(
      text,
    )
  );
}

/**
 * The JSON files in which annotations may be: at the root, in `annotations`, or in a folder beside images; one that does not
 * parse is left out unless it is named as annotations are.
 * @throws DataError
 */
export async function findJson({ root, all }: DetectionFiles): Promise<readonly JsonFile[]> {
  const found: JsonFile[] = [];
  for (const file of all) {
    if (!/^([^/]+\/){0,2}[^/]+\.json$/i.test(file) || !(await mayBeAnnotations(join(root, file)))) continue;
    try {
      found.push(await readJson(root, file));
    } catch (error) {
      if (/annotations|instances/i.test(file)) throw error;
    }
  }
  return found;
}
