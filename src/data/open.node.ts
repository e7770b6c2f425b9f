import { stat } from "node:fs/promises";
import { DataError, OptionError } from "../errors.ts";
import { memoryLimit } from "../memory.node.ts";
import { checkMemory, FLOAT_BYTES, showCount } from "../memory.ts";
import type { DataKind } from "../model/data-info.ts";
import { nearest } from "../nearest.ts";
import type { ReadFormat } from "./boxes/check.ts";
import { type DetectionOptions, resolveDetectionOptions } from "./boxes/options.ts";
import { asOneClass, type DetectionSet } from "./boxes/set.ts";
import { withFewerTrained } from "./boxes/subset.ts";
import { dataCatalog } from "./catalog.ts";
import { readPairs } from "./files/arrays.node.ts";
import { fileError, isMissing, refuseLinkedFolder } from "./files/files.node.ts";
import type { ImageChanges } from "./image/changes.node.ts";
import type { DecodingProgress } from "./image/decode-all.node.ts";
import { openImageFolder, openImages } from "./image/folder.node.ts";
import { openFolderShare } from "./image/share.node.ts";
import { DIGIT_SCENES, digitScenes } from "./scenes/digit-scenes.ts";
import { binarized } from "./sources/binarize.ts";
import type { Column } from "./sources/columns.ts";
import { type DataSet, isPicture, type Split } from "./sources/data-set.ts";
import { openDigits } from "./sources/digits.node.ts";
import { energyPoints, isEnergyName } from "./sources/energies.ts";
import { gatherSource } from "./sources/gather.ts";
import { checkedData, type DataSource } from "./sources/memory.ts";
import { type DataOptions, type ResolvedDataOptions, resolveDataOptions } from "./sources/options.ts";
import type { SampleShare } from "./sources/sample-share.ts";
import { isPlaneName, openPoints, planePoints } from "./sources/toy.ts";
import { onlyClasses, withPairs, withSource } from "./sources/views.ts";
import { isQuery, isTablePath, type TablePlace } from "./table/duckdb.node.ts";
import {
  findSplitTables,
  findTriple,
  profileTable,
  type TableData,
  type TableProfile,
} from "./table/parts.node.ts";
import { openTableShare } from "./table/share.node.ts";
import { openBinaryTable, openTable } from "./table/table.node.ts";

/**
 * Opens data for detection: `digit-scenes`, a folder of images with annotations, a file of annotations beside its images
 * (`openDetectionFolder`), or photos in memory (`photos`).
 * @throws DataError where there is no such data, or it cannot be used; OptionError; MissingPackageError; FileError
 */
export async function openDetection(
  data: string | DataSource,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  const { trainImages, splitSeed, oneClass } = resolveDetectionOptions(options);
  const opened = await openAllDetection(data, options);
  const set = trainImages === undefined ? opened : withFewerTrained(opened, trainImages, splitSeed);
  return oneClass === undefined ? set : asOneClass(set, oneClass);
}

/** Readers of annotated images, with their parsers, which no other data needs. */
const boxes = () => import("./boxes/folder.node.ts");

async function openAllDetection(data: string | DataSource, options: DetectionOptions): Promise<DetectionSet> {
  const given = checkedData(data);
  if (typeof given !== "string") {
    if (given.kind === "photos") return (await boxes()).openPhotos(await gatherSource(given), options);
    throw new DataError(`${given.kind} in memory have no boxes; detectors take photos(…)`);
  }
  if (given === DIGIT_SCENES) return digitScenes(await openDigits(), options);
  if ((await stat(given).catch(() => undefined)) === undefined) {
    const meant = nearest(given, [DIGIT_SCENES]);
    throw new DataError(
      `there is no file or folder "${given}"; ${meant === undefined ? `give a folder of images with annotations, or ${DIGIT_SCENES}` : `did you mean "${meant}"?`}`,
    );
  }
  return (await boxes()).openDetectionFolder(given, options);
}

