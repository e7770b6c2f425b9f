import { stat } from "node:fs/promises";
import { DataError, OptionError } from "../errors.ts";
import type { DataKind } from "../model/data-info.ts";
import { nearest } from "../nearest.ts";
import { openDetectionFolder } from "./boxes/folder.node.ts";
import { readAnnotations } from "./boxes/formats/read.node.ts";
import type { DetectionOptions } from "./boxes/options.ts";
import type { DetectionSet } from "./boxes/set.ts";
import { dataCatalog } from "./catalog.ts";
import { readPairs } from "./files/arrays.node.ts";
import { isMissing } from "./files/files.node.ts";
import { openImageFolder } from "./image/folder.node.ts";
import { DIGIT_SCENES, digitScenes } from "./scenes/digit-scenes.ts";
import { binarized } from "./sources/binarize.ts";
import type { DataSet } from "./sources/data-set.ts";
import { openDigits } from "./sources/digits.node.ts";
import { energyPoints, isEnergyName } from "./sources/energies.ts";
import { type DataOptions, resolveDataOptions } from "./sources/options.ts";
import { isPlaneName, planePoints } from "./sources/toy.ts";
import { onlyClasses, withPairs, withSource } from "./sources/views.ts";
import { isQuery, isTablePath } from "./table/duckdb.node.ts";
import { findSplitTables, type TableData } from "./table/parts.node.ts";
import { openBinaryTable, openTable } from "./table/table.node.ts";

/**
 * Opens data for detection: `digit-scenes`, a folder of images with annotations, or a file of annotations beside its images
 * (`openDetectionFolder`).
 * @throws DataError where there is no such data, or it cannot be used; OptionError; MissingPackageError; FileError
 */
export async function openDetection(
  nameOrPath: string,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  if (nameOrPath === DIGIT_SCENES) return digitScenes(await openDigits(), options);
  if ((await stat(nameOrPath).catch(() => undefined)) === undefined) {
    const meant = nearest(nameOrPath, [DIGIT_SCENES]);
    throw new DataError(
      `there is no file or folder "${nameOrPath}"; ${meant === undefined ? `give a folder of images with annotations, or ${DIGIT_SCENES}` : `did you mean "${meant}"?`}`,
    );
  }
  return openDetectionFolder(nameOrPath, options);
}

/** True for data that `openDetection` opens: the name of scenes, or a folder or file that holds annotations of objects. */
export async function isDetectionData(nameOrPath: string): Promise<boolean> {
  if (nameOrPath === DIGIT_SCENES) return true;
  const found = await stat(nameOrPath).catch(() => undefined);
  const mayBe =
    found?.isDirectory() === true || (found !== undefined && /\.(json|csv|ya?ml)$/i.test(nameOrPath));
  return mayBe && (await readAnnotations(nameOrPath).catch(() => undefined)) !== undefined;
}

/** Where data lies, and what it is by itself: before it is made zeros and ones. */
type Place =
  | { readonly kind: "image"; readonly folder: string | undefined }
  | { readonly kind: "points"; draw(options: { readonly seed: number; readonly count: number }): DataSet }
  | { readonly kind: "table"; readonly table: TableData };

/** Finds data by name, path or query. @throws DataError where there is no such data, with the nearest name */
async function findData(nameOrPath: string, sql: string | undefined): Promise<Place> {
  if (nameOrPath === DIGIT_SCENES) {
    throw new DataError(
      `${DIGIT_SCENES} are images with boxes, for detectors; eidos inspect ${DIGIT_SCENES} looks at them`,
    );
  }
  if (nameOrPath === "digits") return { kind: "image", folder: undefined };
  if (isPlaneName(nameOrPath)) return { kind: "points", draw: (options) => planePoints(nameOrPath, options) };
  if (isEnergyName(nameOrPath))
    return { kind: "points", draw: (options) => energyPoints(nameOrPath, options) };
  if (isQuery(nameOrPath)) {
    if (sql !== undefined)
      throw new DataError("two queries were given: one as the data, one by the option sql");
    return { kind: "table", table: { sql: nameOrPath } };
  }
  if (nameOrPath === "") {
    if (sql === undefined) throw new DataError("no data was named; give a name, a path or a query");
    return { kind: "table", table: { sql } };
  }
  const found = await stat(nameOrPath).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found?.isDirectory()) {
    const tables = await findSplitTables(nameOrPath);
    return tables === undefined
      ? { kind: "image", folder: nameOrPath }
      : { kind: "table", table: { ...tables, sql } };
  }
  if (found !== undefined || isTablePath(nameOrPath)) {
    return { kind: "table", table: { path: nameOrPath, sql } };
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
export async function plainKind(nameOrPath: string, options: DataOptions = {}): Promise<DataKind> {
  return (await findData(nameOrPath, options.sql)).kind;
}

/**
 * Opens data by a name of `dataCatalog`, the path of a folder of images, of a table (.csv, .tsv, .parquet, .json,
 * .jsonl) or of a folder with a table for each split, or a query that begins with `select`, `with` or `from`. With the
 * option `binary`, tables are vectors of zeros and ones, and images are binarized; with `classes`, other classes are left
 * out; with `source`, batches hold samples of another data set beside their own; with `pairs`, there are pairs to fit to.
 * @throws DataError where there is no such data (with the nearest name), or it cannot be used; OptionError for bad
 * options; MissingPackageError where sharp or DuckDB is needed and not installed.
 */
export async function openData(nameOrPath: string, options: DataOptions = {}): Promise<DataSet> {
  const { classes, source, sourceClasses, pairs, ...plain } = options;
  const kept = async (name: string, wanted: DataOptions["classes"]): Promise<DataSet> => {
    const data = await openWhole(name, plain);
    return wanted === undefined ? data : onlyClasses(data, wanted);
  };
  const data = await kept(nameOrPath, classes);
  const isSourced = source !== undefined || sourceClasses !== undefined;
  if (isSourced && pairs !== undefined) {
    throw new OptionError(
      "option pairs: pairs lead from noise to samples; leave source and sourceClasses out",
    );
  }
  if (pairs !== undefined) return withPairs(data, (await readPairs(pairs)).pairs);
  return isSourced ? withSource(data, await kept(source ?? nameOrPath, sourceClasses)) : data;
}

/** Data with all of its classes. */
async function openWhole(nameOrPath: string, options: DataOptions): Promise<DataSet> {
  const { splitSeed: seed, count, sql, binary = false, binarize: protocol } = resolveDataOptions(options);
  const place = await findData(nameOrPath, sql);
  switch (place.kind) {
    case "table":
      return binary ? openBinaryTable(place.table, options) : openTable(place.table, options);
    case "image": {
      if (place.folder !== undefined) return openImageFolder(place.folder, options);
      const digits = await openDigits();
      return binary ? binarized(digits, { protocol, seed }) : digits;
    }
    case "points":
      if (!binary) return place.draw({ seed, count });
      throw new DataError(
        `${nameOrPath}: points of the plane are not zeros and ones; choose a table of zeros and ones, or images`,
      );
  }
}
