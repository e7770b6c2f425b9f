import { realpath, stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import type { z } from "zod";
import { findModel } from "../../catalog.ts";
import { optional } from "../../data/files/optional.node.ts";
import { columnsSchema, gapWidth, valueWidth } from "../../data/sources/columns.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { OptionError, RuntimeError } from "../../errors.ts";
import type { DataColumn, DataInfo } from "../../model/data-info.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { parseOptions } from "../../options.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { detectionDataSchema, takesBoxes } from "./detection-options.ts";
import { isModulePath, locatedModel } from "./run-data.node.ts";
import { type GivenTrust, trusts } from "./trust.node.ts";

/** The loader of tsx, a package that is the user's own and no dependency of this one. */
const TSX: string = "tsx/esm/api";

/** Lets Node import TypeScript: newer versions do so by themselves, others by tsx where that is installed. */
async function supportTypeScript(): Promise<void> {
  const { typescript } = process.features as { readonly typescript?: unknown };
  if (typescript) return;
  const purpose = "importing a model in TypeScript (on Node before 22.18)";
  const { register }: { register(): unknown } = await optional("tsx", purpose, () => import(TSX));
  register();
}

/** Whether this file is part of the bundled command, whose classes are not those of eidos's entrances. */
const isBundled = import.meta.url.endsWith("/bundle/tasks/run/definition.node.js");

let imported = false;

/** Whether this thread has imported a user's own module, which stays what it was then. */
export function hasImportedModule(): boolean {
  return imported;
}

/** Stands before the name of a definition that was given as an object, in config.json and in requests. */
const OWN = "definition:";

/** Definitions that were given as objects, by the names under which runs keep them. */
const ownDefinitions = new Map<string, ModelDefinition>();

/** Makes a definition that is given as an object known in this process. @returns what requests and config.json call it */
export function keepDefinition(definition: ModelDefinition): string {
  const name = `${OWN}${definition.name}`;
  ownDefinitions.set(name, definition);
  return name;
}

/**
 * The definition of the model of a run: one of the catalogue, one that was given as an object, or, where the run's module is trusted,
 * the one that it exports.
 * @param folder of the run, for messages
 * @throws OptionError for a module that is not trusted, with the path of the file that would run
 */
export async function runDefinition(
  config: Pick<RunConfig, "model" | "paths">,
  folder: string,
  trust: GivenTrust | undefined,
): Promise<ModelDefinition> {
  if (!isModulePath(config.model)) return loadDefinition(config.model);
  const model = await locatedModel(config);
  if (trusts(trust, "module")) return loadDefinition(model);
  const file = await realpath(model).catch(() => undefined);
  throw new OptionError(
    file === undefined
      ? `the run ${folder} names the module ${config.model} as its model, and there is no such file`
      : `the run ${folder} names a module as its model: ${file} would run with all rights of this process. Where you know its code, trust it: --trust-module, openRun(folder, { trust: true })`,
  );
}

/**
 * The definition of a model by name, or of a module that one's own command or code names, which is imported.
 * @throws OptionError
 */
export async function loadDefinition(model: string): Promise<ModelDefinition> {
  if (model.startsWith(OWN)) {
    const own = ownDefinitions.get(model);
    if (own !== undefined) return own;
    throw new OptionError(
      `this run was fitted with the definition ${model.slice(OWN.length)}, an object; give it: openRun(folder, { definition }), resumeFit(folder, { definition })`,
    );
  }
  if (!isModulePath(model)) return findModel(model);
  if ((await stat(model).catch(() => undefined)) === undefined) {
    throw new OptionError(`${model}: there is no such file; give the path of a module that exports a model`);
  }
  if (isBundled) throw new RuntimeError(`${model}: a module cannot be imported by a command from its bundle`);
  let module: { readonly default?: ModelDefinition };
  try {
    imported = true;
    if (model.endsWith(".ts")) await supportTypeScript();
    module = await import(pathToFileURL(model).href);
  } catch (cause) {
    throw new OptionError(`${model} cannot be imported: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  if (typeof module.default?.build !== "function") {
    throw new OptionError(`${model}: its default export must be a model definition (defineModel)`);
  }
  return module.default;
}

/** The schema of the options of data for a model: images with boxes have others than samples of a distribution. */
export function dataSchema(definition: ModelDefinition): z.ZodObject {
  return takesBoxes(definition) ? detectionDataSchema : dataOptionsSchema;
}

/** The schema of a definition's options as an object schema, whose fields are option names. */
export function modelSchema(definition: ModelDefinition): z.ZodObject {
  return objectSchema(definition.options, `${definition.name}: its options`);
}

/** The schema of a definition's options for sampling; undefined where it has none. */
export function sampleSchema(definition: ModelDefinition): z.ZodObject | undefined {
  return (
    definition.sampleOptions &&
    objectSchema(definition.sampleOptions, `${definition.name}: its sampleOptions`)
  );
}

function objectSchema(schema: z.ZodType, what: string): z.ZodObject {
  if (!("shape" in schema)) throw new OptionError(`${what} must be a zod object`);
  return schema as z.ZodObject;
}

/** What of a run's record a model is built from. */
export function modelInfo(info: RunConfig["dataInfo"]): DataInfo {
  const { kind, sampleShape, classes, classShares, energy, ones } = info;
  const columns =
    info.columns &&
    parseOptions("dataInfo.columns", columnsSchema, info.columns).flatMap((column): DataColumn[] => {
      const { name } = column;
      const gap = gapWidth(column);
      return [
        ...(gap > 0 ? [{ name, size: gap }] : []),
        {
          name,
          size: valueWidth(column),
          ...(column.kind === "numeric" && { mean: column.mean, deviation: column.deviation }),
        },
      ];
    });
  return {
    kind,
    sampleShape,
    ...(columns !== undefined && { columns }),
    ...(energy !== undefined && { energy }),
    ...(ones !== undefined && { ones }),
    ...(classes !== undefined && { classes }),
    ...(classShares !== undefined && { classShares }),
  };
}
