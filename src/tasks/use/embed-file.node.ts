import { randomUUID } from "node:crypto";
import { appendFile, open, readFile, rm, stat, truncate } from "node:fs/promises";
import { dirname, extname, join, resolve } from "node:path";
import { z } from "zod";
import type { CsvWriting } from "../../data/files/csv.ts";
import { fileError, isMissing, makeFolder, writeFileAtomic } from "../../data/files/files.node.ts";
import { describeHolder, FileLock } from "../../data/files/lock.node.ts";
import { npyHeader } from "../../data/files/npy.ts";
import { findAllImages } from "../../data/image/listing.node.ts";
import { shareOf } from "../../data/sources/shard.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { DataError, FileError, OptionError } from "../../errors.ts";
import { Interrupted } from "../../program/deadline.ts";
import { elementCount } from "../../tensor/array.ts";
import { besideSamples, tableInput } from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { checkExtension } from "../run/outputs.node.ts";
import { type EmbedOptions, embedRun, layerShape } from "./embed.node.ts";
import { rowsBeside } from "./shards.node.ts";

// Features of much data in a file: rows are kept beside it as they are computed, so that a run that is stopped goes on where it was.

const EXTENSIONS = [".parquet", ".npy", ".csv"] as const;

/** Columns of a table at most; more are for .npy. */
const MOST_COLUMNS = 16_384;

/** Checks before any work that features can be written under this name. @throws OptionError */
export function checkFeaturePath(path: string): void {
  checkExtension(path, EXTENSIONS);
}

/** How features are written. */
export interface EmbedFileOptions extends Omit<EmbedOptions, "from"> {
  readonly writing?: CsvWriting | undefined;
  /** Called after each batch with the rows that are done; `all` where it is known how many there will be. */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly all?: number;
    readonly resumed: number;
  }) => void;
  /** Stops after the batch; the rows so far are kept. */
  readonly signal?: AbortSignal | undefined;
}

/** What was written. */
export interface EmbedSummary {
  readonly path: string;
  /** Of .npy: a table with the file, or row, and the class of each row. */
  readonly rowsPath?: string;
  readonly rows: number;
  /** Of the features of a sample. */
  readonly shape: readonly number[];
  /** Rows that were there from an earlier, stopped run. */
  readonly resumed: number;
  /** False where it was stopped: the same command goes on from there. */
  readonly finished: boolean;
}

const record = z.object({ key: z.string(), rows: z.int().min(0), firstRow: z.int().min(0).default(0) });

/** What names a row: its file, where it has one, and its class. */
const rowName = z.tuple([z.string().nullable(), z.int().nullable()]);

/** Rows that were computed so far, in a folder beside the file that they go into. */
class PartialRows {
  private readonly folder: string;
  private readonly width: number;
  private readonly key: string;
  rows = 0;
  /** Number of the first row: of a shard, not 0. */
  firstRow = 0;

  constructor(folder: string, width: number, key: string) {
    this.folder = folder;
    this.width = width;
    this.key = key;
  }

  private file(name: string): string {
    return join(this.folder, name);
  }

  get features(): string {
    return this.file("features.f32");
  }

