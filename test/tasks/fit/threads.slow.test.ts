import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { models } from "../../../src/catalog.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

// With `deterministic`, a few steps give the same weights with one thread and with two, for every model that is fitted to plain data.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true, force: true }));

const DATA: ReadonlyMap<string, Readonly<Record<string, unknown>> & { readonly data: string }> = new Map([
  ["points", { data: "two-moons", count: 1000, batchSize: 100 }],
  ["binary", { data: "digits", binary: true, batchSize: 4 }],
  ["detection", { data: "digit-scenes", scenes: 20, batchSize: 2 }],
]);

/** Detectors have images with boxes. */
const kindsOf = (name: string): readonly string[] => {
  const { dataKinds, can } = present(models.get(name));
  return can.includes("detect") ? ["detection"] : dataKinds;
};

const plain = [...models.values()].filter(({ pairs }) => pairs !== "needed").map(({ name }) => name);

it.each(plain)("%s has the same weights with one thread and with two", async (name) => {
  const kind = present(kindsOf(name).find((dataKind) => DATA.has(dataKind)));
  const source = models.get(name)?.needsSource === true ? { source: "two-moons" } : {};
  const weights: Buffer[] = [];
  for (const threads of [1, 2]) {
    const { fit } = await prepareFit({
      kind: "new",
      request: {
        ...present(DATA.get(kind)),
        ...source,
        ...{ model: name, steps: 2, validationSamples: 8, samplePictures: 0, threads, deterministic: true },
        out: join(root, `${name}-${threads}`),
      },
    });
    const { begin: _b, draw: _d, finish: _f, ...bare } = fit;
    await fitHere(bare);
    weights.push(await readFile(fit.folder.file("weights", "last.safetensors")));
  }
  const [one, two] = weights;
  expect(present(one).equals(present(two))).toBe(true);
});
