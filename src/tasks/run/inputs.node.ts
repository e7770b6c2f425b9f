import { stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { z } from "zod";
import { isImagePath } from "../../data/boxes/formats/paths.node.ts";
import { DataFolder, listBelow } from "../../data/files/data-folder.node.ts";
import { refuseOddity } from "../../data/files/files.node.ts";
import { ImageChanges } from "../../data/image/changes.node.ts";
import type { ImageFormat } from "../../data/image/format.ts";
import { streamImages } from "../../data/image/stream.node.ts";
import type { PhotoImage } from "../../data/index.ts";
import { openData } from "../../data/open.node.ts";
import { binarizeImages } from "../../data/sources/binarize.ts";
import { type Column, columnsSchema } from "../../data/sources/columns.ts";
import { type DataSet, isPicture, range, type Split, type SplitName } from "../../data/sources/data-set.ts";
import { gatherSource } from "../../data/sources/gather.ts";
import type { DataSource } from "../../data/sources/memory.ts";
import {
  asRows,
  checkedData,
  describeSource,
  type PlainImages,
  type PlainSource,
} from "../../data/sources/memory.ts";
import { bitsSchema, dataOptionsSchema, valueRangeSchema } from "../../data/sources/options.ts";
import { SHARD_BLOCK, type Shard, shareOf } from "../../data/sources/shard.ts";
import { isQuery, isTablePath } from "../../data/table/duckdb.node.ts";
import type { TableInput } from "../../data/table/input.node.ts";
import { findSplitTables } from "../../data/table/parts.node.ts";
import { isChoice } from "../../data/table/query.node.ts";
import { readingOf } from "../../data/table/reading.ts";
import { streamTable } from "../../data/table/stream.node.ts";
import { DataError, OptionError } from "../../errors.ts";
import { checkNames, type NamesOf, parseOptions } from "../../options.ts";
import { printable } from "../../printable.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";
import type { LoadedRun } from "./load.node.ts";
import { asInRun } from "./run-data.node.ts";
import { queryTrust } from "./trust.node.ts";

/** Samples that are read at once, and done in one run of a program. */
export const SOURCE_BATCH = SHARD_BLOCK;

/** The rows of a program for so many samples: the next power of two, so that few programs serve any number, and few samples take little time. */
export function fewRows(count: number): number {
  return Math.min(SOURCE_BATCH, 2 ** Math.ceil(Math.log2(Math.max(1, count))));
}

/** Consecutive samples of some data, as a run's model sees them. */
export interface SourceBatch {
  readonly x: NdArray<"float32">;
  readonly firstRow: number;
  /** By which the noise of a batch is chosen: `firstRow`, of images the position of the first among all, readable or not. */
  readonly position: number;
  /** Classes of the samples, where they are known and asked for. */
  readonly label?: NdArray<"int64">;
  /** What a column of zeros and ones holds, where one is asked for. */
  readonly marks?: Uint8Array;
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
}

/** What of some data is read. */
export interface SourceOptions {
  /** Seed of the noise that categories are dequantized with. */
  readonly seed?: number;
  /** The split to read, where the data has splits; default: test. */
  readonly split?: SplitName;
  /** A column of a table that holds 0 or 1. */
  readonly marks?: string | undefined;
  /** Whether the classes of samples are read too. */
  readonly labels?: boolean;
  /** Reads the samples of a shard alone. */
  readonly shard?: Shard | undefined;
  /** Called with the path of each image that cannot be read, and is left out, and the reason. */
  readonly onUnreadable?: (file: string, reason: string) => void;
}

/** Data to work on: a name, path or query, or data in memory (`rows(…)`, `images(…)`, `points(…)`). */
export type Source = string | DataSource;

/** A source whose items, where they come bit by bit, have been gathered. */
export type GatheredSource = string | PlainSource;

/** Gathers what comes bit by bit. @throws DataError where items are not what they should be */
export async function gathered(source: Source | undefined): Promise<GatheredSource | undefined> {
  const given = source === undefined ? undefined : checkedData(source);
  return typeof given === "object" ? gatherSource(given) : given;
}

/** What messages call a source. */
export function sourceName(source: GatheredSource): string {
  return typeof source === "string" ? source : describeSource(source);
}

/**
 * The table that a source is or names: rows, points, a file or a query; undefined for other data. A file is read by the rules of the run's data.
 * A query that computes columns of the run's file is put to it as well; one that only chose rows or columns of it is not.
 */
export async function tableInput(
  source: GatheredSource | undefined,
  run: LoadedRun,
): Promise<TableInput | undefined> {
  if (source === undefined) return undefined;
  if (typeof source === "object") {
    if (source.kind === "points") return asRows(source);
    return source.kind === "rows" ? source : undefined;
  }
  if (isQuery(source)) return { sql: source };
  if (!isTablePath(source)) return undefined;
  const { data, dataOptions } = run.config;
  // An imported run has options of images.
  const options = dataOptionsSchema.safeParse(dataOptions);
  if (!options.success) return { path: source };
  const { sql } = options.data;
  const reading = readingOf(options.data);
  // A query in place of the data, or without it, names its own files.
  if (sql === undefined || data === "" || isQuery(data) || (await isChoice(sql))) {
    return { path: source, reading };
  }
  return { path: source, reading, sql, ...queryTrust(run.source.trust) };
}

/** How the images of a run's data are decoded; `asSeen` makes of their bytes what the model sees. */
export function imageFormat({
  dataInfo: { sampleShape },
  dataOptions,
}: Pick<RunConfig, "dataInfo" | "dataOptions">): ImageFormat {
  const [channels, size = 1] = sampleShape;
  const { bits, valueRange } = parseOptions("data", readingOptions, dataOptions);
  return { size, channels: channels === 1 ? "grey" : "rgb", bits, valueRange };
}

/** Options of data that say how values of pixels are read. */
const readingOptions = z.object({ bits: bitsSchema, valueRange: valueRangeSchema });

/**
 * Images of bytes as a run's model sees them: binarized as the images that it was fitted on, for a run of binary images.
 * @param first number of the first image in what is read: an image is binarized alike however reading is cut into batches
 */
export function asSeen(
  { binarization }: RunConfig["dataInfo"],
  bytes: NdArray<"float32">,
  first = 0,
): NdArray<"float32"> {
  return binarization === undefined ? bytes : binarizeImages(bytes, binarization, { part: "read", first });
}

/** The columns in which a table holds samples of a run's data. */
export function sampleColumns(info: RunConfig["dataInfo"]): readonly Column[] {
  if (info.columns !== undefined) return columnsSchema.parse(info.columns);
  return ["x", "y"].map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 }));
}

