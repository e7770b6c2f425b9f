import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { buildModel, models } from "../src/catalog.ts";
import { columnsSchema } from "../src/data/sources/columns.ts";
import { dataOptionsSchema } from "../src/data/sources/options.ts";
import { EidosError, OptionError } from "../src/errors.ts";
import type { DataInfo, FitKind } from "../src/model/data-info.ts";
import { stateSize } from "../src/nn/module.ts";
import { detectionDataSchema } from "../src/tasks/run/detection-options.ts";
import { fitOptions } from "../src/train/options.ts";
import { runConfig } from "../src/train/run-config.ts";

// No number and no list of an option or a stored record is without a largest value.

type Json = z.core.JSONSchema.BaseSchema;

/** Whatever a whole number may be, a seed may: it decides no size. */
const SEED = /seed$/i;

/** Statistics of a column: any number, which decides no size. */
const STATISTIC =
  /\.(mean|deviation)$|\.cells\.(step|offset|minimum|maximum|scale\.(edge|unit|from|center|values\[\]|scores\[\]))$/;

/** Paths of what has no largest value in a schema. */
function unbounded(schema: Json | boolean | undefined, path: string): readonly string[] {
  if (typeof schema !== "object") return [];
  const isNumber = schema.type === "integer" || schema.type === "number";
  const most = Number(schema.maximum ?? schema.exclusiveMaximum ?? Number.POSITIVE_INFINITY);
  const isChoice = schema.enum !== undefined || schema.const !== undefined;
  const free = isNumber && !isChoice && !(most < Number.MAX_SAFE_INTEGER) && !SEED.test(path);
  const long = schema.type === "array" && schema.maxItems === undefined;
  const items = Array.isArray(schema.items) ? schema.items : [schema.items];
  return [
    ...((free && !STATISTIC.test(path)) || long ? [path] : []),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, own]) => unbounded(own, `${path}.${name}`)),
    ...items.flatMap((item) => unbounded(item as Json | undefined, `${path}[]`)),
    ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])].flatMap((own) =>
      unbounded(own, path),
    ),
  ];
}

const schemas: readonly (readonly [string, z.ZodType])[] = [
  ...[...models.values()].flatMap(({ name, options, sampleOptions }) => [
    [name, options] as const,
    ...(sampleOptions === undefined ? [] : [[`samples of ${name}`, sampleOptions] as const]),
  ]),
  ["fit", fitOptions],
  ["data", dataOptionsSchema],
  ["data of detectors", detectionDataSchema],
  ["config.json", runConfig],
  ["columns", columnsSchema],
];

const jsonOf = (schema: z.ZodType): Json => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

describe("numbers and lists", () => {
  it.each(schemas)("of %s have a largest value", (name, schema) => {
    expect(unbounded(jsonOf(schema), name)).toEqual([]);
  });

  it("are found where they have none", () => {
    const schema = z.strictObject({
      count: z.int(),
      gain: z.number().min(0).optional(),
      list: z.array(z.int().max(3)),
      nested: z.array(z.strictObject({ depth: z.int().min(1) })).max(2),
      seed: z.int(),
      fine: z.number().lt(1),
      stride: z.literal([4, 8]),
    });
    expect(unbounded(jsonOf(schema), "own")).toEqual([
      "own.count",
      "own.gain",
      "own.list",
      "own.nested[].depth",
    ]);
  });

  it("of flags have one too: where a command names a number, its shape or its maximum stands beside", async () => {
    const commands = fileURLToPath(new URL("../src/cli", import.meta.url));
    const files = (await readdir(commands, { recursive: true })).filter((file) => file.endsWith(".ts"));
    const found: string[] = [];
    for (const file of files) {
      const text = await readFile(join(commands, file), "utf8");
      for (const [chain] of text.matchAll(/z\s*\.(?:int|number|array)\([^;,]*?\.describe\(/g)) {
        if (!/\.(max|lt)\(/.test(chain)) found.push(`${file}: ${chain}`);
      }
    }
    expect(files.length).toBeGreaterThan(20);
    expect(found).toEqual([]);
  });
});

/** Data of each kind, as small as it comes. */
const data: Readonly<Record<FitKind, DataInfo>> = {
  points: { kind: "points", sampleShape: [2] },
  table: {
    kind: "table",
    sampleShape: [3],
    columns: ["a", "b", "c"].map((name) => ({ name, size: 1, mean: 0, deviation: 1 })),
  },
  image: { kind: "image", sampleShape: [3, 32, 32], classes: 2 },
  binary: { kind: "binary", sampleShape: [1, 28, 28] },
  detection: { kind: "image", sampleShape: [3, 320, 320], classes: 3 },
};

/** Every numeric option at its largest value. */
function largest(schema: z.ZodType): Record<string, unknown> {
  const numeric = Object.entries(jsonOf(schema).properties ?? {}).flatMap(([name, own]) => {
    if (typeof own !== "object" || own.enum !== undefined || SEED.test(name)) return [];
    if (own.type === "integer") return [[name, own.maximum]];
    return own.type === "number" && own.maximum !== undefined ? [[name, own.maximum]] : [];
  });
  return Object.fromEntries(numeric);
}

const cases = [...models.values()].flatMap((definition) =>
  definition.dataKinds.map((kind) => [definition.name, kind, definition] as const),
);

describe("a model with every number at its largest value", () => {
  it.each(cases)("is refused, or small: %s of %s", (_name, kind, definition) => {
    const info = data[kind];
    try {
      const limit = { bytes: 1e9, source: "this test allows" };
      const model = buildModel(definition, largest(definition.options), info, limit);
      expect(4 * stateSize(model)).toBeLessThanOrEqual(1e9);
    } catch (error) {
      if (!(error instanceof EidosError)) throw error;
    }
  });
});

describe("a model for samples of very many numbers", () => {
  it("is refused", () => {
    const nice = models.get("nice");
    expect(nice).toBeDefined();
    if (nice === undefined) return;
    const build = (shape: readonly number[]) => () =>
      buildModel(nice, {}, { kind: "image", sampleShape: shape });
    expect(build([3, 8192, 8192])).toThrow(
      /^nice: a sample of \[3,8192,8192\] has 201,326,592 numbers; at most 67,108,864/,
    );
    expect(() => buildModel(nice, {}, { kind: "points", sampleShape: [2], classes: 100_000 })).toThrow(
      OptionError,
    );
  });
});
