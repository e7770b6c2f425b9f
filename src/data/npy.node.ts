import type { NdArray } from "../tensor/array.ts";
import { readBytes, writeFileAtomic } from "./files.node.ts";
import { decodeNpy, encodeNpy } from "./npy.ts";

/**
 * Writes an array as a `.npy` file, in one step.
 * @throws FileError where the file cannot be written.
 */
export function writeNpy(path: string, array: NdArray): Promise<void> {
  return writeFileAtomic(path, encodeNpy(array));
}

/**
 * Reads a `.npy` file.
 * @throws DataError where it is missing or no readable `.npy` file, FileError where it cannot be read.
 */
export async function readNpy(path: string): Promise<NdArray> {
  return decodeNpy(await readBytes(path), path);
}
