import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportedModelSchema } from "../../../src/model/exported.ts";
import { objectsApart, pixelsOf, type ShippedObject, writeScript } from "../../shipping.ts";
import { largestDifference } from "../../support.ts";

// Files that were exported once say in Node what they say in Python (test/fixtures/export/make.py).

const FIXTURES = fileURLToPath(new URL("../../fixtures/export/", import.meta.url));
const json = async (name: string) => JSON.parse(await readFile(join(FIXTURES, name), "utf8"));

/** What the script of the guide has. */
interface Script {
  score(folder: string, rows: unknown): Promise<readonly number[]>;
  sample(folder: string, count: number, noise: readonly number[]): Promise<unknown>;
  detect(folder: string, image: unknown): Promise<readonly ShippedObject[]>;
}

let script: string;
let use: Script;
let python: {
  readonly scores: readonly number[];
  readonly bytes: readonly number[];
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
  readonly objects: readonly ShippedObject[];
};

beforeAll(async () => {
  // Where Node finds onnxruntime-node.
  script = await writeScript("use.mjs", fileURLToPath(new URL(".", import.meta.url)));
  use = await import(script);
  python = JSON.parse((await readFile(join(FIXTURES, "expected.json"), "utf8")).replaceAll("NaN", "null"));
});
afterAll(() => rm(script));

describe("exported files say in Node what they say in Python", () => {
  it("of rows", async () => {
    const scores = await use.score(join(FIXTURES, "table"), await json("rows.json"));
    expect(largestDifference(scores, python.scores)).toBeLessThan(1e-3);
  });

  it("of drawn rows, gaps among them", async () => {
    const { abilities } = exportedModelSchema.parse(await json("table/model.json"));
    const width = Number(abilities.sample?.inputs[0]?.shape[1]);
    const noise = Array.from(
      { length: 3 * width },
      (_, i) => 0.05 + 0.1 * Math.floor(i / width) + 0.05 * (i % width),
    );
    const rows = (await use.sample(join(FIXTURES, "table"), 3, noise)) as typeof python.rows;
    expect(rows.length).toBe(3);
    rows.forEach((row, i) => {
      expect(Object.keys(row)).toEqual(Object.keys(python.rows[i] ?? {}));
      for (const [name, cell] of Object.entries(row)) {
        const other = python.rows[i]?.[name];
        if (typeof cell === "string") expect(cell).toBe(other);
        else if (Number.isNaN(cell)) expect(other).toBeNull();
        else expect(Math.abs(Number(cell) - Number(other))).toBeLessThanOrEqual(1.001);
      }
    });
  });

  it("of images", async () => {
    const noise = ((await json("noise.json")) as number[][]).flat();
    const { bytes } = (await use.sample(join(FIXTURES, "image"), 2, noise)) as {
      readonly bytes: readonly number[];
    };
    expect(largestDifference(bytes, python.bytes)).toBeLessThanOrEqual(1);
  });

  it("of objects in a photo", async () => {
    const objects = await use.detect(join(FIXTURES, "detector"), await pixelsOf(join(FIXTURES, "photo.png")));
    const { scores, boxes } = objectsApart(objects, python.objects);
    expect(scores).toBeLessThan(1e-3);
    expect(boxes).toBeLessThan(0.1);
  });
});
