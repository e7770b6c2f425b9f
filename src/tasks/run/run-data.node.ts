import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { dataCatalog } from "../../data/catalog.ts";
import { isRemote } from "../../data/files/source.ts";
import type { DataTrust } from "../../data/open.node.ts";
import { columnsSchema } from "../../data/sources/columns.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { isQuery } from "../../data/table/duckdb.node.ts";
import { DataError } from "../../errors.ts";
import { IMPORTED, type RunConfig } from "../../train/run-config.ts";
import { type GivenTrust, queryTrust } from "./trust.node.ts";

// Where the files lie that a run names: its data, the data that paths lead from, pairs, weights that it began with, the module of its
// model. config.json keeps each as it was typed, and whole, so that the run is used from any working directory.

/** How the data of a run is opened: as far as the run is trusted, rows of tables encoded by the run's own columns. */
export function asInRun({ dataInfo }: Pick<RunConfig, "dataInfo">, trust: GivenTrust | undefined): DataTrust {
  return {
    ...queryTrust(trust),
    columns: dataInfo.columns && columnsSchema.parse(dataInfo.columns),
    isRows: !isPicture(dataInfo),
  };
}

/** True where a model is named by the path of a module, not by a name of the catalogue. */
export function isModulePath(model: string): boolean {
  return /\.(js|mjs|ts)$/.test(model);
}

/** Options of data that are paths. */
const DATA_PATHS = ["source", "pairs"] as const;

type Named = Pick<RunConfig, "model" | "data" | "dataOptions"> & {
  readonly fit: Pick<RunConfig["fit"], "weights">;
};

const names = new Set(dataCatalog.map(({ name }) => name));

/** True for data that is a path, not a name, a query or in memory. */
function isPath(data: unknown): data is string {
  return (
    typeof data === "string" &&
    data !== "" &&
    !names.has(data) &&
    !isQuery(data) &&
    !/^memory:/.test(data) &&
    !data.startsWith(IMPORTED)
  );
}

/** The whole paths of the files that a run names, by what they are. */
export function pathsOf({ model, data, dataOptions, fit }: Named): NonNullable<RunConfig["paths"]> {
  const named = {
    ...(isModulePath(model) && { model }),
    data,
    ...Object.fromEntries(DATA_PATHS.map((name) => [name, dataOptions[name]])),
    weights: fit.weights !== undefined && isRemote(fit.weights) ? undefined : fit.weights,
  };
  return Object.fromEntries(
    Object.entries(named).flatMap(([what, path]) => (isPath(path) ? [[what, resolve(path)]] : [])),
  );
}

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined;

/**
 * Where a file lies that a run names: where it was when the run began, otherwise as it was typed, from this working directory.
 * @param whole its whole path when the run began
 */
async function locate(typed: string, whole: string | undefined): Promise<string> {
  if (whole === undefined || resolve(typed) === whole) return typed;
  return (await exists(whole)) || !(await exists(typed)) ? whole : typed;
}

/** The module of a run's model where it lies, or the name of its model. */
export function locatedModel({ model, paths }: Pick<RunConfig, "model" | "paths">): Promise<string> {
  return locate(model, paths?.model);
}

/** Weights that a run begins with, where they lie. */
export function locatedWeights({ fit: { weights }, paths }: RunConfig): Promise<string | undefined> {
  return weights === undefined ? Promise.resolve(undefined) : locate(weights, paths?.weights);
}

/** The data of a run and the options with which it is opened, every path where it lies. */
export interface LocatedData<S> {
  readonly data: string | S;
  readonly dataOptions: RunConfig["dataOptions"];
}

/**
 * The data of a run where it lies.
 * @param folder of the run, for messages
 * @param given the data itself where it was in memory, or where it is now
 * @throws DataError where a file of the run's data is missing
 */
export async function locatedData<S = never>(
  { data, dataOptions, paths = {} }: Pick<RunConfig, "data" | "dataOptions" | "paths">,
  folder: string,
  given?: string | S,
): Promise<LocatedData<S>> {
  if (data.startsWith(IMPORTED)) {
    throw new DataError(
      `the run ${folder} was imported (${data.slice(IMPORTED.length)}) and has no data of its own: name some (eidos eval ${folder} DATA), or begin a fit from it (eidos fit MODEL DATA --from ${folder})`,
    );
  }
  const found = given ?? (await locate(data, paths.data));
  if (given === undefined) await checkThere("data", data, String(found), folder);
  const options = { ...dataOptions };
  for (const name of DATA_PATHS) {
    const typed = dataOptions[name];
    if (typeof typed !== "string") continue;
    const located = await locate(typed, paths[name]);
    await checkThere(name, typed, located, folder);
    options[name] = located;
  }
  return { data: found, dataOptions: options };
}

/** @throws DataError */
async function checkThere(what: string, typed: string, path: string, folder: string): Promise<void> {
  if (!isPath(path) || (await exists(path))) return;
  const whole = resolve(path);
  const places = typed === whole ? whole : `${typed} (${whole})`;
  const remedy =
    what === "data"
      ? `put it back, or say where it is now: eidos fit --resume ${folder} --data PATH, openRun(folder, { data })`
      : "put it back";
  throw new DataError(`the ${what} of the run ${folder} is missing: ${places}; ${remedy}`);
}