/**
 * True for data that `openDetection` opens: the name of scenes, a folder or file that holds annotations of objects, or photos in memory.
 */
export async function isDetectionData(
  data: string | DataSource,
  options: Pick<DetectionOptions, "followLinks"> = {},
): Promise<boolean> {
  if (typeof data !== "string") return data.kind === "photos";
  if (data === DIGIT_SCENES) return true;
  const found = await stat(data).catch(() => undefined);
  const mayBe =
    found?.isDirectory() === true ||
    (found !== undefined && /(\.(json|csv|ya?ml)|_bbx_gt\.txt)$/i.test(data));
  if (!mayBe) return false;
  // A file that is named is meant itself, not annotations that lie near it.
  const formats = found.isDirectory() ? [undefined] : formatsOf(data);
  for (const format of formats) {
    const { readAnnotations } = await import("./boxes/formats/read.node.ts");
    const read = await readAnnotations(data, { ...options, format }).catch(() => undefined);
    if (read?.raw !== undefined) return true;
  }
  return false;
}

/** The formats of annotations that a file of this name may have. */
function formatsOf(path: string): readonly ReadFormat[] {
  if (/\.csv$/i.test(path)) return ["csv"];
  if (/\.json$/i.test(path)) return ["coco", "createml"];
  return /\.ya?ml$/i.test(path) ? ["yolo"] : ["wider"];
}

/** How far data is trusted, and who is told how far its opening has come. */
export interface DataTrust {
  /** What a query may read: any file (default), or the file that is named beside it alone, where it comes out of a run folder. */
  readonly reads?: TablePlace["reads"];
  /** The columns by which rows of a table are encoded, where it is the data of a run. */
  readonly columns?: readonly Column[] | undefined;
  /** Called now and then while images of a folder are decoded. */
  readonly onDecoding?: ((progress: DecodingProgress) => void) | undefined;
  /** Whether it is rows or points, as the data of a run was: a folder of images is refused before it is looked through. Default: false. */
  readonly isRows?: boolean;
  /** Takes what is done to images of a folder to be like those of a run. */
  readonly changes?: ImageChanges | undefined;
}

/** Data that was found, and what it is by itself: before it is made zeros and ones. */
type Found =
  | {
      readonly kind: "image";
      /** Its folder, where they are in one. */
      readonly folder?: string;
      open(options: DataOptions): Promise<DataSet>;
    }
  | {
      readonly kind: "points";
      readonly name: string;
      open(options: ResolvedDataOptions): DataSet | Promise<DataSet>;
    }
  | { readonly kind: "table"; readonly table: TableData };

/** The digits, binarized where asked. */
async function openDigitImages(options: DataOptions): Promise<DataSet> {
  const { splitSeed: seed, binary = false, binarize: protocol } = resolveDataOptions(options);
  const digits = await openDigits();
  return binary ? binarized(digits, { protocol, seed }) : digits;
}

/** Finds data in memory. @throws DataError for photos with boxes */
function findSource(source: DataSource): Found | Promise<Found> {
  switch (source.kind) {
    case "points":
      return {
        kind: "points",
        name: "points in memory",
        open: async (options) => openPoints(await gatherSource(source), options),
      };
    case "images":
      return { kind: "image", open: async (options) => openImages(await gatherSource(source), options) };
    case "rows":
      return gatherSource(source).then((table): Found => ({ kind: "table", table }));
    case "photos":
      throw new DataError(
        "photos(…) are images with boxes, for detectors; images(…) takes images without boxes",
      );
  }
}