  /** Takes up what is there. @throws DataError where it is of another command; FileError */
  async begin(): Promise<void> {
    const text = await readFile(this.file("progress.json"), "utf8").catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw fileError(error, "read", this.folder);
    });
    if (text === undefined) {
      await makeFolder(this.folder).catch((error: unknown) => {
        throw fileError(error, "write", this.folder);
      });
      return this.save();
    }
    const { key, rows, firstRow } = this.parsed(text);
    if (rows === 0) {
      await this.remove();
      return this.begin();
    }
    if (key !== this.key) {
      throw new DataError(
        `${this.folder}: holds rows of another run, layer or data, which was stopped; delete it, or write into another file`,
      );
    }
    // What a kill has left behind the last whole batch is not counted.
    const held = await stat(this.features).catch(() => undefined);
    if ((held?.size ?? 0) < rows * this.width * 4) {
      throw new DataError(`${this.folder}: has fewer rows than it counts; delete it`);
    }
    await truncate(this.features, rows * this.width * 4);
    this.rows = rows;
    this.firstRow = firstRow;
    const names = await this.names();
    if (names.length < rows) throw new DataError(`${this.folder}: has fewer names than rows; delete it`);
    await writeFileAtomic(
      this.file("names.jsonl"),
      names.map((name) => `${JSON.stringify(name)}\n`).join(""),
    );
  }

  private parsed(text: string): z.output<typeof record> {
    try {
      return record.parse(JSON.parse(text));
    } catch {
      throw new DataError(`${this.folder}: its progress.json is damaged; delete the folder`);
    }
  }

  private save(): Promise<void> {
    return writeFileAtomic(
      this.file("progress.json"),
      `${JSON.stringify({ key: this.key, rows: this.rows, firstRow: this.firstRow })}\n`,
    );
  }

  async add(features: Float32Array, names: readonly z.output<typeof rowName>[]): Promise<void> {
    try {
      await appendFile(
        this.features,
        new Uint8Array(features.buffer, features.byteOffset, features.byteLength),
      );
      await appendFile(this.file("names.jsonl"), names.map((name) => `${JSON.stringify(name)}\n`).join(""));
    } catch (error) {
      throw fileError(error, "write", this.folder);
    }
    this.rows += names.length;
    await this.save();
  }

  /** Names of all rows that are counted. */
  async names(): Promise<readonly z.output<typeof rowName>[]> {
    const text = await readFile(this.file("names.jsonl"), "utf8").catch(() => "");
    const lines = text.split("\n").filter((line) => line !== "");
    return lines.slice(0, this.rows).map((line) => rowName.parse(JSON.parse(line)));
  }

  /** Rows in pieces. */
  async *pieces(): AsyncGenerator<Float32Array> {
    if (this.rows === 0) return;
    const file = await open(this.features, "r");
    const rows = Math.max(1, Math.floor((1 << 20) / this.width));
    try {
      for (let first = 0; first < this.rows; first += rows) {
        const piece = new Float32Array(Math.min(rows, this.rows - first) * this.width);
        const bytes = new Uint8Array(piece.buffer);
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await file.read(bytes, at, bytes.length - at);
          if (bytesRead === 0) throw new FileError(`${this.features}: ends too early`);
          at += bytesRead;
        }
        yield piece;
      }
    } finally {
      await file.close();
    }
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

/** How many samples will be read, where that is known beforehand. */
async function expectedRows(
  run: LoadedRun,
  source: string | undefined,
  split: NonNullable<EmbedOptions["split"]>,
): Promise<number | undefined> {
  if (source === undefined) return (await run.data()).splits[split].count;
  if ((await tableInput(source, run)) !== undefined) return undefined;
  const isFolder = (await stat(source).catch(() => undefined))?.isDirectory() === true;
  return isFolder ? (await findAllImages(source)).images.length : undefined;
}

/**
 * Writes the features of the samples of some data by the file's extension: .npy the array [count, …], with a table of the names of its rows beside it; .parquet
 * and .csv a table with the columns file or row, label where the data has classes, and f0, f1, … of the features in C order. A stopped run goes on
 * where it was when it is called again, and writes the same bytes.
 * @throws OptionError for another extension, a layer that there is not, or a map too large for a table; DataError; FileError
 */
export async function embedIntoFile(
  run: LoadedRun,
  source: string | undefined,
  path: string,
  options: EmbedFileOptions = {},
): Promise<EmbedSummary> {
  checkFeaturePath(path);
  const held = `${path}.partial`;
  await makeFolder(dirname(path)).catch((error: unknown) => {
    throw fileError(error, "write", path);
  });
  const taking = await FileLock.take(`${held}.lock`);
  if (taking.kind === "taken") {
    try {
      return await embedRows(run, source, { path, held }, options);
    } finally {
      await taking.lock.release();
    }
  }
  if (options.shard === undefined) {
    throw new DataError(
      `${path}: is being written by ${describeHolder(taking.holder)}; wait for it, or write into another file`,
    );
  }
  // A scheduler that has lost sight of a shard starts another process for it: each has rows of its own, and the later one to end replaces a part by the same.
  const apart = `${path}.${randomUUID().slice(0, 8)}.partial`;
  try {
    return await embedRows(run, source, { path, held: apart }, options);
  } finally {
    await rm(apart, { recursive: true, force: true });
  }
}

/** Where features go, and where rows are held until all are there. */
interface Target {
  readonly path: string;
  readonly held: string;
}

