import { open, stat } from "node:fs/promises";
import { extname } from "node:path";
import { z } from "zod";
import { MOST } from "../../bounds.ts";
import {
  FILE_KINDS,
  fileError,
  readRegularFile,
  replaceFile,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { npyHeader, readNpyHeader } from "../../data/files/npy.ts";
import { quoteFile, quoteText, withDuckDb } from "../../data/table/database.node.ts";
import { DataError, OptionError } from "../../errors.ts";
import { type DetectionPart, DetectionWriter, readCocoIds, unknownLines } from "./detect.node.ts";
import { rowsBeside, ShardFolder } from "./shards.node.ts";

// The parts of shards as the one file that a single process would have written.

/** What was merged. */
export interface MergeSummary {
  readonly path: string;
  readonly parts: number;
  /** Of tables and arrays. */
  readonly rows?: number;
  /** Of detections. */
  readonly images?: number;
  /** Lines for a person. */
  readonly notes: readonly string[];
}

/** Parts that are named in a message. */
const NAMED = 8;

/**
 * Joins the parts of a folder, in their order: tables and arrays into one file of the same extension, detections into detections.json, coco.json and
 * coco-results.json beside the parts. The parts stay.
 * @param out of tables and arrays, the file to write
 * @throws DataError where parts are missing, or no parts of one work; OptionError where the file has another extension; FileError; MissingPackageError
 * where parts are Parquet and DuckDB is not installed
 */
export async function mergeShards(path: string, out?: string): Promise<MergeSummary> {
  const folder = await ShardFolder.open(path);
  const { kind, count, extension } = folder.record;
  const missing = await folder.missing();
  if (missing.length > 0) {
    const more = missing.length > NAMED ? `, and ${missing.length - NAMED} more` : "";
    throw new DataError(
      `${path}: ${missing.length} of ${count} parts are missing: shards ${missing.slice(0, NAMED).join(", ")}${more}; run these again`,
    );
  }
  const parts = Array.from({ length: count }, (_, index) => folder.part(index));
  if (kind === "detections") {
    if (out !== undefined) {
      throw new OptionError(`option out: detections are merged within their folder, ${path}; leave it out`);
    }
    return mergeDetections(folder, parts);
  }
  if (out === undefined || extname(out).toLowerCase() !== extension) {
    throw new OptionError(`option out: give a file that ends in ${extension}, as the parts do`);
  }
  if (extension === ".parquet")
    return { path: out, parts: count, rows: await mergeParquet(parts, out), notes: [] };
  if (extension === ".csv") {
    await writeFileAtomic(out, joinedLines(parts));
    return { path: out, parts: count, notes: [] };
  }
  const rows = await mergeArrays(parts, out);
  if (folder.record.work.command === "embed") {
    await writeFileAtomic(rowsBeside(out), joinedLines(parts.map(rowsBeside)));
  }
  return { path: out, parts: count, rows, notes: [] };
}

async function mergeParquet(parts: readonly string[], out: string): Promise<number> {
  let rows = 0;
  const all = `read_parquet([${parts.map(quoteFile).join(", ")}], hive_partitioning = false)`;
  await replaceFile(out, async (temporary) => {
    try {
      await withDuckDb(async (connection) => {
        await connection.run(`copy (select * from ${all}) to ${quoteText(temporary)} (format parquet)`);
        rows = Number((await connection.runAndReadAll(`select count(*) from ${all}`)).getRows()[0]?.[0]);
      });
    } catch (error) {
      if (!(error instanceof Error) || "code" in error) throw error;
      throw new DataError(`cannot merge into ${out}: ${error.message.split("\n")[0]}`, { cause: error });
    }
  });
  return rows;
}

/** Bytes that are read at once. */
const PIECE = 1 << 20;

/** Bytes of a file from a position on. */
async function* bytesFrom(path: string, from: number): AsyncGenerator<Uint8Array> {
  try {
    const file = await open(path, "r");
    try {
      for (let at = from; ; ) {
        const piece = new Uint8Array(PIECE);
        const { bytesRead } = await file.read(piece, 0, PIECE, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield piece.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, "read", path);
  }
}

/** The first line of a table, in which names in quotes may hold ends of lines: its bytes, with the end. */
async function headOf(path: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let quoted = false;
  for await (const piece of bytesFrom(path, 0)) {
    for (const [i, byte] of piece.entries()) {
      if (byte === 0x22) quoted = !quoted;
      if (byte === 0x0a && !quoted) return Buffer.concat([...pieces, piece.subarray(0, i + 1)]);
    }
    pieces.push(piece);
  }
  throw new DataError(`${path}: has no first line; delete the part, and run its shard again`);
}

/** Tables of the same columns, one after another. @throws DataError where the names of columns differ */
async function* joinedLines(parts: readonly string[]): AsyncGenerator<Uint8Array> {
  let first: Uint8Array | undefined;
  for (const path of parts) {
    const head = await headOf(path);
    if (first === undefined) yield head;
    else if (Buffer.compare(first, head) !== 0) {
      throw new DataError(`${path}: has other columns than ${parts[0]}; delete the folder, and begin anew`);
    }
    first ??= head;
    yield* bytesFrom(path, head.length);
  }
}

/** Bytes in which the header of an array is looked for. */
const HEADER = 4096;

async function mergeArrays(parts: readonly string[], out: string): Promise<number> {
  const headers: {
    readonly path: string;
    readonly start: number;
    readonly rows: number;
    readonly own: readonly number[];
  }[] = [];
  for (const path of parts) {
    const head = await readRegularFile(path, { ...FILE_KINDS.array, head: HEADER });
    const { start, shape, itemSize } = readNpyHeader(head, path);
    const [rows = 0, ...own] = shape;
    const bytes = rows * own.reduce((product, side) => product * side, itemSize);
    const { size } = await stat(path);
    if (size !== start + bytes) {
      throw new DataError(
        `${path}: has ${size - start} bytes of values where its shape takes ${bytes}; delete it, and run its shard again`,
      );
    }
    headers.push({ path, start, rows, own });
  }
  const [first] = headers;
  const other = headers.find(({ own }) => own.join() !== first?.own.join());
  if (first === undefined || other !== undefined) {
    throw new DataError(`${other?.path}: is of shape [${other?.own}], ${first?.path} of [${first?.own}]`);
  }
  const rows = headers.reduce((sum, header) => sum + header.rows, 0);
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield npyHeader("float32", [rows, ...(first?.own ?? [])]);
    for (const { path, start } of headers) yield* bytesFrom(path, start);
  }
  await writeFileAtomic(out, bytes());
  return rows;
}

const pair = z.tuple([z.number(), z.number()]);

const detectionPart = z.object({
  classes: z.array(z.string()).max(MOST.names),
  images: z.array(
    z.object({
      name: z.string(),
      width: z.number(),
      height: z.number(),
      cut: z.boolean(),
      picture: z.string().optional(),
      found: z.array(
        z.object({
          class: z.int().min(0),
          score: z.number(),
          box: z.tuple([z.number(), z.number(), z.number(), z.number()]),
          landmarks: z.array(pair).optional(),
        }),
      ),
    }),
  ),
  unreadable: z.array(z.object({ name: z.string(), reason: z.string() })),
});

async function readPart(path: string): Promise<DetectionPart> {
  const bytes = await readRegularFile(path, FILE_KINDS.annotations);
  try {
    const { images, ...part } = detectionPart.parse(JSON.parse(new TextDecoder().decode(bytes)));
    return {
      ...part,
      images: images.map(({ picture, found, ...image }) => ({
        ...image,
        found: found.map(({ landmarks, ...object }) => ({ ...object, ...(landmarks && { landmarks }) })),
        ...(picture !== undefined && { picture }),
      })),
    };
  } catch {
    throw new DataError(`${path}: is damaged; delete it, and run its shard again`);
  }
}

async function mergeDetections(folder: ShardFolder, paths: readonly string[]): Promise<MergeSummary> {
  const { about = {}, coco } = folder.record.work as {
    readonly about?: Readonly<Record<string, unknown>>;
    readonly coco?: string;
  };
  const [first, ...others] = paths;
  if (first === undefined) throw new DataError(`${folder.path}: has no parts`);
  const part = await readPart(first);
  const writer = new DetectionWriter(
    folder.path,
    part,
    coco === undefined ? undefined : await readCocoIds(coco),
  );
  writer.restore(part);
  for (const path of others) writer.restore(await readPart(path));
  const { images, unreadable } = writer.part();
  if (images.length === 0 && unreadable.length > 0) {
    throw new DataError(
      `none of ${unreadable.length} images can be read; the last: ${unreadable.at(-1)?.reason}`,
    );
  }
  const written = await writer.finish(about);
  return {
    path: folder.path,
    parts: paths.length,
    images: images.length,
    notes: unknownLines(written, coco),
  };
}
