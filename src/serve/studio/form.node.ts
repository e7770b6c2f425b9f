import { readdir, realpath } from "node:fs/promises";
import { extname, relative, resolve } from "node:path";
import { z } from "zod";
import { findModel, models } from "../../catalog.ts";
import { isImagePath } from "../../data/boxes/formats/paths.node.ts";
import { dataCatalog } from "../../data/catalog.ts";
import { isWithin } from "../../data/files/data-folder.node.ts";
import { ServiceError } from "../../errors.ts";
import { type ModelDefinition, purposeOf } from "../../model/definition.ts";
import { isOfScenes, type OptionGroup, optionGroups } from "../../tasks/fit/option-groups.node.ts";
import type { FitForm, FormField, OfferedData, OfferedModel } from "./answers.node.ts";

// What the page offers to begin a fit with: data, models, and the options of each as fields of a form, from their zod schemas.

/** Entries of a folder that are offered at most. */
const MOST_ENTRIES = 500;

const TABLES = new Set([".csv", ".tsv", ".parquet", ".xlsx", ".jsonl"]);

/** Texts that a form may set. Every other text is a path, a query or an address, which are for the command. */
const TEXTS = new Set(["label", "columns", "categorical", "missing", "classes"]);

/** Entries of a folder that are no data: hidden ones and packages. */
export const isNoData = (name: string): boolean => /^(\.|node_modules$)/.test(name);

/**
 * Where a name leads that the page has: the folder of data, or what is below it.
 * @throws ServiceError where it leads elsewhere, or nothing is there
 */
export async function placeOf(name: string, folder: string): Promise<string> {
  const root = await realpath(folder).catch(() => resolve(folder));
  const path = name.includes("\0") ? undefined : await realpath(resolve(folder, name)).catch(() => undefined);
  if (path === undefined) {
    throw new ServiceError(`there is no ${name} in ${folder}`, { status: 404 });
  }
  if (!isWithin(root, path)) {
    throw new ServiceError(
      `${name} lies outside of ${folder}; start eidos studio with --data and the folder that holds it`,
      { status: 403 },
    );
  }
  return path;
}

/** The data that can be named, and what lies directly in the folder of data. */
export async function offeredData(folder: string): Promise<readonly OfferedData[]> {
  const named = dataCatalog.map(
    ({ name, kind, description }): OfferedData => ({ name, kind, about: description }),
  );
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  // A folder of photos may be the folder of data itself.
  const itself: readonly OfferedData[] = entries.some((entry) => entry.isFile() && isImagePath(entry.name))
    ? [{ name: "./", kind: "folder" }]
    : [];
  const own = entries
    .filter(({ name }) => !isNoData(name))
    .flatMap((entry): readonly OfferedData[] => {
      if (entry.isDirectory()) return [{ name: `./${entry.name}`, kind: "folder" }];
      return entry.isFile() && TABLES.has(extname(entry.name).toLowerCase())
        ? [{ name: `./${entry.name}`, kind: "table" }]
        : [];
    })
    .slice(0, MOST_ENTRIES);
  return [...named, ...itself, ...own];
}

/** The models of the catalogue that can be fitted to data alone. */
export function offeredModels(): readonly OfferedModel[] {
  return [...models.values()].flatMap((definition) => {
    const purpose = purposeOf(definition);
    if (purpose === undefined || definition.pairs === "needed" || definition.needsSource === true) return [];
    const { name, summary, dataKinds } = definition;
    return [{ name, summary, purpose, dataKinds }];
  });
}

/** A field for an option; undefined for one that no form has: it is a path, or has values of several kinds. */
function fieldOf(
  name: string,
  schema: z.core.JSONSchema.BaseSchema,
  isUsual: boolean,
): FormField | undefined {
  const { type, enum: choices, description = "", default: initial, minimum, maximum, items } = schema;
  if (isOfScenes(description)) return undefined;
  const about = {
    name,
    description,
    isUsual,
    ...(initial !== undefined && { initial: JSON.stringify(initial) }),
  };
  if (choices !== undefined) return { ...about, kind: "choice", choices: choices.map(String) };
  if (type === "boolean") return { ...about, kind: "boolean" };
  if (type === "integer" || type === "number") {
    const bounds = {
      ...(typeof minimum === "number" && minimum > Number.MIN_SAFE_INTEGER && { minimum }),
      ...(typeof maximum === "number" && maximum < Number.MAX_SAFE_INTEGER && { maximum }),
    };
    return { ...about, kind: type, ...bounds };
  }
  if (type === "string") return TEXTS.has(name) ? { ...about, kind: "text" } : undefined;
  const item = Array.isArray(items) || typeof items !== "object" ? undefined : items.type;
  if (type !== "array" || item === undefined) return undefined;
  if (item === "integer" || item === "number") return { ...about, kind: "numbers" };
  return item === "string" && TEXTS.has(name) ? { ...about, kind: "texts" } : undefined;
}

function fieldsOf({ schema, usual }: OptionGroup): readonly FormField[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const names = [...usual, ...Object.keys(properties).filter((name) => !usual.includes(name))];
  return names.flatMap((name) => {
    const property = properties[name];
    const field = typeof property === "object" ? fieldOf(name, property, usual.includes(name)) : undefined;
    return field === undefined ? [] : [field];
  });
}

/** A model of the catalogue. @throws ServiceError */
function offeredDefinition(name: string): ModelDefinition {
  if (offeredModels().some((model) => model.name === name)) return findModel(name);
  throw new ServiceError(`there is no model ${name} that the page can fit`, { status: 404 });
}

/** The options of a model as groups of fields. @throws ServiceError */
export function formOf(model: string): FitForm {
  const groups = optionGroups(offeredDefinition(model));
  return { groups: groups.map((group) => ({ of: group.of, fields: fieldsOf(group) })) };
}

/**
 * The data and options of a fit that the page asks for, where these are what its form offers: no path but one below the folder of data, no
 * query, no address.
 * @throws ServiceError
 */
export async function checkAsked(
  asked: {
    readonly model: string;
    readonly data: string;
    readonly options: Readonly<Record<string, unknown>>;
  },
  folder: string,
): Promise<string> {
  const fields = new Set(
    formOf(asked.model).groups.flatMap(({ fields: held }) => held.map(({ name }) => name)),
  );
  const other = Object.keys(asked.options).find((name) => !fields.has(name));
  if (other !== undefined) {
    throw new ServiceError(`the page cannot set the option ${other}; give it to eidos fit`, { status: 400 });
  }
  if (dataCatalog.some(({ name }) => name === asked.data)) return asked.data;
  const path = await placeOf(asked.data, folder);
  // As a person would type it, where it lies below the working directory.
  const typed = relative(process.cwd(), path);
  return isWithin(process.cwd(), path) && typed !== "" ? typed : path;
}
