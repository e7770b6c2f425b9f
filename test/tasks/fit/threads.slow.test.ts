import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { models } from "../../../src/catalog.ts";
import { fit } from "../../../src/index.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { numbers, present, temporaryFolder } from "../../support.ts";

// With `deterministic`, a few steps give the same weights with one thread and with two, for every model that is fitted to plain data.

const DATA: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  points: { data: "two-moons", batchSize: 100 },
  binary: { data: "digits", binary: true, batchSize: 20 },
  detection: { data: "digit-scenes", batchSize: 2 },
};

const plain = [...models.values()].filter(({ pairs }) => pairs !== "needed");

it.each(plain.map(({ name }) => name))(
  "%s has the same weights with one thread and with two",
  async (name) => {
    const definition = present(models.get(name));
    const kind = present(definition.dataKinds.find((dataKind) => dataKind in DATA));
    const root = await temporaryFolder();
    const weights: (readonly (readonly [string, readonly number[]])[])[] = [];
    try {
      for (const threads of [1, 2]) {
        const out = join(root, String(threads));
        const source = definition.needsSource ? { source: "two-moons" } : {};
        const request = {
          ...DATA[kind],
          ...source,
          steps: 3,
          samplePictures: 0,
          threads,
          deterministic: true,
          out,
        };
        await fit({ model: definition, ...request } as never);
        const read = await new RunFolder(out).readWeightsFile("last");
        weights.push([...read.weights].map(([key, value]) => [key, numbers(value)] as const));
      }
      expect(weights[1]).toEqual(weights[0]);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  },
);
