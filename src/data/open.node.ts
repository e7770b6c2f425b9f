import { stat } from "node:fs/promises";
import { DataError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { dataCatalog } from "./catalog.ts";
import type { DataSet } from "./data-set.ts";
import { openDigits } from "./digits.node.ts";
import { isQuery, isTablePath } from "./duckdb.node.ts";
import { energyPoints, isEnergyName } from "./energies.ts";
import { isMissing } from "./files.node.ts";
import { openImageFolder } from "./image-folder.node.ts";
import type { DataOptions } from "./options.ts";
import { resolveDataOptions } from "./options.ts";
import { openTable } from "./table.node.ts";
import { isPlaneName, planePoints } from "./toy.ts";

/**
 * Opens data by a name of `dataCatalog`, the path of a folder of images or of a table (.csv, .tsv, .parquet, .json,
 * .jsonl), or a query that begins with `select`, `with` or `from`.
 * @throws DataError where there is no such data (with the nearest name), or it cannot be used; OptionError for bad
 * options; MissingPackageError where sharp or DuckDB is needed and not installed.
 */
export async function openData(nameOrPath: string, options: DataOptions = {}): Promise<DataSet> {
  const { splitSeed: seed, count, sql } = resolveDataOptions(options);
  if (nameOrPath === "digits") return openDigits();
  if (isPlaneName(nameOrPath)) return planePoints(nameOrPath, { seed, count });
  if (isEnergyName(nameOrPath)) return energyPoints(nameOrPath, { seed, count });
  if (isQuery(nameOrPath)) {
    if (sql !== undefined)
      throw new DataError("two queries were given: one as the data, one by the option sql");
    return openTable({ sql: nameOrPath }, options);
  }
  if (nameOrPath === "") {
    if (sql === undefined) throw new DataError("no data was named; give a name, a path or a query");
    return openTable({ sql }, options);
  }
  const found = await stat(nameOrPath).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found?.isDirectory()) return openImageFolder(nameOrPath, options);
  if (found !== undefined || isTablePath(nameOrPath)) return openTable({ path: nameOrPath, sql }, options);
  const names = dataCatalog.map(({ name }) => name);
  const meant = nearest(nameOrPath, names);
  throw new DataError(
    meant === undefined
      ? `there is no data set, file or folder "${nameOrPath}"; the named ones are ${names.join(", ")}`
      : `there is no data set, file or folder "${nameOrPath}"; did you mean "${meant}"?`,
  );
}
