import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { connect, RefusedError, type RemoteModelOf } from "../../src/serve/client.ts";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { temporaryFolder } from "../support.ts";
import { ask, fitImages, fitTable, fixture, picture, remove, serve } from "./support.ts";

// The client against a server of a detector, a table with categories, a flow of images and a diffusion model: what it returns is what the routes
// answer. What it makes of servers that fail: client-failures.test.ts.

const TOKEN = "secret";

let folder = "";
let server: EidosServer;
beforeAll(async () => {
  folder = await temporaryFolder();
  await fitTable(join(folder, "table"));
  await fitImages(join(folder, "images"));
  server = await serve(
    [
      join(folder, "table"),
      join(folder, "images"),
      `digits=${fixture("rectified-flow-digits")}`,
      `scenes=${fixture("fcos-digit-scenes")}`,
    ],
    { port: 0, workers: 1, threads: 1, log: "silent", token: TOKEN },
  );
});
afterAll(async () => {
  await server?.close();
  await remove(folder);
});

// The address may end in a slash.
const client = () => connect(`${server.url}/`, { token: TOKEN });

/** The answer of a route, without the client. */
const route = async (path: string, body?: unknown) =>
  (await ask(server, path, body, { authorization: `Bearer ${TOKEN}` })).body;

const formatOf = async (blob: Blob): Promise<string | undefined> =>
  (await sharp(new Uint8Array(await blob.arrayBuffer())).metadata()).format;

const rows = [
  { length: 5.1, width: 3, kind: "setosa" },
  { length: 6.2, width: 2.5, kind: "virginica" },
];

describe("a client", () => {
  it("sees the models and whether the server can answer", async () => {
    expect(await client().isReady()).toBe(true);
    expect(await client().models()).toEqual(await route("/models"));
    const table = await client().model("table").describe();
    expect(table).toMatchObject({
      name: "table",
      model: "nice",
      abilities: ["score", "impute", "sample", "interpolate"],
    });
    await expect(client().model("none").describe()).rejects.toThrow(RefusedError);
  });

  it("scores rows, fills gaps and draws rows of a table with categories", async () => {
    const table = client().model("table");
    const scored = await table.score([...rows.map((row) => ({ id: 1, ...row }))], { seed: 2 });
    expect(scored).toMatchObject({ model: "table", version: "4", ignoredColumns: ["id"] });
    expect(scored.logLikelihood).toHaveLength(2);
    expect(scored).toEqual(
      await route("/score?model=table", { rows: rows.map((row) => ({ id: 1, ...row })), seed: 2 }),
    );
    const gaps = [{ length: null, width: 3, kind: null }];
    const filled = await table.impute(gaps, { draws: 3, seed: 1 });
    expect(filled).toEqual(await route("/impute?model=table", { rows: gaps, draws: 3, seed: 1 }));
    expect(filled.rows).toHaveLength(3);
    for (const { kind, length } of filled.rows) {
      expect(["setosa", "virginica", "versicolor"]).toContain(kind);
      expect(length).toEqual(expect.any(Number));
    }
    const drawn = await table.sample({ count: 2, seed: 5 });
    expect(drawn).toEqual(await route("/sample?model=table", { count: 2, seed: 5 }));
    expect(drawn.rows).toHaveLength(2);
  });

  it("scores and draws images of a flow, as files of any kind", async () => {
    const images = client().model("images");
    const file = await picture(28, 28);
    const bytes = await images.score(file, { seed: 4 });
    expect(bytes).toEqual(await route("/score?model=images&seed=4", file));
    const blob = new Blob([file as BlobPart]);
    const buffer = new Uint8Array(file).buffer;
    for (const same of [blob, buffer]) expect(await images.score(same, { seed: 4 })).toEqual(bytes);
    const { samples } = await images.sample({ count: 2, seed: 1 });
    expect(samples?.shape).toEqual([2, 1, 28, 28]);
    expect(await formatOf(await images.samplePicture({ count: 2, seed: 1 }))).toBe("png");
  });

  it("draws images by a sampler with options of its own", async () => {
    const digits = client().model<"rectified-flow">("digits");
    const drawn = await digits.sample({ count: 1, label: 3, seed: 2, options: { steps: 2 } });
    expect(drawn).toEqual(await route("/sample?model=digits", { count: 1, label: 3, seed: 2, steps: 2 }));
    await expect(digits.sample({ options: { stepz: 2 } })).rejects.toThrow(
      /no option "stepz"; did you mean steps/,
    );
  });

  it("finds objects, draws them, and takes features", async () => {
    const scenes = client().model("scenes");
    const image = await picture();
    const found = await scenes.detect(image, { confidence: 0.01, iou: 0.4, maximum: 3 });
    expect(found).toEqual(await route("/detect?model=scenes&confidence=0.01&iou=0.4&maximum=3", image));
    expect(found.objects).toHaveLength(3);
    expect(await formatOf(await scenes.detectPicture(image, { confidence: 0.01 }))).toBe("jpeg");
    const { features } = await scenes.embed(image);
    expect(features).toEqual((await route("/embed?model=scenes", image)).features);
  });

  it("throws the server's own line with its status", async () => {
    const asked = client()
      .model("table")
      .score([{ length: 1, kind: "setosa" }]);
    const error = await asked.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ status: 400, message: expect.stringMatching(/column "width" is missing/) });
    const wrong = connect(server.url, { token: "wrong" }).models();
    await expect(wrong).rejects.toMatchObject({ name: "RefusedError", status: 401 });
    await expect(client().model("none").sample()).rejects.toMatchObject({ status: 404 });
  });

  it("has the methods that a model of the catalogue has, where that is named", () => {
    expectTypeOf<RemoteModelOf<"yolo">>().toHaveProperty("detect");
    expectTypeOf<RemoteModelOf<"yolo">>().not.toHaveProperty("sample");
    expectTypeOf<RemoteModelOf<"rectified-flow">>().toHaveProperty("sample");
    expectTypeOf<RemoteModelOf<"rectified-flow">>().not.toHaveProperty("detect");
    expectTypeOf(client().model("any").detect).returns.resolves.toHaveProperty("objects");
  });
});
