import { rectifiedFlowDefinition } from "../diffusion/rectified-flow.ts";
import { OptionError } from "../errors.ts";
import { niceDefinition } from "../flows/nice.ts";
import { nearest } from "../nearest.ts";
import type { DataInfo, Model, ModelDefinition } from "../nn/model.ts";
import { nameParameters } from "../nn/module.ts";
import { parseOptions } from "./options.ts";

/** Every model by name. */
export const models: ReadonlyMap<string, ModelDefinition> = new Map(
  [rectifiedFlowDefinition, niceDefinition].map((definition) => [
    definition.name,
    definition as ModelDefinition,
  ]),
);

/**
 * The definition of a model.
 * @throws OptionError for an unknown name, with the nearest known one.
 */
export function findModel(name: string): ModelDefinition {
  const definition = models.get(name);
  if (definition !== undefined) return definition;
  const names = [...models.keys()];
  const close = nearest(name, names);
  throw new OptionError(
    `there is no model called ${name}${close === undefined ? "" : `; did you mean ${close}?`} (models: ${names.join(", ")})`,
  );
}

/**
 * Builds a model for data from its options, named and ready to be given weights.
 * @throws OptionError where an option is wrong or the model does not take data of this kind.
 */
export function buildModel(definition: ModelDefinition, options: unknown, data: DataInfo): Model {
  if (!definition.dataKinds.includes(data.kind)) {
    throw new OptionError(
      `${definition.name} takes ${definition.dataKinds.join(" or ")} data, not ${data.kind} data`,
    );
  }
  return nameParameters(definition.build(parseOptions(definition.name, definition.options, options), data));
}
