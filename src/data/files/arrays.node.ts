import { DataError } from "../../errors.ts";
import { readSafetensors, writeSafetensors } from "../../nn/safetensors.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Pairs } from "../sources/views.ts";
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

/**
 * Writes pairs as a safetensors file of the arrays `x`, `source` and, where there are classes, `label`.
 * @param origin how they were drawn; kept in the file
 * @throws FileError
 */
export async function writePairs(
  path: string,
  { x, source, label }: Pairs,
  origin: Readonly<Record<string, string>>,
): Promise<void> {
  const tensors = new Map<string, NdArray>([
    ["x", x],
    ["source", source],
    ...(label === undefined ? [] : ([["label", label]] as const)),
  ]);
  await writeFileAtomic(path, writeSafetensors(tensors, origin));
}

/** Pairs of a file, and how they were drawn. @throws DataError, FileError, WeightsError naming the file */
export async function readPairs(
  path: string,
): Promise<{ readonly pairs: Pairs; readonly origin: Readonly<Record<string, string>> }> {
  const { tensors, metadata } = readSafetensors(await readBytes(path), path);
  const [x, source, label] = ["x", "source", "label"].map((name) => tensors.get(name));
  if (x?.dtype !== "float32" || source?.dtype !== "float32" || (label && label.dtype !== "int64")) {
    throw new DataError(`${path} holds no pairs; eidos reflow draws them`);
  }
  return {
    pairs: {
      x: x as NdArray<"float32">,
      source: source as NdArray<"float32">,
      ...(label && { label: label as NdArray<"int64"> }),
    },
    origin: metadata,
  };
}