async function embedRows(
  run: LoadedRun,
  source: string | undefined,
  { path, held }: Target,
  { writing, onProgress, signal, ...options }: EmbedFileOptions,
): Promise<EmbedSummary> {
  const shape = layerShape(run, options);
  const width = elementCount(shape);
  const isArray = extname(path).toLowerCase() === ".npy";
  if (!isArray && width > MOST_COLUMNS) {
    throw new OptionError(
      `option out: ${width} features of a sample [${shape}] are too many columns; write .npy, or take --pool mean`,
    );
  }
  const { split = "test", seed = 0, layer = "code", pool = "none", shard } = options;
  const whole =
    source === undefined || (await tableInput(source, run)) !== undefined ? source : resolve(source);
  const key = JSON.stringify([
    resolve(run.folder.path),
    run.weightsStep,
    run.config.created,
    layer,
    pool,
    whole,
    split,
    seed,
    ...(shard === undefined ? [] : [shard.index, shard.count]),
  ]);
  const partial = new PartialRows(held, width, key);
  await partial.begin();
  const resumed = partial.rows;
  const rows = await expectedRows(run, source, split);
  const all = rows === undefined || shard === undefined ? rows : shareOf(shard, rows).count;
  const classes = run.config.dataInfo.classNames;
  const stopped = (): EmbedSummary => ({ path, rows: partial.rows, shape, resumed, finished: false });
  try {
    for await (const { features, files, labels, firstRow } of embedRun(run, source, {
      ...options,
      from: resumed,
    })) {
      if (partial.rows === 0) partial.firstRow = firstRow;
      const expected = partial.firstRow + partial.rows;
      if (firstRow !== expected) {
        throw new DataError(
          `${path}: row ${firstRow} follows row ${expected - 1}; the data has changed, delete ${held}`,
        );
      }
      const count = features.shape[0] ?? 0;
      await partial.add(
        features.data,
        Array.from({ length: count }, (_, i) => [files?.[i] ?? null, labels?.[i] ?? null]),
      );
      onProgress?.({ done: partial.rows, resumed, ...(all !== undefined && { all }) });
      if (signal?.aborted) return stopped();
    }
  } catch (error) {
    // The batch under way is computed again.
    if (error instanceof Interrupted && signal?.aborted) return stopped();
    if (partial.rows === 0) await partial.remove();
    throw error;
  }
  const names = await partial.names();
  // A part without rows has the columns of the others.
  const beside = names.length === 0 ? await besideSamples(run, source, { split, seed }) : undefined;
  const named = beside?.files ?? names.some(([file]) => file !== null);
  const labeled = beside?.labels ?? names.some(([, label]) => label !== null);
  const nameOf = (i: number): readonly (string | number)[] => {
    const [file = null, label = null] = names[i] ?? [];
    return [
      ...(named ? [file ?? ""] : [partial.firstRow + i]),
      ...(labeled ? [classes?.[label ?? -1] ?? String(label ?? "")] : []),
    ];
  };
  const heads = [named ? "file" : "row", ...(labeled ? ["label"] : [])];
  let rowsPath: string | undefined;
  if (isArray) {
    await writeFileAtomic(path, arrayBytes(partial, shape));
    rowsPath = rowsBeside(path);
    await writeTable(
      rowsPath,
      heads,
      names.map((_, i) => nameOf(i)),
      undefined,
      writing,
    );
  } else {
    const columns = Array.from({ length: width }, (_, i) => `f${i}`);
    const types = [
      named ? "VARCHAR" : "BIGINT",
      ...(labeled ? ["VARCHAR"] : []),
      ...columns.map(() => "FLOAT"),
    ];
    await writeTable(path, [...heads, ...columns], tableRows(partial, width, nameOf), types, writing);
  }
  await partial.remove();
  return {
    path,
    ...(rowsPath !== undefined && { rowsPath }),
    rows: partial.rows,
    shape,
    resumed,
    finished: true,
  };
}

async function* arrayBytes(partial: PartialRows, shape: readonly number[]): AsyncGenerator<Uint8Array> {
  yield npyHeader("float32", [partial.rows, ...shape]);
  for await (const piece of partial.pieces()) yield new Uint8Array(piece.buffer);
}

async function* tableRows(
  partial: PartialRows,
  width: number,
  nameOf: (row: number) => readonly (string | number)[],
): AsyncGenerator<readonly (string | number)[]> {
  let row = 0;
  for await (const piece of partial.pieces()) {
    for (let at = 0; at < piece.length; at += width)
      yield [...nameOf(row++), ...piece.subarray(at, at + width)];
  }
}
