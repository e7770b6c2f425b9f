import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, beforeAll, expect, it } from "vitest";
import { models } from "../../../src/catalog.ts";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

// With `deterministic`, a few steps give the same weights with one thread and with two, for every model that is fitted to plain data.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
  for (const name of ["bright", "dark"]) {
    await mkdir(join(root, "photos", name), { recursive: true });
    for (let i = 0; i < 12; i++) {
      const random = new Random(i).split(name);
      const data = Uint8Array.from(
        { length: 32 * 32 * 3 },
        () => 120 * random.uniform() + (name === "dark" ? 0 : 120),
      );
      await writeFile(
        join(root, "photos", name, `${i}.png`),
        encode({ width: 32, height: 32, channels: 3, depth: 8, data }),
      );
    }
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

const DATA: ReadonlyMap<string, Readonly<Record<string, unknown>> & { readonly data: string }> = new Map([
  ["points", { data: "two-moons", count: 1000, batchSize: 100 }],
  ["binary", { data: "digits", binary: true, batchSize: 4 }],
  ["detection", { data: "digit-scenes", scenes: 20, batchSize: 2 }],
]);

/** Colored images of two classes, for models that take nothing else. */
const photos = () => ({ data: join(root, "photos"), size: 32, color: "rgb", batchSize: 4 });

/** Detectors have images with boxes. */
const kindsOf = (name: string): readonly string[] => {
  const { dataKinds, can } = present(models.get(name));
  return can.includes("detect") ? ["detection"] : dataKinds;
};

const plain = [...models.values()].filter(({ pairs }) => pairs !== "needed").map(({ name }) => name);

it.each(plain)("%s has the same weights with one thread and with two", async (name) => {
  const kinds = kindsOf(name);
  const kind = [...DATA.keys()].find((dataKind) => kinds.includes(dataKind));
  const source = models.get(name)?.needsSource === true ? { source: "two-moons" } : {};
  const weights: Buffer[] = [];
  for (const threads of [1, 2]) {
    const { fit } = await prepareFit({
      kind: "new",
      request: {
        ...(kind === undefined ? photos() : present(DATA.get(kind))),
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
