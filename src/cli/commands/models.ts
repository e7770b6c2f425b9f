import type { Command } from "commander";
import { z } from "zod";
import { findModel, models } from "../../catalog.ts";
import {
  abilities,
  GAP_MEANINGS,
  gapHandling,
  type ModelDefinition,
  type Purpose,
  purposeOf,
} from "../../model/definition.ts";
import { modelSchema } from "../../tasks/run/definition.node.ts";
import { print, printJson, printLine, wrapped } from "../format.ts";
import { exampleFit, flagRows } from "../model-help.ts";

const toJson = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

/** What one may want of a model, in the order in which it is listed. */
const TITLES: Readonly<Record<Purpose, string>> = {
  find: "find objects in photos (eidos detect)",
  score: "score rows and images by exact log-likelihoods (eidos score); all of them draw samples too",
  draw: "draw samples (eidos sample)",
  embed: "embed: features of images, rows and points without labels (eidos embed, probe, neighbours)",
};

/** Columns of a terminal that the list fits. */
const WIDTH = 100;

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

function printList(list: readonly ModelDefinition[]): void {
  const name = Math.max(...list.map((definition) => definition.name.length)) + 2;
  for (const [purpose, title] of Object.entries(TITLES)) {
    const members = list.filter((definition) => purposeOf(definition) === purpose);
    if (members.length === 0) continue;
    printLine(`To ${title}`);
    for (const { name: model, summary, dataKinds } of members) {
      const kinds = dataKinds.filter((kind) => kind !== "detection");
      const text = kinds.length === 0 ? summary : `${summary} (${kinds.join(", ")})`;
      const lines = wrapped(text, WIDTH - name - 2);
      for (const [i, line] of lines.entries()) printLine(`  ${(i === 0 ? model : "").padEnd(name)}${line}`);
    }
    print("");
  }
  print("eidos models NAME shows one with its options; eidos fit NAME --help how to fit it");
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

export function configure(command: Command): void {
  command.option("--json", "print names, papers, abilities and options as JSON");
  command.option("--quiet", "show no progress");
  command.action((name: string | undefined, { json }: { json?: boolean }) => {
    if (name !== undefined) {
      const definition = findModel(name);
      if (json) printJson(jsonOf(definition));
      else printModel(definition);
      return;
    }
    const list = [...models.values()];
    if (json) printJson(list.map(jsonOf));
    else printList(list);
  });
}