/**
 * The samples of some data in order, batch by batch: every row of a table file or query, every image of a folder (both
 * in constant memory), or a split of a named data set; of the run's own data where none is named.
 * @throws OptionError where the data is of another kind than the run's; DataError
 */
export async function* readSource(
  run: LoadedRun,
  given: Source | undefined,
  options: SourceOptions = {},
): AsyncGenerator<SourceBatch> {
  const { seed = 0, split = "test", marks, labels = false, shard, onUnreadable } = options;
  const { dataInfo } = run.config;
  const source = await gathered(given);
  const table = await tableInput(source, run);
  if (marks !== undefined && table === undefined) {
    const what = source === undefined ? run.config.data : sourceName(source);
    throw new OptionError(`option label: ${what} is no table; a column is of a table`);
  }
  if (source === undefined) {
    yield* readSplit((await run.data()).splits[split], SOURCE_BATCH, shard);
  } else if (table !== undefined) {
    if (isPicture(dataInfo)) throw otherKind(run, source, "a table");
    const classes = labels ? classColumn(run) : undefined;
    if (shard !== undefined) await checkOrdered(table);
    const reading = { batchSize: SOURCE_BATCH, seed, marks, classes, shard, changes: run.tableChanges };
    for await (const batch of streamTable(table, sampleColumns(dataInfo), reading)) {
      yield { ...batch, position: batch.firstRow };
    }
  } else if (isImages(source) || (typeof source === "string" && (await isImageFolder(source)))) {
    if (!isPicture(dataInfo))
      throw otherKind(run, source, typeof source === "string" ? "a folder" : "images");
    if (labels) {
      throw new OptionError(`${sourceName(source)}: these images are read without their classes`);
    }
    const images = streamImages(source, imageFormat(run.config), {
      batchSize: SOURCE_BATCH,
      shard,
      changes: run.changes,
      ...(onUnreadable !== undefined && { onUnreadable }),
    });
    for await (const batch of images) yield { ...batch, x: asSeen(dataInfo, batch.x, batch.position) };
  } else {
    yield* readSplit((await openLike(run, source)).splits[split], SOURCE_BATCH, shard);
  }
}

