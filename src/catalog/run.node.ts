import { pathToFileURL } from "node:url";
import type { z } from "zod";
import type { DataSet } from "../data/data-set.ts";
import { openData } from "../data/open.node.ts";
import { dataOptionsSchema } from "../data/options.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo, Model, ModelDefinition } from "../nn/model.ts";
import { checkState } from "../nn/state.ts";
import { nodeRuntime } from "../program/node.ts";
import { Session } from "../program/session.ts";
import { checkFingerprint } from "../train/fit.node.ts";
import type { RunConfig } from "../train/run-config.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import { buildModel, findModel, parseOptions } from "./models.ts";

/** The definition of a model by name or by the path of a module. @throws OptionError */
export async function loadDefinition(model: string): Promise<ModelDefinition> {
  if (!/\.(js|mjs|ts)$/.test(model)) return findModel(model);
  let module: { readonly default?: ModelDefinition };
  try {
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

/** The schema of a definition's options as an object schema, whose fields are option names. */
export function modelSchema(definition: ModelDefinition): z.ZodObject {
  const schema = definition.options;
  if (!("shape" in schema)) throw new OptionError(`${definition.name}: its options must be a zod object`);
  return schema as z.ZodObject;
}

/** What of a run's record a model is built from. */
export function modelInfo({ kind, sampleShape, classes }: RunConfig["dataInfo"]): DataInfo {
  return { kind, sampleShape, ...(classes !== undefined && { classes }) };
}

/** A fitted model, ready to sample, score or export. */
export interface OpenRun {
  readonly folder: RunFolder;
  readonly config: RunConfig;
  readonly model: Model;
  readonly definition: ModelDefinition;
  readonly session: Session;
}

/**
 * Opens a run folder: its model with its weights on a runtime.
 * @throws FileError, OptionError, WeightsError where folder, configuration or weights are missing or damaged
 */
export async function openRun(
  path: string,
  options: { readonly weights?: "best" | "last"; readonly provider?: string; readonly threads?: number } = {},
): Promise<OpenRun> {
  const folder = new RunFolder(path);
  const config = await folder.readConfig();
  const definition = await loadDefinition(config.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  const weights = checkState(await folder.readWeights(options.weights), model, path);
  const runtime = await nodeRuntime({
    provider: options.provider ?? "cpu",
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  return { folder, config, model, definition, session: new Session(runtime, weights) };
}

/** The data of a run, checked to be what it was fitted on. @throws OptionError, DataError */
export async function runData(config: RunConfig): Promise<DataSet> {
  const data = await openData(config.data, parseOptions("data", dataOptionsSchema, config.dataOptions));
  checkFingerprint(config.dataInfo.fingerprint, data);
  return data;
}
