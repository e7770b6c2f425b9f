import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { modelList } from "../../scripts/model-list.ts";

// How long a command takes to begin is how much it loads. No clock is asked here: what a command imports before it does anything is read
// off the sources.

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));
/** Imports and exports with values; those of types alone are not there when the program runs. */
const STATEMENT = /^(?:import|export)(?! type\b)(?:\s[^"';]*?\sfrom)?\s*"([^"]+)";/gm;

/** Whether a statement imports anything but types. */
const hasValues = (statement: string): boolean => {
  const braces = /\{([^}]*)\}/.exec(statement)?.[1];
  if (braces === undefined || /\}?\s*\*|^import\s+\w+\s*,/.test(statement)) return true;
  return braces.split(",").some((name) => name.trim() !== "" && !name.trim().startsWith("type "));
};

/** All that a file of `src/` imports before it runs: files by their path in `src/`, packages by name. */
function loadedBy(file: string): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [resolve(SRC, file)];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const name = relative(SRC, path);
    if (found.has(name)) continue;
    found.add(name);
    for (const [statement, specifier = ""] of readFileSync(path, "utf8").matchAll(STATEMENT)) {
      if (!hasValues(statement)) continue;
      if (specifier.startsWith(".")) open.push(resolve(dirname(path), specifier));
      else found.add(specifier);
    }
  }
  return found;
}

/** Those of what is loaded that begin with one of some names. */
const among = (loaded: ReadonlySet<string>, names: readonly string[]): readonly string[] =>
  [...loaded].filter((name) => names.some((start) => name.startsWith(start)));

describe("what is loaded at the start of", () => {
  it("eidos fit: models and options (so that imports are seen by this test)", () => {
    const loaded = loadedBy("cli/commands/fit.ts");
    expect(among(loaded, ["zod", "catalog.ts", "tasks/fit/"]).length).toBeGreaterThan(3);
  });

  it("every command: neither models nor packages but that of options", () => {
    const loaded = loadedBy("cli/command.ts");
    expect(among(loaded, ["zod", "onnx", "catalog.ts", "tensor/", "tasks/"])).toEqual([]);
    expect(loaded.size).toBeLessThan(12);
  });

  it("eidos models: no model", () => {
    const loaded = loadedBy("cli/commands/models.ts");
    expect(among(loaded, ["zod", "onnx", "catalog.ts", "tensor/", "tasks/"])).toEqual([]);
    expect(loaded.size).toBeLessThan(12);
  });

  it("eidos sample: no reader of annotations, no measure of tables, no export", () => {
    const loaded = loadedBy("cli/commands/sample.ts");
    const others = [
      ...["yaml", "@rgrove/parse-xml", "sharp", "@duckdb", "onnxruntime-web"],
      ...["data/boxes/formats/read", "metrics/table/", "report/leaderboard/", "report/page/"],
      ...["precision/", "tasks/export/", "tasks/measure/eval", "tasks/use/detect.", "tasks/use/impute."],
    ];
    expect(among(loaded, others)).toEqual([]);
    expect(among(loaded, ["catalog.ts", "onnxruntime-node"])).toHaveLength(2);
  });
});

describe("the list of models", () => {
  it("is that of the catalogue", () => {
    const text = readFileSync(resolve(SRC, "cli/model-list.ts"), "utf8");
    expect(text, "write it anew: npx tsx scripts/model-list.ts").toBe(modelList());
  });
});
