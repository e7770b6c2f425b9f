import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { models } from "../src/catalog.ts";
import { flagName } from "../src/cli/options.ts";
import { detectionOptionsSchema } from "../src/data/boxes/options.ts";
import { dataOptionsSchema } from "../src/data/sources/options.ts";
import { augmentSchema } from "../src/detection/augment/options.ts";
import { GAP_MEANINGS, gapHandling } from "../src/model/definition.ts";
import { serveOptions } from "../src/serve/options.ts";
import { studioOptions } from "../src/serve/studio/options.ts";
import { detectionFitOptions } from "../src/tasks/run/detection-options.ts";
import { fitOptions } from "../src/train/options.ts";
import { ROOT, TEXTS } from "./pages.ts";

// Writes the tables of options in docs/ from the schemas:  npx tsx scripts/option-tables.ts
// A table stands between `<!-- options: NAME -->` and `<!-- end -->`; test/docs.test.ts checks that none is stale.

const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  training: fitOptions,
  data: dataOptionsSchema,
  "detection-data": detectionOptionsSchema,
  "detection-fit": detectionFitOptions,
  augmentation: augmentSchema,
  serve: serveOptions,
  studio: studioOptions,
  ...Object.fromEntries([...models].map(([name, { options }]) => [name, options])),
};

/** The pages that hold tables. */
export const TABLE_PAGES = [...TEXTS]
  .filter(([, text]) => text.includes("<!-- options: "))
  .map(([page]) => page);

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** One row for each option: flag, default, values and description. */
function table(schema: z.ZodType): string {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const rows = Object.entries(properties).map(([name, property]) => {
    const { description = "", default: fallback, enum: values } = property as z.core.JSONSchema.BaseSchema;
    const shown =
      fallback === undefined || (Array.isArray(fallback) && fallback.length === 0) ? "" : `${fallback}`;
    const choice = values === undefined ? "" : `: ${values.map((value) => `\`${value}\``).join(", ")}`;
    return `| \`--${flagName(name)}\` | ${shown} | ${cell(description + choice)} |`;
  });
  return ["| option | default | |", "|---|---|---|", ...rows].join("\n");
}

/** What a model does with gaps of tables; empty where it takes none. */
function gapsLine(name: string): string {
  const definition = models.get(name);
  const handling = definition && gapHandling(definition);
  if (handling === undefined) return "";
  return `\nTables with [gaps](../guide/tables.md#what-models-see): ${GAP_MEANINGS[handling]}.\n`;
}

/** A page with its tables made anew. @throws Error where a table has no schema */
export function withTables(markdown: string): string {
  return markdown.replace(/<!-- options: ([\w-]+) -->.*?<!-- end -->/gs, (_, name: string) => {
    const schema = SCHEMAS[name];
    if (schema === undefined) throw new Error(`there are no options of ${name}`);
    return `<!-- options: ${name} -->\n\n${table(schema)}\n${gapsLine(name)}\n<!-- end -->`;
  });
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  for (const [page, text] of TEXTS) {
    const anew = withTables(text);
    if (anew === text) continue;
    await writeFile(join(ROOT, page), anew);
    console.log(page);
  }
}
