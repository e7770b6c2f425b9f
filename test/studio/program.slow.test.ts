import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { DataSpec } from "../../studio/playground/data.ts";
import { initialSettings, MODEL_KEYS } from "../../studio/playground/models.ts";
import { programOf } from "../../studio/playground/program.ts";

// Programs that the playground offers run as they are, beside the checkout's package.

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

const DATA: readonly DataSpec[] = [
  { kind: "plane", name: "spiral" },
  { kind: "drawing", strokes: [{ points: [-1, 0, 1, 0.5], deviation: 0.2 }] },
];

describe("the program of the playground", () => {
  it.each(
    MODEL_KEYS.map((key, i) => ({
      key,
      data: DATA[i % 2] ?? { kind: "plane" as const, name: "rings" as const },
    })),
  )("trains $key and draws samples", async ({ key, data }) => {
    const file = `${root}.studio-program-${key}.ts`;
    await writeFile(file, programOf({ key, data, settings: initialSettings(key), steps: 100, seed: 1 }));
    try {
      const { stdout } = await run(process.execPath, ["--import", "tsx", file], { cwd: root });
      expect(stdout).toMatch(
        /^step 100: loss -?\d+\.\d{3}\nenergy distance of 500 samples .*: -?\d+\.\d{4}\n$/,
      );
    } finally {
      await rm(file);
    }
  });
});
