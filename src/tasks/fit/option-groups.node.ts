import type { z } from "zod";
import type { ModelDefinition } from "../../model/definition.ts";
import { fitOptions } from "../../train/options.ts";
import { dataSchema, modelSchema } from "../run/definition.node.ts";

// The options of a fit in three groups, and those of each that one changes most: they come first in help and in forms.

/** Options of training that are shown first. */
export const USUAL_TRAINING: readonly string[] = [
  "seconds",
  "steps",
  "epochs",
  "batchSize",
  "learningRate",
  "seed",
  "weights",
  "from",
  "replicas",
  "report",
];

/** Options of data that are shown first, by the kinds of data that a model takes. */
const DATA: Readonly<Record<string, readonly string[]>> = {
  image: ["size", "color", "classes"],
  table: ["columns", "categorical", "label", "missing"],
  binary: ["binarize"],
  points: [],
  detection: ["size", "augment", "flip", "classes", "format", "tiles", "scales"],
};

/** Options of a model that are shown before others, where it has them. */
const FIRST = ["width", "layers", "depth", "conditional", "backbone", "conditionOn", "transforms", "steps"];

/** Options of one group. */
export interface OptionGroup {
  readonly of: "training" | "data" | "model";
  readonly schema: z.ZodObject;
  /** Names of those that one changes most, these first. */
  readonly usual: readonly string[];
}

function chosen(schema: z.ZodObject, names: readonly string[], most = names.length): readonly string[] {
  return names.filter((name) => Object.hasOwn(schema.shape, name)).slice(0, most);
}

/** The options of a fit of a model. */
export function optionGroups(definition: ModelDefinition): readonly OptionGroup[] {
  const [data, own] = [dataSchema(definition), modelSchema(definition)];
  const kinds = definition.dataKinds.flatMap((kind) => DATA[kind] ?? []);
  const preferred = [...new Set([...chosen(own, FIRST), ...Object.keys(own.shape)])];
  return [
    { of: "training", schema: fitOptions, usual: chosen(fitOptions, USUAL_TRAINING) },
    { of: "data", schema: data, usual: chosen(data, [...new Set(kinds)], 7) },
    { of: "model", schema: own, usual: chosen(own, preferred, 7) },
  ];
}

/** Options of the scenes of digits that are drawn, which no other data has. */
export function isOfScenes(description: string | undefined): boolean {
  return description?.startsWith("digit-scenes: ") === true;
}