/** Finds data by name, path or query, or in memory. @throws DataError where there is no such data, with the nearest name */
async function findData(
  data: string | DataSource,
  sql: string | undefined,
  { reads = "any", isRows = false, onDecoding: onProgress, changes }: DataTrust = {},
): Promise<Found> {
  const nameOrPath = checkedData(data);
  if (typeof nameOrPath !== "string") {
    if (sql === undefined) return findSource(nameOrPath);
    throw new OptionError(
      `option sql: queries are of files; choose from the ${nameOrPath.kind} before they are given`,
    );
  }
  if (nameOrPath === DIGIT_SCENES) {
    throw new DataError(
      `${DIGIT_SCENES} are images with boxes, for detectors; eidos inspect ${DIGIT_SCENES} looks at them`,
    );
  }
  if (nameOrPath === "digits") return { kind: "image", open: openDigitImages };
  const drawn = (open: (options: { seed: number; count: number }) => DataSet): Found => ({
    kind: "points",
    name: nameOrPath,
    open: ({ splitSeed: seed, count }) => {
      // With a fifth each for validation and test: two numbers, and a place in its split.
      const bytes = Math.ceil(1.4 * count) * (2 * FLOAT_BYTES + 8);
      const what = `${nameOrPath}: ${showCount(count)} points`;
      checkMemory({ what, bytes, instead: "take a smaller count" }, memoryLimit());
      return open({ seed, count });
    },
  });
  if (isPlaneName(nameOrPath)) return drawn((options) => planePoints(nameOrPath, options));
  if (isEnergyName(nameOrPath)) return drawn((options) => energyPoints(nameOrPath, options));
  if (isQuery(nameOrPath)) {
    if (sql !== undefined)
      throw new DataError("two queries were given: one as the data, one by the option sql");
    return { kind: "table", table: { sql: nameOrPath, reads } };
  }
  if (nameOrPath === "") {
    if (sql === undefined) throw new DataError("no data was named; give a name, a path or a query");
    return { kind: "table", table: { sql, reads } };
  }
  const found = await stat(nameOrPath).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw fileError(error, "read", nameOrPath);
  });
  if (found?.isDirectory()) {
    if (isTablePath(nameOrPath)) await refuseLinkedFolder(nameOrPath, "a table");
    const tables = await findSplitTables(nameOrPath);
    if (tables === undefined && isRows) {
      throw new DataError(
        `${nameOrPath}: is a folder without tables, where the run was fitted on rows or points`,
      );
    }
    return tables === undefined
      ? {
          kind: "image",
          folder: nameOrPath,
          open: (options) => openImageFolder(nameOrPath, options, { onProgress, changes }),
        }
      : { kind: "table", table: { ...tables, sql, reads } };
  }
  const triple = await findTriple(nameOrPath);
  if (triple !== undefined) return { kind: "table", table: { ...triple, sql, reads } };
  if (found !== undefined || isTablePath(nameOrPath)) {
    return { kind: "table", table: { path: nameOrPath, sql, reads } };
  }
  const names = dataCatalog.filter(({ kind }) => kind !== "detection").map(({ name }) => name);
  const meant = nearest(nameOrPath, names);
  throw new DataError(
    meant === undefined
      ? `there is no data set, file or folder "${nameOrPath}"; the named ones are ${names.join(", ")}`
      : `there is no data set, file or folder "${nameOrPath}"; did you mean "${meant}"?`,
  );
}

/**
 * The kind of some data without the option `binary`.
 * @throws DataError where there is no such data
 */
export async function plainKind(data: string | DataSource, options: DataOptions = {}): Promise<DataKind> {
  return (await findData(data, options.sql)).kind;
}

/**
 * What the columns of a table are, found or declared; undefined for data that is no table, or is read as zeros and ones.
 * @throws as `openData`
 */
export async function openProfile(
  data: string | DataSource,
  options: DataOptions = {},
  trust: DataTrust = {},
): Promise<TableProfile | undefined> {
  const resolved = resolveDataOptions(options);
  if (resolved.binary === true) return undefined;
  const found = await findData(data, resolved.sql, trust);
  return found.kind === "table" ? profileTable(found.table, resolved) : undefined;
}

