import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { AbilityError, DataError, DownloadError, OptionError } from "../../src/errors.ts";
import type { FoundIn as ServedFound } from "../../src/serve/client.ts";
import { type FoundIn, load, type Model, type ModelFiles, pixelsOf } from "../../src/use/index.node.ts";
import { remove } from "../serve/support.ts";
import { serve as serveFiles, type TestServer } from "../server.ts";
import { pixelsOf as rgbOf } from "../shipping.ts";
import { largestDifference, present, temporaryFolder } from "../support.ts";

// Exported models of test/fixtures/export in Node: what is found equals what Python finds in them, however they are given.

const FIXTURES = fileURLToPath(new URL("../fixtures/export/", import.meta.url));
const json = async (name: string) => JSON.parse(await readFile(join(FIXTURES, name), "utf8"));
const PHOTO = join(FIXTURES, "photo.png");

let expected: {
  readonly scores: readonly number[];
  readonly bytes: readonly number[];
  readonly objects: readonly {
    readonly class: string;
    readonly score: number;
    readonly box: readonly number[];
  }[];
};
let folder = "";
let server: TestServer;
beforeAll(async () => {
  folder = await temporaryFolder();
  expected = JSON.parse((await readFile(join(FIXTURES, "expected.json"), "utf8")).replaceAll("NaN", "null"));
  server = await serveFiles(async ({ url = "/" }, response) => {
    const body = await readFile(join(FIXTURES, decodeURIComponent(new URL(url, "http://x").pathname))).catch(
      () => undefined,
    );
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
});
afterAll(async () => {
  await server.close();
  await remove(folder);
});

const detector = (): Promise<Model<"detect">> =>
  load(join(FIXTURES, "detector"), { needs: "detect", threads: 1 });

/** The files of a model by their names. */
async function filesOf(name: string, ...files: readonly string[]): Promise<ModelFiles> {
  return Object.fromEntries(
    await Promise.all(
      ["model.json", ...files].map(
        async (file) => [file, await readFile(join(FIXTURES, name, file))] as const,
      ),
    ),
  );
}

function expectFound({ objects }: FoundIn): void {
  expect(objects.map(({ label }) => label)).toEqual(expected.objects.map((object) => object.class));
  for (const [i, { score, box }] of objects.entries()) {
    const own = present(expected.objects[i]);
    expect(Math.abs(score - own.score)).toBeLessThan(1e-3);
    expect(largestDifference(box, own.box)).toBeLessThan(0.1);
  }
}

describe("a detector", () => {
  it("takes a path, a URL, bytes, a Blob and pixels", async () => {
    await using model = await detector();
    const bytes = await readFile(PHOTO);
    const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    const { buffer } = new Uint8Array(bytes);
    for (const image of [
      PHOTO,
      pathToFileURL(PHOTO),
      new URL(`${server.origin}/photo.png`),
      `data:image/png;base64,${bytes.toString("base64")}`,
      bytes,
      buffer,
      new Blob([bytes]),
      { width: info.width, height: info.height, data },
    ]) {
      expectFound(await model.detect(image));
    }
    const { width, height } = await model.detect(bytes);
    const { width: own, height: other } = await rgbOf(PHOTO);
    expect([width, height]).toEqual([own, other]);
  });

  it("takes several images, and gives as many answers", async () => {
    await using model = await detector();
    const found = await model.detect([PHOTO, PHOTO]);
    expect(found).toHaveLength(2);
    found.forEach(expectFound);
    expect(await model.detect([])).toEqual([]);
    const [first] = await model.detect([PHOTO], { maximum: 1 });
    expect(first?.objects).toHaveLength(1);
    expect(first?.cut).toBe(true);
  });

  it("lays what is transparent on white", async () => {
    await using model = await detector();
    const clear = { width: 40, height: 30, data: new Uint8Array(4 * 40 * 30) };
    const white = { ...clear, data: new Uint8Array(4 * 40 * 30).fill(255) };
    const options = { confidence: 0, maximum: 5 };
    expect(await model.detect(clear, options)).toEqual(await model.detect(white, options));
  });

  it("throws what is wrong with an image or an option", async () => {
    await using model = await detector();
    await expect(model.detect(join(FIXTURES, "none.png"))).rejects.toThrow(/none\.png/);
    await expect(model.detect(new URL(`${server.origin}/none.png`))).rejects.toThrow(DownloadError);
    await expect(model.detect({ width: 2, height: 2, data: new Uint8Array(3) })).rejects.toThrow(DataError);
    await expect(model.detect({ width: 0, height: 2, data: new Uint8Array(0) })).rejects.toThrow(DataError);
    await expect(model.detect(3 as never)).rejects.toThrow(/this is no image/);
    await expect(model.detect(PHOTO, { confidense: 0.5 } as never)).rejects.toThrow(
      /did you mean confidence/,
    );
    await expect(model.detect(PHOTO, { maximum: 0.5 })).rejects.toThrow(OptionError);
  });
});

describe("a table", () => {
  it("scores rows as Python does, in batches of any size", async () => {
    const rows = await json("rows.json");
    await using model = await load(join(FIXTURES, "table"), { threads: 1 });
    if (!model.can("score")) throw new Error("it scores");
    const { logLikelihood } = await model.score(rows);
    expect(largestDifference(logLikelihood.map(Number), expected.scores)).toBeLessThan(1e-3);
    const parts = await model.score(rows, { batchSize: 7 });
    expect(largestDifference(parts.logLikelihood.map(Number), logLikelihood.map(Number))).toBeLessThan(1e-6);
    const last = await model.score(rows.slice(-3), { firstRow: rows.length - 3 });
    expect(
      largestDifference(last.logLikelihood.map(Number), logLikelihood.slice(-3).map(Number)),
    ).toBeLessThan(1e-6);
  });

  it("draws rows with dates as texts and gaps as null, the same in any batches", async () => {
    await using model = await load(join(FIXTURES, "table"), { needs: "sample", threads: 1 });
    const { rows = [] } = await model.sample({ count: 50, seed: 2 });
    expect(rows).toHaveLength(50);
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(["age", "income", "city", "joined"]);
      expect(["Lima", "Oslo", "Rome"]).toContain(row.city);
      expect(row.joined).toMatch(/^20\d\d-\d\d-\d\d$/);
      expect(Number.isInteger(row.age)).toBe(true);
    }
    expect(rows.some(({ income }) => income === null)).toBe(true);
    expect(await model.sample({ count: 50, seed: 2, batchSize: 9 })).toEqual({ rows });
    expect(await model.sample({ count: 0 })).toEqual({ rows: [] });
    expect((await model.sample({ seed: 3 })).rows).not.toEqual(rows.slice(0, 1));
  });
});

describe("a model of images", () => {
  it("draws from noise that is given, as Python does", async () => {
    const noise = ((await json("noise.json")) as number[][]).flat();
    await using model = await load(join(FIXTURES, "image"), { needs: ["sample"], threads: 1 });
    const drawn = await model.sample({ count: 2, label: 0, noise: { noise } });
    const samples = present(drawn.samples);
    expect(samples.shape).toEqual([2, 1, 28, 28]);
    expect(largestDifference(samples.data, expected.bytes)).toBeLessThanOrEqual(1);
    const { width, height, data } = pixelsOf(samples, 1);
    expect([width, height, data.length]).toEqual([28, 28, 4 * 784]);
    expect(data.filter((_, i) => i % 4 === 1)).toEqual(Uint8ClampedArray.from(samples.data.subarray(784)));
    expect(() => pixelsOf(samples, 2)).toThrow(DataError);
    await expect(model.sample({ count: 1, label: 0, noise: { noise } })).rejects.toThrow(
      /\[1,4\], 4 numbers, not 8/,
    );
    await expect(model.sample({ label: 0, noise: { other: [1] } })).rejects.toThrow(/no noise "other"/);
    await expect(model.sample()).rejects.toThrow(/option label.*0 to 9/);
    await expect(model.sample({ onStep: () => undefined })).rejects.toThrow(AbilityError);
  });
});

describe("load", () => {
  it("takes files in memory and an address", async () => {
    await using inMemory = await load(await filesOf("detector", "detect.onnx"), {
      needs: "detect",
      threads: 1,
    });
    expectFound(await inMemory.detect(PHOTO));
    for (const address of [`${server.origin}/detector`, `${server.origin}/detector/model.json`]) {
      await using remote = await load(address, { needs: "detect", threads: 1 });
      expectFound(await remote.detect(PHOTO));
    }
    await expect(load(`${server.origin}/nothing`)).rejects.toThrow(/404/);
    await expect(
      load({ "model.json": await readFile(join(FIXTURES, "detector/model.json")) }),
    ).rejects.toThrow(/detect\.onnx is not among the files/);
    await expect(load({})).rejects.toThrow(/model\.json is not among/);
    await expect(load(join(folder, "none"))).rejects.toThrow(/there is no such folder/);
  });

  it("reads nothing outside of the folder", async () => {
    await writeFile(join(folder, "model.json"), await readFile(join(FIXTURES, "detector/model.json")));
    await symlink(join(FIXTURES, "detector/detect.onnx"), join(folder, "detect.onnx"));
    await expect(load(folder)).rejects.toThrow(/detect\.onnx.*a link to/);
  });

  it("says what a model can do, and why it cannot do the rest", async () => {
    await using model = await load(join(FIXTURES, "table"), { threads: 1 });
    expect(model).toMatchObject({
      model: "nice",
      data: "people.csv",
      kind: "table",
      classes: [],
      provider: "cpu",
      inWorker: false,
    });
    expect(model.abilities).toEqual(["score", "sample"]);
    expect([model.can("score"), model.can("detect")]).toEqual([true, false]);
    await expect(load(join(FIXTURES, "table"), { needs: "detect" })).rejects.toThrow(AbilityError);
    const untyped = model as unknown as Record<string, (value: unknown) => Promise<unknown>>;
    await expect(present(untyped.detect)([])).rejects.toThrow(/nice cannot detect; it can score, sample/);
    await expect(present(untyped.impute)([])).rejects.toThrow(
      /cannot impute: gaps are filled in by many runs/,
    );
    await expect(load(join(FIXTURES, "table"), { provider: "none" })).rejects.toThrow(OptionError);
    await expect(load(join(FIXTURES, "table"), { threads: 0 })).rejects.toThrow(OptionError);
  });

  it("ends at once where a signal does, and a call too", async () => {
    const reason = new Error("no longer wanted");
    await expect(load(join(FIXTURES, "detector"), { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    await using model = await detector();
    await expect(model.detect(PHOTO, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const asked = model.detect(Array(50).fill(PHOTO), { signal: controller.signal });
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expectFound(await model.detect(PHOTO));
  });

  it("does nothing once the model is released", async () => {
    const model = await detector();
    await model.release();
    await expect(model.detect(PHOTO)).rejects.toThrow(/has been released/);
  });

  it("has the types of what is known", () => {
    expectTypeOf<FoundIn>().toEqualTypeOf<ServedFound>();
    const calls = [
      async () => (await load("x", { needs: "detect" })).detect("y"),
      async () => (await load("x", { needs: ["score", "sample"] })).sample({ count: 1 }),
      async () => {
        const model = await load("x");
        return model.can("embed") ? model.embed("y") : undefined;
      },
      // @ts-expect-error nobody knows whether it detects
      async () => (await load("x")).detect("y"),
      // @ts-expect-error a detector that does not score
      async () => (await load("x", { needs: "detect" })).score([]),
      async () => (await load("x", { needs: "impute" })).impute([], { draws: 2 }),
      // @ts-expect-error no export completes images
      async () => load("x", { needs: "inpaint" }),
    ];
    expect(calls).toHaveLength(7);
    expectTypeOf<Awaited<ReturnType<Model<"detect">["detect"]>>>().toExtend<FoundIn | readonly FoundIn[]>();
  });
});
