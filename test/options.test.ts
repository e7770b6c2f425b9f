import { describe, expect, it } from "vitest";
import { models } from "../src/catalog.ts";
import { dataOptionsSchema } from "../src/data/sources/options.ts";
import { fitOptions } from "../src/train/options.ts";

const optionNames = (schema: unknown): readonly string[] =>
  Object.keys((schema as { readonly shape?: object } | undefined)?.shape ?? {});

describe("options of a model", () => {
  const others = [
    ...optionNames(fitOptions),
    ...optionNames(dataOptionsSchema),
    "model",
    "data",
    "out",
    "resume",
  ];

  it.each([...models.values()])(
    "$name: none has the name of an option of training or data",
    ({ options }) => {
      // One flag would set both.
      expect(optionNames(options).filter((name) => others.includes(name))).toEqual([]);
    },
  );

  it.each([...models.values()])("$name: every one is described", ({ options, sampleOptions }) => {
    for (const schema of [options, sampleOptions]) {
      const { shape = {} } = (schema ?? {}) as { readonly shape?: Record<string, { description?: string }> };
      for (const [name, field] of Object.entries(shape)) expect(field.description, name).toBeTruthy();
    }
  });
});
