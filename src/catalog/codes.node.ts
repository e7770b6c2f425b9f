import { extname } from "node:path";
import { readNpy, writeNpy } from "../data/files/arrays.node.ts";
import type { Column } from "../data/sources/columns.ts";
import { columnNames, streamTable } from "../data/table/stream.node.ts";
import { writeTable } from "../data/table/write.node.ts";
import { DataError, OptionError } from "../errors.ts";
import { float32, type NdArray } from "../tensor/array.ts";

/** How codes may be written and read. */
const CODE_EXTENSIONS = [".npy", ".csv", ".parquet"] as const;

/** Checks before any work that codes can be written, or read, under this name. @throws OptionError */
export function checkCodePath(path: string, option: string): void {
  if (!CODE_EXTENSIONS.some((known) => known === extname(path).toLowerCase())) {
    throw new OptionError(`${option}: ${path} must end in ${CODE_EXTENSIONS.join(", ")}`);
  }
}

/** Codes of consecutive samples. */
export interface CodeBatch {
  readonly firstRow: number;
  /** [count, dimensions]. */
  readonly z: NdArray<"float32">;
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
}

/**
 * Writes codes by the file's extension: .npy the array [count, dimensions], .csv and .parquet a table with the columns
 * z0, z1, … and, for images of a folder, file.
 * @returns how many there were
 * @throws OptionError for another extension; FileError
 */
export async function writeCodes(path: string, batches: AsyncIterable<CodeBatch>): Promise<number> {
  checkCodePath(path, "option out");
  let count = 0;
  if (extname(path).toLowerCase() === ".npy") {
    const parts: NdArray<"float32">[] = [];
    for await (const { z } of batches) parts.push(z);
    const width = parts[0]?.shape[1] ?? 0;
    count = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    const data = new Float32Array(count * width);
    let at = 0;
    for (const part of parts) {
      data.set(part.data, at);
      at += part.data.length;
    }
    await writeNpy(path, float32(data, [count, width]));
    return count;
  }
  const iterator = batches[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) throw new OptionError("there is nothing to encode");
  const { z, files } = first.value;
  const names = Array.from({ length: z.shape[1] ?? 0 }, (_, i) => `z${i}`);
  async function* rows() {
    for (let batch = first; !batch.done; batch = await iterator.next()) {
      const { z, files } = batch.value;
      const [held = 0, width = 0] = z.shape;
      for (let row = 0; row < held; row++, count++) {
        const code = z.data.subarray(row * width, (row + 1) * width);
        yield [...(files === undefined ? [] : [files[row] ?? ""]), ...code];
      }
    }
  }
  await writeTable(path, files === undefined ? names : ["file", ...names], rows());
  return count;
}

/**
 * Reads codes as `writeCodes` writes them: [count, dimensions].
 * @throws DataError where the file is missing, cannot be read or holds codes of another length
 */
export async function readCodes(path: string, dimensions: number): Promise<NdArray<"float32">> {
  checkCodePath(path, "codes");
  const wrong = (found: string) =>
    new DataError(`${path}: ${found}; codes of this run are rows of ${dimensions} numbers`);
  if (extname(path).toLowerCase() === ".npy") {
    const { data, shape, dtype } = await readNpy(path);
    if (shape.length !== 2 || shape[1] !== dimensions) throw wrong(`has shape [${shape}]`);
    if (dtype === "int64") throw wrong("holds whole numbers (int64)");
    return float32(Float32Array.from(data as Float32Array | Float64Array | Uint8Array), shape);
  }
  const names = (await columnNames({ path })).filter((name) => name !== "file");
  if (names.length !== dimensions) throw wrong(`has ${names.length} columns`);
  const columns = names.map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 }));
  const parts: Float32Array[] = [];
  for await (const { x } of streamTable({ path }, columns)) parts.push(x.data);
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return float32(data, [data.length / dimensions, dimensions]);
}
