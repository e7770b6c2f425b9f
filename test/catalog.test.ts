import { describe, expect, it } from "vitest";
import { models } from "../src/catalog.ts";
import { dataOptionsSchema } from "../src/data/sources/options.ts";
import { gapHandling } from "../src/model/definition.ts";
import { dataSchema } from "../src/tasks/run/definition.node.ts";
import { detectionFitOptions } from "../src/tasks/run/detection-options.ts";
import { fitOptions } from "../src/train/options.ts";

/** Options by name, as schemas hold them. */
function optionsOf(schema: unknown): Readonly<Record<string, { readonly description?: string }>> {
  return (schema as { readonly shape?: Record<string, { description?: string }> } | undefined)?.shape ?? {};
}

describe("options of the catalogue", () => {
  it("are all described: of every model, of its samples, of training and of data", () => {
    const schemas = [
      ...[...models.values()].flatMap(({ name, options, sampleOptions }) => [
        [name, options] as const,
        [`samples of ${name}`, sampleOptions] as const,
      ]),
      ["training", fitOptions] as const,
      ["training of detectors", detectionFitOptions] as const,
      ["data", dataOptionsSchema] as const,
    ];
    const all = schemas.flatMap(([owner, schema]) =>
      Object.entries(optionsOf(schema)).map(([name, { description }]) => ({ owner, name, description })),
    );
    expect(all.length).toBeGreaterThan(100);
    expect(all.filter(({ description }) => !description)).toEqual([]);
  });

  it("of a model have no name of an option of training or data: one flag would set both", () => {
    for (const definition of models.values()) {
      const { name, options } = definition;
      const others = [
        ...Object.keys({ ...optionsOf(fitOptions), ...optionsOf(dataSchema(definition)) }),
        "model",
        "data",
        "out",
        "resume",
      ];
      expect(
        Object.keys(optionsOf(options)).filter((option) => others.includes(option)),
        name,
      ).toEqual([]);
    }
  });
});

it("says what each model does with gaps of tables", () => {
  const handling = Object.fromEntries(
    [...models].map(([name, definition]) => [name, gapHandling(definition)]),
  );
  expect(handling).toMatchObject({
    nice: "filled in",
    made: "filled in",
    vae: "filled in",
    "rectified-flow": "filled in",
    gan: "drawn anew",
    simclr: "learned",
    "pixel-cnn": undefined,
    yolo: undefined,
  });
});