/** What stands beside the samples of some data: files that name them, and classes. For shards without samples. @throws as `readSource` */
export async function besideSamples(
  run: LoadedRun,
  source: Source | undefined,
  options: Pick<SourceOptions, "split" | "seed"> = {},
): Promise<{ readonly files: boolean; readonly labels: boolean }> {
  // What is read here is read once more where it counts.
  const aside = { ...run, changes: new ImageChanges() };
  for await (const { files, label } of readSource(aside, source, options)) {
    return { files: files !== undefined, labels: label !== undefined };
  }
  return { files: false, labels: false };
}

const isImages = (source: GatheredSource): source is PlainImages =>
  typeof source === "object" && source.kind === "images";

/** True for a folder, unless it holds a table for each split. */
async function isImageFolder(source: string): Promise<boolean> {
  const isFolder = (await stat(source).catch(() => undefined))?.isDirectory() === true;
  return isFolder && (await findSplitTables(source)) === undefined;
}

/** The column of a run's tables that holds the class. @throws OptionError where the run has none */
function classColumn({ config }: LoadedRun): { readonly column: string; readonly names: readonly string[] } {
  const { label } = config.dataOptions;
  const { classNames } = config.dataInfo;
  if (typeof label !== "string" || classNames === undefined) {
    throw new OptionError(`${config.data} has no classes`);
  }
  return { column: label, names: classNames };
}

/**
 * Shards of a query must see its rows in one order.
 * @throws OptionError where a query does not put them into one
 */
export async function checkOrdered(input: TableInput): Promise<void> {
  if (input.kind === "rows" || input.sql === undefined) return;
  if (/\border\s+by\b/i.test(input.sql) || (input.path !== undefined && (await isChoice(input.sql)))) return;
  throw new OptionError(
    "option shard: the rows of a query may come in another order each time, and shards would have some twice and others not; end it with order by",
  );
}

/** Samples of a split in order. @throws OptionError where it is empty */
export function* readSplit(split: Split, batchSize = SOURCE_BATCH, shard?: Shard): Generator<SourceBatch> {
  if (split.count === 0) throw new OptionError("option split: this split is empty; choose another");
  const share = shard === undefined ? { first: 0, count: split.count } : shareOf(shard, split.count);
  const end = share.first + share.count;
  for (let first = share.first; first < end; first += batchSize) {
    const batch = split.batch(range(first, Math.min(batchSize, end - first)));
    yield { ...batch, firstRow: first, position: first };
  }
}

function otherKind({ config }: LoadedRun, source: GatheredSource, what: string): OptionError {
  const { kind, sampleShape } = config.dataInfo;
  return new OptionError(
    `${sourceName(source)} is ${what}; the run was fitted on ${kind} data of shape [${sampleShape}] (${config.data})`,
  );
}

/** Opens named data of the kind and shape that the run was fitted on. */
export async function openLike(run: LoadedRun, source: GatheredSource): Promise<DataSet> {
  const { dataInfo } = run.config;
  // Which links are followed is the caller's to say, not the run's.
  const { followLinks: _, ...dataOptions } = run.config.dataOptions;
  // A query that the caller gives reads what it likes; one out of the run does not.
  const isOwn = dataOptions.sql === undefined && dataOptions.source === undefined;
  const opened = await openData(source, dataOptions, {
    ...asInRun(run.config, run.source.trust),
    ...(isOwn && { reads: "any" }),
    changes: run.changes,
  });
  if (opened.kind !== dataInfo.kind || opened.sampleShape.join() !== dataInfo.sampleShape.join()) {
    throw otherKind(run, source, `${opened.kind} data of shape [${opened.sampleShape}]`);
  }
  return opened;
}

/** An image to look at: a file, or one in memory. */
export interface NamedImage {
  /** A path; encoded bytes (PNG, JPEG, WebP, …); or RGBA pixels. */
  readonly image: string | PhotoImage;
  /** What it is called in results, with `/` between folders. */
  readonly name: string;
}

/** An image file. */
export interface ImagePath extends NamedImage {
  readonly image: string;
}

