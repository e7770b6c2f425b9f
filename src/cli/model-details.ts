import { z } from "zod";
import { findModel, models } from "../catalog.ts";
import { abilities, GAP_MEANINGS, gapHandling, type ModelDefinition } from "../model/definition.ts";
import { modelSchema } from "../tasks/run/definition.node.ts";
import { print, printJson, printLine, WIDTH, wrapped } from "./format.ts";
import { exampleFit, flagRows } from "./model-help.ts";

// What `eidos models` prints of a model, or of all of them as JSON: it loads every model, which the list for a person does not.

const toJson = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

function jsonOf(definition: ModelDefinition): Readonly<Record<string, unknown>> {
  const gaps = gapHandling(definition);
  return {
    name: definition.name,
    summary: definition.summary,
    paper: definition.paper,
    dataKinds: definition.dataKinds,
    can: abilities(definition),
    ...(gaps !== undefined && { gaps }),
    options: toJson(definition.options),
    ...(definition.sampleOptions !== undefined && { sampleOptions: toJson(definition.sampleOptions) }),
  };
}

function printModel(definition: ModelDefinition): void {
  const { name, summary, paper, dataKinds } = definition;
  for (const line of wrapped(`${name}: ${summary}`, WIDTH)) printLine(line);
  for (const line of wrapped(paper, WIDTH)) printLine(line);
  print("");
  printLine(`data: ${dataKinds.join(", ")}`);
  for (const line of wrapped(`can: ${abilities(definition).join(", ")}`, WIDTH)) printLine(line);
  const gaps = gapHandling(definition);
  if (gaps !== undefined) {
    const meaning = GAP_MEANINGS[gaps].replaceAll("`", "");
    for (const line of wrapped(`tables with gaps: ${meaning}`, WIDTH)) printLine(line);
  }
  printLine(`begin with: ${exampleFit(definition)}`);
  print("\noptions of its own:");
  for (const [flag, description] of flagRows(modelSchema(definition))) {
    printLine(`  ${flag}`);
    for (const line of wrapped(description, WIDTH - 6)) printLine(`      ${line}`);
  }
}

/** Prints a model with its options. @throws OptionError where there is none of this name */
export function showModel(name: string, json: boolean): void {
  const definition = findModel(name);
  if (json) printJson(jsonOf(definition));
  else printModel(definition);
}

/** Prints all models as JSON. */
export function printModelsJson(): void {
  printJson([...models.values()].map(jsonOf));
}
