import { writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { models } from "../src/catalog.ts";
import { purposeOf } from "../src/model/definition.ts";

// Writes what `eidos models` lists, from the catalogue:  npx tsx scripts/model-list.ts
// So the list is printed without loading a model. test/cli/start.test.ts checks that it is not stale.

/** The text of `src/cli/model-list.ts`. */
export function modelList(): string {
  const lines = [...models.values()].map((definition) => {
    const { name, summary, dataKinds } = definition;
    const purpose = purposeOf(definition);
    return `  ${JSON.stringify({ name, ...(purpose !== undefined && { purpose }), summary, dataKinds })},`;
  });
  return [
    'import type { Purpose } from "../model/definition.ts";',
    "",
    "// Written by scripts/model-list.ts from the catalogue.",
    "",
    "/** A model as it is listed. */",
    "export interface ListedModel {",
    "  readonly name: string;",
    "  readonly purpose?: Purpose;",
    "  readonly summary: string;",
    "  readonly dataKinds: readonly string[];",
    "}",
    "",
    "// biome-ignore format: one line a model",
    "export const MODEL_LIST: readonly ListedModel[] = [",
    ...lines,
    "];",
    "",
  ].join("\n");
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) {
  await writeFile(new URL("../src/cli/model-list.ts", import.meta.url), modelList());
}
