import type { z } from "zod";
import type { ModelDefinition } from "../model/definition.ts";
import { optionGroups, USUAL_TRAINING } from "../tasks/fit/option-groups.node.ts";
import { fitOptions } from "../train/options.ts";
import { wrapped } from "./format.ts";
import { flagsOf } from "./options.ts";

// What the help of a model shows first: a command to begin with, and the options that one changes most.

/** Lines of the short help at most, and columns. */
const LINES = 40;
const WIDTH = 100;

/** A command that fits a model to data that everyone has. */
export function exampleFit({ name, dataKinds, pairs, needsSource }: ModelDefinition): string {
  if (pairs === "needed") return "eidos distill runs/rectified-flow-digits";
  if (needsSource === true) return `eidos fit ${name} digits --classes 7 --source digits --source-classes 1`;
  if (dataKinds.includes("detection")) return `eidos fit ${name} digit-scenes --seconds 120`;
  if (dataKinds.includes("image") || dataKinds.includes("binary"))
    return `eidos fit ${name} digits --seconds 120`;
  return `eidos fit ${name} two-moons --seconds 20`;
}

/** A second one, to data of one's own. */
function ownExample({ name, dataKinds, pairs }: ModelDefinition): string | undefined {
  if (pairs === "needed") return undefined;
  if (dataKinds.includes("detection")) return `eidos fit ${name} ./photos-with-boxes --size 320`;
  if (dataKinds.includes("table")) return `eidos fit ${name} measurements.csv --categorical color`;
  if (dataKinds.includes("image")) return `eidos fit ${name} ./photos --size 64`;
  return undefined;
}

/** Flags of a schema with what they do: `--width <number>`, `units of a layer (default: 64)`. */
export function flagRows(schema: z.ZodObject): readonly (readonly [flag: string, description: string])[] {
  return flagsOf(schema).map(({ flags, description }) => [flags, description]);
}

/** The first clause of a description, in one line. */
function brief(description: string, width: number): string {
  const fallback = /\(default: [^()]*\)$/.exec(description)?.[0];
  const [clause = ""] = description.split(/; | \(/);
  const whole = fallback === undefined || fallback.length > 24 ? clause : `${clause} ${fallback}`;
  return cut(whole, width);
}

const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, width - 1)}…`;

/** The help of `eidos fit` before a model is named. */
export function shortHelpOfAll(names: readonly string[], data: z.ZodObject): string {
  const rows = [
    ...flagsOf(fitOptions).filter(({ name }) => USUAL_TRAINING.includes(name)),
    ...flagsOf(data).filter(({ name }) => ["size", "columns", "categorical", "label"].includes(name)),
    { flags: "--out <folder>", description: "run folder (default: runs/MODEL-DATA)" },
    { flags: "--resume <folder>", description: "continue a run, bit for bit" },
    { flags: "--config <file>", description: "JSON file of options by their camelCase names" },
    { flags: "--json, --quiet", description: "print the summary as JSON; show no progress" },
    { flags: "--help all", description: "all options of all models, in full" },
  ];
  const width = Math.max(...rows.map(({ flags }) => flags.length));
  return [
    "Usage: eidos fit MODEL DATA [options]",
    "",
    "Fits a model to data, or continues a fit. eidos fit MODEL --help shows the options of a model.",
    "",
    ...wrapped(`Models: ${names.join(", ")}`, WIDTH),
    "Data: eidos data lists what there is; a table, a query or a folder of images are data, too.",
    "",
    ...rows.map(
      ({ flags, description }) => `  ${flags.padEnd(width)}  ${brief(description, WIDTH - width - 4)}`,
    ),
    "",
    "Examples: eidos fit rectified-flow digits --seconds 120",
    "          eidos fit spline-flow measurements.csv --categorical color",
    "          eidos fit yolo ./photos-with-boxes --size 320",
    "          eidos fit --resume runs/yolo-photos-with-boxes",
    "",
  ].join("\n");
}

/** The help of `eidos fit MODEL`, in at most 40 lines of 100 columns: what matters first. `--help all` has the rest. */
export function shortFitHelp(model: string, definition: ModelDefinition): string {
  const titles = { training: "Training", data: "Data", model: `Model ${definition.name}` };
  const groups = optionGroups(definition).map(({ of, schema, usual }) => ({
    title: titles[of],
    schema,
    names: usual,
  }));
  const examples = [exampleFit(definition), ownExample(definition)].filter((line) => line !== undefined);
  const head = [
    `Usage: eidos fit ${model} DATA [options]`,
    "",
    cut(`${definition.name}: ${definition.summary}`, WIDTH),
  ];
  const foot = ["", ...examples.map((example, i) => `${i === 0 ? "Examples:" : "         "} ${example}`)];
  const rows = groups.flatMap(({ title, schema, names }) => {
    if (names.length === 0) return [];
    const all = Object.keys(schema.shape).length;
    const lines = flagsOf(schema)
      .filter(({ name }) => names.includes(name))
      .map(({ flags, description }) => ({ flags, description }));
    const rest = all - names.length;
    return [{ title: `${title}:${rest > 0 ? ` (and ${rest} more)` : ""}` }, ...lines];
  });
  const common = [
    { flags: "--out <folder>", description: "run folder (default: runs/MODEL-DATA)" },
    { flags: "--resume <folder>", description: "continue a run, bit for bit" },
    { flags: "--json, --quiet", description: "print the summary as JSON; show no progress" },
    { flags: "--help all", description: "all options, in full" },
  ];
  const always = [{ title: "Always:" }, ...common];
  const room = LINES - head.length - foot.length - always.length - 2;
  const entries = [...rows.slice(0, room), ...always];
  const width = Math.max(...entries.map((entry) => ("flags" in entry ? entry.flags.length : 0)));
  const body = entries.map((entry) =>
    "flags" in entry
      ? `  ${entry.flags.padEnd(width)}  ${brief(entry.description, WIDTH - width - 4)}`
      : entry.title,
  );
  return [...head, "", ...body, ...foot, ""].join("\n");
}