/**
 * Opens data: by a name of `dataCatalog`, the path of a folder of images, of a table (.csv, .tsv, .parquet, .json,
 * .jsonl) or of a folder with a table for each split, a query that begins with `select`, `with` or `from`, or data in memory
 * (`points`, `images`, `rows`). With the option `binary`, tables are vectors of zeros and ones, and images are binarized; with
 * `classes`, other classes are left out; with `source`, batches hold samples of another data set beside their own; with `pairs`,
 * there are pairs to fit to.
 * @throws DataError where there is no such data (with the nearest name), or it cannot be used; OptionError for bad
 * options; MissingPackageError where sharp or DuckDB is needed and not installed.
 */
export async function openData(
  data: string | DataSource,
  options: DataOptions = {},
  trust: DataTrust = {},
): Promise<DataSet> {
  const { classes, source, sourceClasses, pairs, ...plain } = resolveDataOptions(options);
  const given = checkedData(data);
  // What comes bit by bit comes once.
  const named = typeof given === "string" ? given : await gatherSource(given);
  const kept = async (
    name: string | DataSource,
    wanted: DataOptions["classes"],
    options: DataOptions = plain,
  ): Promise<DataSet> => {
    const data = await openWhole(name, options, trust);
    return wanted === undefined ? data : onlyClasses(data, wanted);
  };
  const opened = await kept(named, classes);
  const isSourced = source !== undefined || sourceClasses !== undefined;
  if (isSourced && pairs !== undefined) {
    throw new OptionError(
      "option pairs: pairs lead from noise to samples; leave source and sourceClasses out",
    );
  }
  if (pairs !== undefined) return withPairs(opened, (await readPairs(pairs)).pairs);
  if (!isSourced) return opened;
  // Paths lead from images to images alike: where those of one end are colored, both are.
  const { size, color } = opened.format ?? formatOfShape(opened) ?? plain;
  const ofSource = { ...plain, size, color: color === "grey" ? plain.color : color };
  const begins = await kept(source ?? named, sourceClasses, ofSource);
  const isWidened = opened.format?.color === "grey" && begins.format?.color === "rgb";
  if (!isWidened) return withSource(opened, begins);
  return withSource(await kept(named, classes, { ...plain, ...begins.format }), begins);
}

/** What files of images are decoded to, to be like images that are no files; undefined where there are none, or they are not square. */
function formatOfShape(data: DataSet): DataSet["format"] {
  const [channels, height, width] = data.sampleShape;
  if (!isPicture(data) || height === undefined || height !== width) return undefined;
  return { size: height, color: channels === 1 ? "grey" : "rgb" };
}

/** Data with all of its classes. */
async function openWhole(
  data: string | DataSource,
  options: DataOptions,
  trust: DataTrust,
): Promise<DataSet> {
  const resolved = resolveDataOptions(options);
  const found = await findData(data, resolved.sql, trust);
  switch (found.kind) {
    case "table":
      return resolved.binary
        ? openBinaryTable(found.table, options, trust.columns)
        : openTable(found.table, options, trust.columns);
    case "image":
      return found.open(options);
    case "points":
      if (!resolved.binary) return found.open(resolved);
      throw new DataError(
        `${found.name}: points of the plane are not zeros and ones; choose a table of zeros and ones, or images`,
      );
  }
}

/**
 * Opens some training samples of the table or folder of a run, without reading the others: data whose `origin` is known.
 * @param trust of the run; its `columns` are those of a table
 * @throws DataError where they are not what they were when the data was opened whole; otherwise as `openData`
 */
export async function openShare(
  data: string,
  options: DataOptions,
  trust: DataTrust,
  share: SampleShare,
): Promise<Split> {
  const found = await findData(data, undefined, trust);
  if (found.kind === "table" && trust.columns !== undefined) {
    return openTableShare(found.table, options, trust.columns, share);
  }
  if (found.kind === "image" && found.folder !== undefined) {
    return openFolderShare(found.folder, options, share, { onProgress: trust.onDecoding });
  }
  throw new DataError(`${data}: is ${found.kind} data here, and was other data for rank 0`);
}