/** A pattern of paths as a regular expression: `*` and `?` within a name, `**` over any number of folders. */
export function patternOf(glob: string): RegExp {
  const parts = glob.split("/").map((part, i, all) => {
    const last = i === all.length - 1;
    if (part === "**") return last ? ".*" : "(?:[^/]+/)*";
    const plain = part
      .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", "[^/]*")
      .replaceAll("?", "[^/]");
    return last ? plain : `${plain}/`;
  });
  return new RegExp(`^${parts.join("")}$`);
}

const isGlob = (path: string): boolean => /[*?]/.test(path);

/** How images are looked for. */
export interface FindImagesOptions {
  /** Follows links that lead out of a folder, too (default: false). */
  readonly followLinks?: boolean | undefined;
  /** Called with the path of each link that leads out, folder that is not looked into and file without an extension, and the reason. */
  readonly onLeftOut?: (path: string, reason: string) => void;
}

const FIND_NAMES: NamesOf<FindImagesOptions> = { followLinks: true, onLeftOut: true };

/** The most folders between a folder and images below it. */
const DEEPEST = 8;

/** Images below a folder, in order of names, those whose paths below it match. @param deepest folders between */
async function imagesBelow(
  path: string,
  matches: (name: string) => boolean,
  deepest: number,
  { followLinks, onLeftOut }: FindImagesOptions,
): Promise<readonly ImagePath[]> {
  const folder = await DataFolder.open(path, { followLinks });
  const { files, leftOut } = await listBelow(folder, deepest);
  for (const { path: name, isFolder, kind, detail } of leftOut) {
    // Of a pattern, what is deeper than it is not meant.
    const isMeant = isFolder ? kind !== "deep" || deepest === DEEPEST : isImagePath(name) && matches(name);
    if (isMeant) onLeftOut?.(join(path, name), detail);
  }
  for (const name of files) {
    const isUnnamed = extname(name) === "" && !basename(name).startsWith(".") && matches(name);
    if (isUnnamed) onLeftOut?.(join(path, name), "it has no extension, by which images are known");
  }
  return files
    .filter((name) => isImagePath(name) && matches(name))
    .map((name) => ({ image: join(path, name), name }));
}

/**
 * The images at paths: files, folders with all that is below them, or patterns such as `photos/**` + `/*.jpg` in quotes.
 * No file comes twice. Links within a folder are followed, those that lead out of it are left out unless `followLinks`.
 * @throws DataError where a path does not exist, is a pipe or a device, or holds no image
 */
export async function findImages(
  paths: readonly string[],
  options: FindImagesOptions = {},
): Promise<readonly ImagePath[]> {
  checkNames("findImages", options, FIND_NAMES);
  const found = new Map<string, ImagePath>();
  for (const path of paths) {
    for (const image of await imagesOf(path, options)) {
      if (!found.has(image.image)) found.set(image.image, image);
    }
  }
  return [...found.values()];
}

async function imagesOf(path: string, options: FindImagesOptions): Promise<readonly ImagePath[]> {
  const held = await stat(path).catch(() => undefined);
  if (held?.isDirectory() === false) {
    refuseOddity(held, path);
    return [{ image: path, name: basename(path) }];
  }
  if (held === undefined && (path.includes("\0") || !isGlob(path))) {
    throw new DataError(
      `there is no file or folder ${printable(path)}; give a photo, a folder or a pattern in quotes`,
    );
  }
  const parts = path.replaceAll("\\", "/").split("/");
  const first = held === undefined ? parts.findIndex(isGlob) : parts.length;
  const root = parts.slice(0, first).join("/") || (path.startsWith("/") ? "/" : ".");
  const below = parts.slice(first);
  const pattern = held === undefined ? patternOf(below.join("/")) : /./;
  // A pattern without ** has a depth of its own.
  const deepest = held === undefined && !below.includes("**") ? below.length - 1 : DEEPEST;
  const leftOut: string[] = [];
  const images = await imagesBelow(root, (name) => pattern.test(name), Math.min(deepest, DEEPEST), {
    ...options,
    onLeftOut(name, reason) {
      leftOut.push(`; ${name}: ${reason}`);
      options.onLeftOut?.(name, reason);
    },
  });
  if (images.length === 0) {
    throw new DataError(
      `${path}: no image ${held === undefined ? "matches" : "in this folder"}${leftOut[0] ?? ""}`,
    );
  }
  return images;
}
